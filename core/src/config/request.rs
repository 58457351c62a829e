//! What is asked for: the work on one host with everything that it needs.

use std::{
    ffi::OsString,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use md5::{Digest, Md5};

use super::{
    log::{Level, LogSink, TracingLog},
    names::{self, Family, HostNames},
    profile::Profile,
    variables,
};
use crate::{
    connector::{Connector, Holder, OutputLimit},
    host::Cancel,
    progress::Progress,
};

/// The manifest that declares the first objects.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// `manifest/init` of the merged configuration.
    Init,
    /// This file.
    Path(PathBuf),
    /// These bytes, run like a file that is not executable.
    Bytes(Vec<u8>),
}

/// Which objects are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Objects of types without the mark `install`.
    Config,
    /// Objects of types with the mark `install`.
    Install,
}

/// Where the output of scripts goes.
#[derive(Clone, Debug)]
pub enum Streams {
    /// Into files of the run's directory.
    Save,
    /// To the output of this process.
    Inherit,
    /// Into these files or pipes.
    To {
        /// Takes standard output.
        stdout: Arc<fs::File>,
        /// Takes standard error, and what comes back from the target.
        stderr: Arc<fs::File>,
    },
    /// Nowhere.
    Discard,
}

/// How `$__target_hostname` and `$__target_fqdn` are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// By the system's resolver.
    Resolve(Family),
    /// Known already.
    Known(HostNames),
}

/// The work on one host. [`Run::new`] fits a build that leaves nothing behind but what the types do;
/// the command line program sets what it needs besides.
#[derive(Clone, Debug)]
pub struct Run {
    /// `$__target_host`; need not resolve.
    pub host: String,
    /// Configuration directories, the last one wins. Missing ones are skipped.
    pub conf_dirs: Vec<PathBuf>,
    /// The first manifest.
    pub initial_manifest: Manifest,
    /// The way to the target.
    pub connector: Arc<dyn Connector>,
    /// What `bin/<type>` leads to: a program that calls [`super::declare::emulator::main`] when its name begins with `__`.
    pub cdist_exe: PathBuf,
    /// Which objects are worked on.
    pub mode: Mode,
    /// How many objects at the same time; `None` is one after the other.
    pub jobs: Option<NonZeroUsize>,
    /// Everything but running code. Nothing on the target stays changed.
    pub dry_run: bool,
    /// Finds out what objects change in files, for [`super::RunReport::diff`].
    pub diff: bool,
    /// Shows in that also what is marked as secret.
    pub reveal_secrets: bool,
    /// Work directory on the target; wiped at the start. A dry run makes one of its own beside it, which always goes.
    pub remote_dir: PathBuf,
    /// Who holds the lock of the work directory on the target, which keeps other runs away from it. Not with connectors
    /// that take no scripts on standard input. `None`: no lock; the target belongs to the caller.
    pub lock: Option<Holder>,
    /// Removes the work directory on the target after the run, also after a failure.
    pub remove_remote_dir: bool,
    /// Directory for the run's own directory, which stays after a failure. `None`: a temporary one, which always goes.
    pub work_dir: Option<PathBuf>,
    /// Where message files and the like are made.
    pub temporary: PathBuf,
    /// Where the run's files go after success.
    pub cache: Option<PathBuf>,
    /// `$__target_host_tags`.
    pub tags: Vec<String>,
    /// How the target is called.
    pub names: Names,
    /// The environment that local scripts start with.
    pub environment: Vec<(OsString, OsString)>,
    /// Lets local scripts read what this process reads; otherwise they find nothing to read.
    pub pass_stdin: bool,
    /// Where the output of scripts goes.
    pub streams: Streams,
    /// How much scripts may say that goes into files.
    pub output_limit: OutputLimit,
    /// Runs local scripts that are not executable. One word.
    pub local_shell: PathBuf,
    /// Runs scripts on the target. May have arguments.
    pub remote_shell: String,
    /// `PATH` of scripts on the target; `None` leaves it alone.
    pub remote_path: Option<String>,
    /// `$__cdist_log_level`.
    pub log_level: Level,
    /// `$__cdist_colored_log`.
    pub colored: bool,
    /// Takes log records.
    pub log: Arc<dyn LogSink>,
    /// Collects the log of runs that types start; always on for installation.
    pub log_server: bool,
    /// Takes progress events.
    pub progress: Progress,
    /// Takes what lasts how long.
    pub profile: Profile,
    /// Ends the run when set.
    pub cancel: Cancel,
}

impl Run {
    /// A run with defaults that suit a build: saved output, no cache, nothing to read, nothing left on the target.
    pub fn new(
        host: impl Into<String>,
        conf_dirs: Vec<PathBuf>,
        initial_manifest: Manifest,
        connector: Arc<dyn Connector>,
        cdist_exe: impl Into<PathBuf>,
    ) -> Self {
        let host = host.into();
        Self {
            names: Names::Known(names::unresolved(&host)),
            host,
            conf_dirs,
            initial_manifest,
            connector,
            cdist_exe: cdist_exe.into(),
            mode: Mode::Config,
            jobs: None,
            dry_run: false,
            diff: false,
            reveal_secrets: false,
            remote_dir: "/var/lib/cdist".into(),
            lock: None,
            remove_remote_dir: true,
            work_dir: None,
            temporary: std::env::temp_dir(),
            cache: None,
            tags: Vec::new(),
            environment: variables::inherited(),
            pass_stdin: false,
            streams: Streams::Save,
            output_limit: OutputLimit::default(),
            local_shell: "/bin/sh".into(),
            remote_shell: "/bin/sh".into(),
            remote_path: Some("/bin:/usr/bin:/sbin:/usr/sbin".into()),
            log_level: Level::Warning,
            colored: false,
            log: Arc::new(TracingLog),
            log_server: false,
            progress: Progress::silent(),
            profile: Profile::default(),
            cancel: Cancel::default(),
        }
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        self.log.log(level, &self.host, message);
    }
}

/// The directory name of a host: lower-case hexadecimal MD5 of the host as the user wrote it.
pub fn host_dir(host: &str) -> String {
    Md5::digest(host.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// True if a directory of the target can be the work directory. A command there may begin anywhere, so `/` is at the beginning.
pub fn is_work_dir(dir: &Path) -> bool {
    dir.is_absolute() && dir.file_name().is_some()
}
