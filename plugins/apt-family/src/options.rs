//! The options of `cdist preos debian` and its like.

use std::{
    io::{BufRead, ErrorKind, stdin},
    path::{Path, PathBuf},
};

use cdist_plugin_api::PluginError;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::Distribution;

/// Make a PreOS: a minimal OS that bare machines boot over the network.
#[derive(Debug, Parser)]
#[command(
    disable_version_flag = true,
    after_help = "Steps run in this order: -b, -C, -p, -r. They can be given in one call or in several.\n\
                  Example: cdist preos debian /preos/root -b -C -k ~/.ssh/id_ed25519.pub -p /preos/pxe \\\n         \
                  -t \"/usr/bin/curl http://192.0.2.5:3000/install/\""
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Options {
    /// Root directory of the PreOS
    #[arg(value_name = "TARGET_DIR")]
    pub(crate) target_dir: PathBuf,

    /// Make the root file system in TARGET_DIR, which must be absent or empty
    #[arg(short = 'b', short_alias = 'B', long)]
    pub(crate) bootstrap: bool,
    /// Configure it: initial manifest, ssh keys (-k) and trigger (-t)
    #[arg(short = 'C', long)]
    pub(crate) configure: bool,
    /// Write the netboot directory: kernel, initramfs, pxelinux.0, pxelinux.cfg/default
    #[arg(short, long, value_name = "DIR")]
    pub(crate) pxe_boot_dir: Option<PathBuf>,
    /// Remove TARGET_DIR at the end
    #[arg(short, long)]
    pub(crate) rm_bootstrap_dir: bool,
    /// Write a bootable disk (not there yet)
    #[arg(short = 'D', long, value_name = "DEV")]
    pub(crate) drive: Option<PathBuf>,

    /// Suite to bootstrap, such as bookworm
    #[arg(short, long)]
    pub(crate) suite: Option<String>,
    /// Mirror to bootstrap from, such as http://mirror.example/debian
    #[arg(short, long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Architecture, in the distribution's terms [default: this machine's]
    #[arg(short, long)]
    pub(crate) arch: Option<String>,
    /// Script for debootstrap, which is then used instead of mmdebstrap
    #[arg(short = 'S', long, requires = "mirror")]
    pub(crate) script: Option<String>,
    /// Keyring that signs the archive [default: the distribution's]
    #[arg(long, value_name = "FILE")]
    pub(crate) keyring: Option<PathBuf>,
    /// Kernel package [default: the distribution's generic one]
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) kernel_package: Option<String>,
    /// Keep documentation, man pages and translations of packages
    #[arg(long)]
    pub(crate) keep_docs: bool,

    /// ssh public key for root; repeatable
    #[arg(short, long = "keyfile", value_name = "FILE", requires = "configure")]
    pub(crate) keyfiles: Vec<PathBuf>,
    /// Command to run at every boot once the network is up, again until it exits 0
    #[arg(short, long, value_name = "CMD", requires = "configure", conflicts_with = "trigger_url")]
    pub(crate) trigger_command: Option<String>,
    /// URL to call at every boot once the network is up, with the machine's facts, again until it accepts
    #[arg(long, value_name = "URL", requires = "configure")]
    pub(crate) trigger_url: Option<String>,
    /// File with the token that the trigger server wants, readable for its owner only
    #[arg(long, value_name = "FILE", requires = "trigger_url", conflicts_with = "trigger_command")]
    pub(crate) trigger_token_file: Option<PathBuf>,
    /// Root password; `-` reads it from standard input [default: none, login by key only]
    #[arg(short = 'P', long, value_name = "PASSWORD", requires = "configure", allow_hyphen_values = true)]
    pub(crate) root_password: Option<String>,
    /// Initial manifest instead of the built-in one; `-` reads it from standard input
    #[arg(short, long, value_name = "FILE", requires = "configure")]
    pub(crate) init_manifest: Option<PathBuf>,
    /// Parameters of the config run: -v, -c DIR, -j N
    #[arg(short, long, value_name = "PARAMS", requires = "configure", allow_hyphen_values = true)]
    pub(crate) cdist_params: Vec<String>,
    /// Custom remote-exec script instead of the built-in chroot
    #[arg(short = 'e', long, value_name = "FILE", requires_all = ["configure", "remote_copy"])]
    pub(crate) remote_exec: Option<PathBuf>,
    /// Custom remote-copy script instead of the built-in chroot
    #[arg(short = 'y', long, value_name = "FILE", requires_all = ["configure", "remote_exec"])]
    pub(crate) remote_copy: Option<PathBuf>,

    /// Compression of the initramfs: zstd, gzip, xz or none, with an optional level as in zstd:19
    #[arg(long, value_name = "METHOD[:LEVEL]", requires = "pxe_boot_dir")]
    pub(crate) compress: Option<String>,
    /// Kernel parameter of the netboot entry instead of the default ones; repeatable
    /// [default: console=tty0 console=ttyS0,115200]
    #[arg(
        long = "kernel-param",
        value_name = "PARAM",
        requires = "pxe_boot_dir",
        allow_hyphen_values = true
    )]
    pub(crate) kernel_params: Vec<String>,
    /// Let GROUP, that of the TFTP server, read the initramfs, and nobody else; needed with a password or a token
    #[arg(long, value_name = "GROUP", requires = "pxe_boot_dir")]
    pub(crate) pxe_group: Option<String>,

    /// Accepted for compatibility; `cdist preos -v` says more
    #[arg(short, long, action = ArgAction::Count, hide = true)]
    verbose: u8,
}

