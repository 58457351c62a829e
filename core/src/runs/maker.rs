//! From options and settings to the work on one host.

use std::{
    ffi::OsStr,
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Observer, RunOptions};
use crate::{
    config::{
        self, ConfigError, Manifest, Mode, Names, Run, Streams,
        cache::entry_name,
        is_work_dir,
        log::{Level, LogSink},
        log_server::SOCKET_VARIABLE,
        names::Family,
        profile::Profile,
        settings::Settings,
        without_repetitions,
    },
    connector::{Chroot, Connector, Custom, Guard, Guarded, Holder, HostKeys, Local, Ssh, SshOptions},
    host::Cancel,
    trust,
};

/// Variables by which systemd tells a service about itself. A script that has them could report the state of the service.
const OF_A_SERVICE: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    SOCKET_VARIABLE,
];

/// Why a run cannot begin: what, where, what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self(crate::chain(&error))
    }
}

/// Where the parts of the program and of its user are.
#[derive(Clone, Debug)]
pub struct ProgramPaths {
    /// The program that runs under the names of types.
    pub program: PathBuf,
    /// The configuration directory of the distribution.
    pub conf: PathBuf,
    /// The user's home directory, if there is one.
    pub home: Option<PathBuf>,
}

/// A host to work on.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// As the user wrote it.
    pub host: String,
    /// Its tags in the inventory.
    pub tags: Vec<String>,
    /// Which keys are right, by ssh.
    pub host_keys: HostKeys,
    /// Whether it is still the machine that is meant.
    pub guard: Option<Arc<dyn Guard>>,
}

/// Makes runs: everything that is the same for all hosts.
#[derive(Debug)]
pub struct RunMaker {
    options: RunOptions,
    settings: Settings,
    manifest: Manifest,
    conf_dirs: Vec<PathBuf>,
    paths: ProgramPaths,
    /// How many objects of a host at the same time.
    pub jobs: Option<NonZeroUsize>,
    /// Takes what lasts how long.
    pub profile: Profile,
    /// Hosts are directories on this machine.
    pub chroot: bool,
    /// Local scripts read what this process reads.
    pub pass_stdin: bool,
    /// This process is a service: questions are not answered, and what systemd tells it is not for scripts.
    pub is_service: bool,
}

impl RunMaker {
    /// Runs that begin with `manifest`. The setting for `jobs` counts.
    pub fn new(options: RunOptions, settings: Settings, paths: ProgramPaths, manifest: Manifest) -> Self {
        let conf_dirs = conf_dirs(&options.conf_dirs, &settings, &paths);
        let jobs = at_a_time(settings.jobs);
        Self {
            options,
            settings,
            manifest,
            conf_dirs,
            paths,
            jobs,
            profile: Profile::default(),
            chroot: false,
            pass_stdin: false,
            is_service: false,
        }
    }

    /// The options.
    pub fn options(&self) -> &RunOptions {
        &self.options
    }

    /// The first manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration directories without repetitions, the last one wins.
    pub fn conf_dirs(&self) -> Vec<PathBuf> {
        without_repetitions(&self.conf_dirs)
    }

    /// Looks whether the work directory on the target can be one.
    ///
    /// # Errors
    ///
    /// It is no absolute path that ends in a name.
    pub fn check_remote_dir(&self) -> Result<(), RunError> {
        let Some(dir) = self.remote_dir().filter(|dir| !is_work_dir(dir)) else { return Ok(()) };
        let error = ConfigError::RemoteDir(dir);
        Err(RunError(format!("{error}; {}", error.hint().unwrap_or_default())))
    }

    /// The directory that the user wants for the runs' own files.
    ///
    /// # Errors
    ///
    /// The working directory of this process is gone.
    pub fn out_dir(&self) -> io::Result<Option<PathBuf>> {
        let dir = self.options.out_dir.as_ref().or(self.settings.out_path.as_ref());
        dir.map(std::path::absolute).transpose()
    }

