//! Configuring a root directory: the config engine, entered by chroot, with the plugin's manifest and what the
//! administrator's options add to it.

use std::{ffi::OsString, num::NonZeroUsize, path::Path, path::PathBuf, sync::Arc};

use super::{
    Environment, archive,
    chroot::{ChrootError, PreparedRoot},
    keys::{self, KeyError},
    recipe::{Configure, Secret},
};
use crate::{
    config::{self, ConfigError, Manifest, Run, log},
    connector::{self, Connector},
    host::{CommandError, OwnDir, quote},
    trust,
};

/// Where the engine works inside the root; removed at the end.
const WORK_DIR: &str = "/run/cdist";

/// Why a root directory was not configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Preparing the root for commands failed.
    #[error(transparent)]
    Chroot(#[from] ChrootError),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Others could change it.
    #[error(transparent)]
    Untrusted(#[from] trust::Untrusted),
    /// A word of `--cdist-params`.
    #[error("--cdist-params has {0:?}, which means nothing here; it takes -v, -c DIR and -j N")]
    Parameter(String),
    /// The runtime of the engine cannot be started.
    #[error("starting the config engine")]
    Runtime(#[source] std::io::Error),
    /// The engine's report, which names the object and shows the output of its scripts.
    #[error("{0}")]
    Engine(String),
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Setting the root password failed.
    #[error("setting the root password")]
    Password(#[source] CommandError),
}

/// Configures `root`.
///
/// # Errors
///
/// The first object that fails. What was done before it stays; a second run goes on from there.
pub fn run(root: &Path, request: &Configure, environment: &Environment) -> Result<(), ConfigureError> {
    let step = environment.progress.step("configure");
    let parameters = Parameters::parse(&request.parameters)?;
    let manifest = manifest(request)?;
    trust::directory_for_root("the root directory", root)?;
    let chroot = PreparedRoot::open(root)?;
    let connector: Arc<dyn Connector> = match (&request.remote_exec, &request.remote_copy) {
        (Some(exec), Some(copy)) => Arc::new(connector::Custom::new(exec.as_str(), copy.as_str())),
        _ => Arc::new(
            connector::Chroot::new(root)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("SYSTEMD_OFFLINE", "1")
                .env("SOURCE_DATE_EPOCH", archive::tree_date(root).to_string()),
        ),
    };
    let mut run = Run::new(
        root.to_string_lossy(),
        environment.conf_dirs.iter().chain(&parameters.conf_dirs).cloned().collect(),
        Manifest::Bytes(manifest),
        connector,
        &environment.cdist_exe,
    );
    run.remote_dir = WORK_DIR.into();
    run.remote_path = Some(PreparedRoot::path());
    run.jobs = parameters.jobs;
    run.log_level = parameters.log_level();
    run.cancel = environment.cancel.clone();
    run.progress = step.inner();
    OwnDir::remove_left(&run.temporary);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ConfigureError::Runtime)?;
    let report = runtime.block_on(config::configure(run)).map_err(|error: ConfigError| {
        if error.is_cancelled() { ConfigureError::Cancelled } else { ConfigureError::Engine(error.report()) }
    })?;
    if let Some(Secret(password)) = &request.root_password {
        set_root_password(&chroot, password, environment)?;
    }
    chroot.close()?;
    step.finish(format!("{} objects, {} changed", report.objects, report.changed.len()));
    Ok(())
}

/// The plugin's manifest and what the options add. Values get in through one quoting function only.
fn manifest(request: &Configure) -> Result<Vec<u8>, ConfigureError> {
    use std::os::unix::ffi::OsStringExt;
    let mut lines = OsString::from(&request.manifest);
    lines.push("\n");
    let keys = keys::read_all(&request.key_files)?;
    if !keys.is_empty() {
        let words = ["__ssh_authorized_keys", "root"].map(str::to_owned).into_iter();
        let keys = keys.into_iter().flat_map(|key| ["--key".to_owned(), key]);
        lines.push(quote::posix_line(words.chain(keys)));
        lines.push("\n");
    }
    // The token stays in its file until the type reads it.
    let trigger = [
        ("--trigger-command=", request.trigger_command.as_ref().map(OsString::from)),
        ("--trigger-url=", request.trigger_url.as_ref().map(OsString::from)),
        ("--trigger-token-file=", request.trigger_token_file.as_ref().map(OsString::from)),
    ];
    // `--option=value`, because a value word of its own must not begin with a dash.
    let trigger: Vec<OsString> = trigger
        .into_iter()
        .filter_map(|(option, value)| {
            let mut word = OsString::from(option);
            word.push(value?);
            Some(word)
        })
        .collect();
    if !trigger.is_empty() {
        let words = ["__preos_trigger", "preos"].map(OsString::from).into_iter();
        lines.push(quote::posix_line(words.chain(trigger)));
        lines.push("\n");
    }
    Ok(lines.into_vec())
}

fn set_root_password(
    chroot: &PreparedRoot,
    password: &str,
    environment: &Environment,
) -> Result<(), ConfigureError> {
    let command = chroot.command("chpasswd").stdin(format!("root:{password}\n"));
    command.cancel(&environment.cancel).run().map_err(ConfigureError::Password)?;
    Ok(())
}

/// What of `cdist config`'s parameters makes sense for a root directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    conf_dirs: Vec<PathBuf>,
    jobs: Option<NonZeroUsize>,
    verbosity: usize,
}

impl Parameters {
    fn parse(words: &[String]) -> Result<Self, ConfigureError> {
        let mut parsed = Self::default();
        let mut words = words.iter().flat_map(|words| words.split_whitespace()).peekable();
        while let Some(word) = words.next() {
            let unknown = || ConfigureError::Parameter(word.to_owned());
            match word {
                "-c" | "--conf-dir" => parsed.conf_dirs.push(words.next().ok_or_else(unknown)?.into()),
                "-j" | "--jobs" => {
                    let value = words.next_if(|next| !next.starts_with('-'));
                    let count = std::thread::available_parallelism().ok();
                    parsed.jobs = match value {
                        Some(value) => Some(value.parse().map_err(|_| unknown())?),
                        None => count,
                    };
                }
                "--verbose" => parsed.verbosity += 1,
                flags
                    if flags.len() > 1 && flags.starts_with('-') && flags[1..].chars().all(|c| c == 'v') =>
                {
                    parsed.verbosity += flags.len() - 1;
                }
                _ => return Err(unknown()),
            }
        }
        Ok(parsed)
    }

    fn log_level(&self) -> log::Level {
        i64::try_from(self.verbosity).ok().and_then(log::Level::from_count).unwrap_or(log::Level::Trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_quoted_manifest_lines() {
        let request = Configure {
            manifest: "__link /init".into(),
            trigger_command: Some("/usr/bin/curl 'http://a/?b=%s&c=$d' \\n".into()),
            ..Configure::default()
        };
        let text = String::from_utf8(manifest(&request).unwrap()).unwrap();
        assert_eq!(
            text,
            "__link /init\n__preos_trigger preos '--trigger-command=/usr/bin/curl '\\''http://a/?b=%s&c=$d'\\'' \\n'\n"
        );
    }

    #[test]
    fn parameters_of_the_original() {
        let words = |text: &str| Parameters::parse(&[text.to_owned()]);
        let parsed = words("-vv -c /a -j 3 --verbose").unwrap();
        assert_eq!((parsed.verbosity, parsed.jobs), (3, NonZeroUsize::new(3)));
        assert!(words("-j").unwrap().jobs.is_some());
        assert!(words("--remote-exec x").unwrap_err().to_string().contains("takes -v, -c DIR and -j N"));
    }

    proptest::proptest! {
        /// What `sh` reads back is what the option had, whatever bytes but NUL and newline it has.
        #[test]
        fn a_trigger_command_survives_the_shell(command in "[^\0\n]{1,40}") {
            let request = Configure { trigger_command: Some(command.clone()), ..Configure::default() };
            let line = String::from_utf8(manifest(&request).unwrap()).unwrap();
            let script = format!("__preos_trigger() {{ printf '%s' \"$2\"; }}\n{line}");
            let output = crate::host::Command::new("sh").stdin(script).arg("-s").run().unwrap();
            proptest::prop_assert_eq!(
                String::from_utf8(output.stdout).unwrap(), format!("--trigger-command={command}")
            );
        }
    }
}