/// What the arguments led to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Help was shown, or a usage error; the exit status.
    Shown(i32),
    /// Something to do.
    Options(Box<Options>),
}

/// Parses the arguments of a distribution's PreOS and makes all paths absolute.
///
/// # Errors
///
/// There is nothing to do, or a path or standard input cannot be read.
pub(crate) fn parse(distribution: &Distribution, args: &[String]) -> Result<Parsed, PluginError> {
    let suite = format!("Suite to bootstrap [default: {}]", (distribution.default_suite)());
    let name = format!("cdist preos {}", distribution.name);
    let mut command = Options::command()
        .bin_name(name.clone())
        .about(format!(
            "Make a {} PreOS: a minimal OS that bare machines boot over the network",
            distribution.title
        ))
        .mut_arg("suite", |arg| arg.help(suite));
    let words = std::iter::once(name.as_str()).chain(args.iter().map(String::as_str));
    let parsed =
        command.try_get_matches_from_mut(words).and_then(|matches| Options::from_arg_matches(&matches));
    let mut options = match parsed {
        Ok(options) => options,
        Err(error) => {
            // Help goes to standard output with status 0, usage errors to standard error with 2.
            return match error.print() {
                // A reader that went away early has read enough.
                Err(failed) if !error.use_stderr() && failed.kind() != ErrorKind::BrokenPipe => {
                    Err(PluginError::new(format!("writing to standard output: {failed}")))
                }
                _ => Ok(Parsed::Shown(error.exit_code())),
            };
        }
    };
    if options.drive.is_some() {
        return Err(PluginError::usage("-D is not there yet: this version writes no bootable disks; use -p"));
    }
    if !(options.bootstrap || options.configure || options.pxe_boot_dir.is_some()) {
        return Err(PluginError::usage(format!(
            "there is nothing to do; give -b to bootstrap, -C to configure or -p DIR for a netboot directory (see {name} -h)"
        )));
    }
    options.settle()?;
    Ok(Parsed::Options(Box::new(options)))
}

impl Options {
    fn settle(&mut self) -> Result<(), PluginError> {
        self.target_dir = absolute(&self.target_dir)?;
        let files = [
            &mut self.pxe_boot_dir,
            &mut self.keyring,
            &mut self.trigger_token_file,
            &mut self.remote_exec,
            &mut self.remote_copy,
        ];
        for file in files.into_iter().flatten().chain(&mut self.keyfiles) {
            *file = absolute(file)?;
        }
        let from_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        if from_stdin(&self.init_manifest) && self.root_password.as_deref() == Some("-") {
            return Err(PluginError::usage("-P - and -i - cannot both read standard input"));
        }
        if let Some(manifest) = self.init_manifest.as_mut().filter(|path| path.as_path() != Path::new("-")) {
            *manifest = absolute(manifest)?;
        }
        if self.root_password.as_deref() == Some("-") {
            let mut line = String::new();
            stdin().lock().read_line(&mut line).map_err(|error| {
                PluginError::new(format!("reading the root password from standard input: {error}"))
            })?;
            self.root_password = Some(line.trim_end_matches(['\n', '\r']).to_owned());
        }
        Ok(())
    }
}

/// The absolute path, with links resolved as far as it exists.
fn absolute(path: &Path) -> Result<PathBuf, PluginError> {
    let fail = |error| PluginError::new(format!("finding the absolute path of {}: {error}", path.display()));
    let whole = std::path::absolute(path).map_err(fail)?;
    for existing in whole.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            let rest = whole.strip_prefix(existing).unwrap_or(Path::new(""));
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn paths_are_absolute_with_links_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a", real.join("link")).unwrap();
        assert_eq!(absolute(&real.join("link/new/x")).unwrap(), real.join("a/new/x"));
    }
}
