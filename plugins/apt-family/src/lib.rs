//! What the PreOS plugins for Debian-like distributions share: the options, and the recipe they describe.
//!
//! A distribution states what it is in a [`Distribution`]; [`commandline`] does the rest.

mod manifest;
mod options;
mod recipe;

use std::time::{SystemTime, UNIX_EPOCH};

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
    /// The mirror without `-m`; `None` leaves it to the bootstrap program.
    pub default_mirror: Option<&'static str>,
    /// The archive's keyring without `--keyring`, where it is not the bootstrap program's own choice.
    pub default_keyring: Option<&'static str>,
    /// Components of the archive; none is the bootstrap program's default.
    pub components: &'static [&'static str],
    /// The kernel package for an architecture.
    pub kernel: fn(arch: &str) -> String,
    /// Packages that only this distribution has under this name.
    pub extra_packages: &'static [&'static str],
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
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() / 86400);
    // From days to a date, counting years from March so that the leap day is the last of a year.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
