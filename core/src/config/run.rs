//! The work on one host: what is asked for, the stages in their order, what comes out.

use std::{
    ffi::OsString,
    fs,
    num::NonZeroUsize,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use md5::{Digest, Md5};

use super::{
    cache, conf_dirs, dry_run,
    engine::Engine,
    environment,
    error::ConfigError,
    log::{Level, LogSink, TracingLog},
    names::{self, Family, HostNames},
    outcome::{Outcome, Report},
    relations,
    stage::Stage,
};
use crate::{
    connector::{Connector, Holder, Locked, OutputLimit},
    host::{self, Cancel, OwnDir},
    progress::{Progress, Unit},
    trust,
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
    /// Those of types that are not for installation.
    Config,
    /// Those of types that are for installation.
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
    /// What `bin/<type>` leads to: a program that calls [`super::emulator::main`] when its name begins with `__`.
    pub cdist_exe: PathBuf,
    /// Which objects are worked on.
    pub mode: Mode,
    /// How many objects at the same time; `None` is one after the other.
    pub jobs: Option<NonZeroUsize>,
    /// Everything but running code. Nothing on the target stays changed.
    pub dry_run: bool,
    /// Finds out what objects change in files, for [`Report::diff`].
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
            environment: environment::inherited(),
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
            cancel: Cancel::default(),
        }
    }

    fn log(&self, level: Level, message: &str) {
        self.log.log(level, &self.host, message);
    }
}

/// The directory name of a host: lower-case hexadecimal MD5 of the host as the user wrote it.
pub fn host_dir(host: &str) -> String {
    Md5::digest(host.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Configures one host.
///
/// # Errors
///
/// The first thing that fails. With `jobs`, objects that were worked on at the same time come to their end first.
pub async fn configure(run: Run) -> Result<Report, ConfigError> {
    let Outcome { report, error } = attempt(run).await;
    error.map_or(Ok(report), Err)
}

/// Configures one host, and tells after a failure too what was done.
pub async fn attempt(run: Run) -> Outcome {
    let started = Instant::now();
    let mut report = Report::default();
    let error = attempt_with(run, started, &mut report).await.err();
    report.elapsed = started.elapsed();
    Outcome { report, error }
}

/// True if a directory of the target can be the work directory. A command there may begin anywhere, so `/` is at the beginning.
pub fn is_work_dir(dir: &Path) -> bool {
    dir.is_absolute() && dir.file_name().is_some()
}

async fn attempt_with(mut run: Run, started: Instant, report: &mut Report) -> Result<(), ConfigError> {
    // One directory to remove, whatever happens in it. Kept until the end: dropping it removes the directory.
    let temporary = OwnDir::make(&run.temporary)
        .map_err(ConfigError::io(format!("making a directory in {}", run.temporary.display())))?;
    run.temporary = temporary.path().to_owned();
    let is_kept = run.work_dir.is_some();
    let base = run.work_dir.clone().unwrap_or_else(|| run.temporary.clone());
    if !is_work_dir(&run.remote_dir) {
        return Err(ConfigError::RemoteDir(run.remote_dir));
    }
    if run.dry_run {
        run.remote_dir = dry_run::place(&run.remote_dir)?;
        run.remove_remote_dir = true;
    } else if let Some(holder) = run.lock.clone()
        && run.connector.takes_scripts_on_stdin()
    {
        // Not for a dry run: nobody else knows its directory, and it must not leave a lock beside the other one.
        run.connector = Arc::new(Locked::new(run.connector, &run.remote_dir, holder));
    }
    let step = run.progress.step(format!("configuring {}", run.host));
    run.log(Level::Info, if run.dry_run { "Starting dry run" } else { "Starting configuration run" });
    let host_base = base.join(host_dir(&run.host));
    let engine = Arc::new(prepare(run, &host_base).await?);
    if is_kept {
        report.files = Some(engine.stage.out.clone());
    }
    report.marker.clone_from(&engine.stage.marker);
    let result = Arc::clone(&engine).work(&step).await;
    engine.finish().await;
    report.remote_calls = engine.remote_calls();
    report.answered = engine.has_answered();
    match result {
        Ok((objects, changed)) => (report.objects, report.done, report.changed) = (objects, objects, changed),
        Err(error) => {
            engine.progress_of_files(report);
            return Err(error);
        }
    }
    if let Some(cache) = &engine.run.cache {
        let dir = host::parent_of(cache);
        trust::place_for_root("the cache", dir)?;
        fs::create_dir_all(dir).map_err(ConfigError::io(format!("making {}", dir.display())))?;
        trust::directory_for_root("the cache", dir)?;
        save(&engine.stage, cache, &engine.run.host)?;
        report.files = Some(cache.clone());
    }
    let kind = if engine.run.dry_run { "dry run" } else { "successful run" };
    let seconds = started.elapsed().as_secs_f64();
    engine.run.log(Level::Info, &format!("Finished {kind} in {seconds:.2} seconds"));
    step.advance(report.objects as u64, Some(report.objects as u64), Unit::Objects);
    step.finish(format!("{} objects, {} with code", report.objects, report.changed.len()));
    Ok(())
}

/// Everything before the target is touched: names, directories, merged configuration.
async fn prepare(run: Run, host_base: &Path) -> Result<Engine, ConfigError> {
    let names = match run.names.clone() {
        Names::Known(names) => names,
        Names::Resolve(family) => {
            let host = run.host.clone();
            // The resolver may wait for a name server.
            tokio::task::spawn_blocking(move || names::resolve(&host, family))
                .await
                .map_err(ConfigError::Task)?
        }
    };
    // Wiped by its name, and scripts that others could exchange would be run from there.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(host_base)
        .map_err(ConfigError::io(format!("making {}", host_base.display())))?;
    trust::directory_for_root("the directory of the run", host_base)?;
    let stage = Stage::create(host_base.join("data"), run.remote_dir.clone())?;
    conf_dirs::merge(&run.conf_dirs, &stage, run.log.as_ref())?;
    stage.link_emulator(&run.cdist_exe)?;
    let connector_dir = host_base.join("connector");
    fs::create_dir_all(&connector_dir)
        .map_err(ConfigError::io(format!("making {}", connector_dir.display())))?;
    Engine::new(run, stage, names, connector_dir)
}

fn save(stage: &Stage, cache: &Path, host: &str) -> Result<(), ConfigError> {
    for name in [relations::CALLS, relations::ORDER_CONTEXT, "emulator.lock"] {
        // Not every run has them.
        let _ = fs::remove_file(stage.out.join(name));
    }
    let path = stage.out.join("target_host");
    fs::write(&path, format!("{host}\n")).map_err(ConfigError::io(format!("writing {}", path.display())))?;
    cache::save(&stage.out, cache)
}
