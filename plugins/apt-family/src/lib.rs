//! What the PreOS plugins for Debian-like distributions share: the options, and the recipe they describe.
//!
//! A distribution states what it is in a [`Distribution`]; [`commandline`] does the rest.

mod manifest;
mod options;
mod recipe;

use cdist_plugin_api::{Host, PluginError};

/// In what Debian-like distributions differ.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// The name of the PreOS.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The suite without `-s`.
    pub default_suite: fn() -> String,
    /// The archive's keyring without `--keyring`, where it is not the bootstrap program's own choice.
    pub default_keyring: Option<&'static str>,
    /// Components of the archive; none is the bootstrap program's default.
    pub components: &'static [&'static str],
    /// The kernel package for an architecture.
    pub kernel: fn(arch: &str) -> String,
    /// Packages that not every suite or distribution has, for a suite.
    pub extra_packages: fn(suite: &str) -> &'static [&'static str],
}

/// Runs `cdist preos NAME ARGS…` for a distribution.
///
/// # Errors
///
/// Wrong usage, or a build that failed.
pub fn commandline(distribution: &Distribution, args: &[String], host: &Host) -> Result<i32, PluginError> {
    match options::parse(distribution, args)? {
        options::Parsed::Shown(status) => Ok(status),
        options::Parsed::Options(options) => {
            host.build(&recipe::describe(distribution, &options)?)?;
            Ok(0)
        }
    }
}

/// Today's date in UTC, as `2026-11-22`.
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