    /// The work on `target`, whose own files go below `base`.
    ///
    /// # Errors
    ///
    /// There is no place for the cache, or others can change a program that runs use.
    pub fn run_for(
        &self,
        target: &Target,
        mode: Mode,
        base: &Path,
        observer: &Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Result<Run, RunError> {
        let (options, settings) = (&self.options, &self.settings);
        let mut run = Run::new(
            &target.host,
            self.conf_dirs.clone(),
            self.manifest.clone(),
            self.connector(target),
            self.paths.program.clone(),
        );
        self.check_programs()?;
        run.mode = mode;
        run.jobs = self.jobs;
        run.profile = self.profile.clone();
        run.dry_run = options.dry_run;
        run.lock = Some(Holder::this_process());
        run.diff = options.diff;
        run.reveal_secrets = options.reveal_secrets;
        run.remove_remote_dir = false;
        run.work_dir = Some(base.to_owned());
        run.cache = Some(self.cache_entry(&target.host)?);
        run.tags.clone_from(&target.tags);
        run.names = Names::Resolve(options.family);
        run.pass_stdin = self.pass_stdin;
        run.streams = if observer.level() == Level::Off {
            Streams::Discard
        } else if options.pass_output || settings.save_output_streams == Some(false) {
            Streams::Inherit
        } else {
            Streams::Save
        };
        run.output_limit = options.output_limit.anew();
        run.remote_dir = self.remote_dir().unwrap_or(run.remote_dir);
        if let Some(shell) = &settings.local_shell {
            run.local_shell.clone_from(shell);
        }
        if let Some(shell) = &settings.remote_shell {
            run.remote_shell.clone_from(shell);
        }
        if self.is_service {
            run.environment.retain(|(name, _)| !is_of_a_service(name));
        }
        run.log_level = observer.level();
        run.colored = observer.is_colored();
        run.log = Arc::clone(observer) as Arc<dyn LogSink>;
        run.log_server = options.log_server;
        run.cancel = cancel.clone();
        Ok(run)
    }

    /// Checks that others cannot change the programs that are run here for each host, besides the configuration directories.
    ///
    /// # Errors
    ///
    /// A user other than root can change one of these programs.
    fn check_programs(&self) -> Result<(), RunError> {
        let (exec, copy) = self.remote_commands();
        let first = |command: Option<String>| Some(PathBuf::from(command?.split_whitespace().next()?));
        let used = [
            ("the remote exec command", first(exec)),
            ("the remote copy command", first(copy)),
            ("the local shell", self.settings.local_shell.clone()),
            // Never a name that is looked up in PATH, as one without a slash is of the others.
            ("the ssh configuration", self.ssh_config().and_then(|file| std::path::absolute(file).ok())),
        ];
        for (what, path) in used {
            if let Some(path) = path.filter(|path| path.components().count() > 1) {
                trust::way_for_root(what, &path).map_err(|error| RunError(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// The work directory on the target, if it is not the usual one.
    pub fn remote_dir(&self) -> Option<PathBuf> {
        self.options.remote_dir.clone().or_else(|| self.settings.remote_out_path.clone())
    }

    /// The user's own commands that lead to the target: for running, for copying.
    pub fn remote_commands(&self) -> (Option<String>, Option<String>) {
        let chosen = |option: &Option<String>, setting: &Option<String>| {
            option.clone().or_else(|| setting.clone()).filter(|command| !command.is_empty())
        };
        let exec = chosen(&self.options.remote_exec, &self.settings.remote_exec);
        (exec, chosen(&self.options.remote_copy, &self.settings.remote_copy))
    }

    /// What ssh reads instead of its own files.
    pub fn ssh_config(&self) -> Option<PathBuf> {
        self.options.ssh_config.clone().or_else(|| self.settings.ssh_config.clone())
    }

    fn connector(&self, target: &Target) -> Arc<dyn Connector> {
        let connector = self.way_to(target);
        match &target.guard {
            Some(guard) => Arc::new(Guarded::new(connector, Arc::clone(guard))),
            None => connector,
        }
    }

    fn way_to(&self, target: &Target) -> Arc<dyn Connector> {
        if self.chroot {
            return Arc::new(Chroot::new(&target.host));
        }
        if self.options.local {
            return Arc::new(Local::new());
        }
        let (exec, copy) = self.remote_commands();
        let family = self.options.family;
        if exec.is_none() && copy.is_none() {
            let host_keys = target.host_keys.clone();
            let config = self.ssh_config();
            return Arc::new(Ssh::new(SshOptions { config, family, host_keys, unattended: self.is_service }));
        }
        // With one command of the user, the other one is that of the original.
        let family = match family {
            Family::Any => "",
            Family::V4 => " -4",
            Family::V6 => " -6",
        };
        let exec = exec.unwrap_or_else(|| format!("ssh -o User=root{family}"));
        let copy = copy.unwrap_or_else(|| format!("scp -o User=root -q{family}"));
        Arc::new(Custom::new(exec, copy))
    }

    fn cache_entry(&self, host: &str) -> Result<PathBuf, RunError> {
        let Some(home) = &self.paths.home else {
            return Err(RunError("No homedir setup and no cache dir location given".to_owned()));
        };
        let pattern = self.options.cache_path_pattern.as_ref().or(self.settings.cache_path_pattern.as_ref());
        let pattern = pattern.map_or("", String::as_str);
        let name = entry_name(pattern, host, &config::host_dir(host), std::process::id(), date);
        Ok(home.join(".cdist/cache").join(name))
    }

    /// True if there is a place for the cache.
    pub fn has_home(&self) -> bool {
        self.paths.home.is_some()
    }
}

fn is_of_a_service(name: &OsStr) -> bool {
    OF_A_SERVICE.iter().any(|own| name == *own)
}

/// Sets the umask of this process so that only its user can read the files that it makes: those of runs may hold secrets.
pub fn keep_files_private() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// What date(1) makes of one of its sequences; the sequence itself without date(1).
fn date(sequence: &str) -> String {
    let output = std::process::Command::new("date").arg(format!("+{sequence}")).output();
    let text =
        output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    text.map_or_else(|| sequence.to_owned(), |t| t.trim_end_matches('\n').to_owned())
}

/// A number of things at a time: `None` and 0 are one after the other, -1 is one per processor.
pub fn at_a_time(wish: Option<i64>) -> Option<NonZeroUsize> {
    match wish? {
        -1 => std::thread::available_parallelism().ok(),
        n => usize::try_from(n).ok().and_then(NonZeroUsize::new),
    }
}

/// The configuration directories: the distribution's, the user's, the configured ones, those of `options`; the last one wins.
pub fn conf_dirs(options: &[PathBuf], settings: &Settings, paths: &ProgramPaths) -> Vec<PathBuf> {
    let mut dirs = vec![paths.conf.clone()];
    dirs.extend(paths.home.iter().map(|home| home.join(".cdist")));
    dirs.extend(settings.conf_dir.iter().flatten().cloned());
    dirs.extend(options.iter().cloned());
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::observer::testing::Unheard;

    #[test]
    fn what_systemd_tells_a_service_is_not_for_scripts() {
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"] {
            assert!(is_of_a_service(name.as_ref()), "{name}");
        }
        assert!(!is_of_a_service("PATH".as_ref()) && !is_of_a_service("LISTEN_FDS_X".as_ref()));
    }

    #[test]
    fn runs_of_a_service_read_nothing_and_keep_to_the_settings() {
        let paths = ProgramPaths { program: "/p".into(), conf: "/c".into(), home: Some("/home/x".into()) };
        let options = RunOptions {
            local: true,
            dry_run: true,
            cache_path_pattern: Some("%N".into()),
            ..RunOptions::default()
        };
        let settings =
            Settings { jobs: Some(3), remote_out_path: Some("/r/x".into()), ..Settings::default() };
        let mut maker = RunMaker::new(options, settings, paths, Manifest::Init);
        maker.is_service = true;
        let target = Target { host: "web1".into(), ..Target::default() };
        let observer: Arc<dyn Observer> = Arc::new(Unheard);
        let base = Path::new("/b");
        let run = maker.run_for(&target, Mode::Install, base, &observer, &Cancel::default()).unwrap();
        assert!(run.dry_run && !run.pass_stdin && run.mode == Mode::Install);
        assert_eq!((run.jobs.map(NonZeroUsize::get), run.remote_dir), (Some(3), "/r/x".into()));
        assert_eq!(run.cache, Some("/home/x/.cdist/cache/web1".into()));
        assert_eq!(run.conf_dirs, ["/c", "/home/x/.cdist"].map(PathBuf::from));
    }
}
