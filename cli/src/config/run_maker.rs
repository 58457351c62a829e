//! From options and settings to the work on one host.

use std::{
    ffi::OsStr,
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use cdist_core::{
    config::{
        self, Manifest, Mode, Names, Run, Streams, cache::entry_name, log::Level,
        log_server::SOCKET_VARIABLE, names::Family, settings::Settings,
    },
    connector::{
        Chroot, Connector, Custom, Guard, Guarded, Holder, HostKeys, Local, OutputLimit, Ssh, SshOptions,
    },
    host::Cancel,
    trust,
};

use crate::{
    config::run_args::RunArgs,
    layout::Layout,
    terminal::{log_lines::LogLines, refusal::Refusal},
};

/// What systemd tells a service about itself. Scripts that find it would speak in the name of the service.
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

/// A host to work on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// As the user wrote it.
    pub(crate) host: String,
    /// Its tags in the inventory.
    pub(crate) tags: Vec<String>,
    /// Which keys are right, by ssh.
    pub(crate) host_keys: HostKeys,
    /// Whether it is still the machine that is meant.
    pub(crate) guard: Option<Arc<dyn Guard>>,
}

/// Makes runs: everything that is the same for all hosts.
#[derive(Debug)]
pub(crate) struct RunMaker {
    args: RunArgs,
    settings: Settings,
    manifest: Manifest,
    conf_dirs: Vec<PathBuf>,
    layout: Layout,
    /// How many objects of a host at the same time.
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Hosts are directories on this machine.
    pub(crate) chroot: bool,
    /// Local scripts read what this process reads.
    pub(crate) pass_stdin: bool,
    /// This process is a service: nobody answers questions, and what is told to it is not for scripts.
    pub(crate) is_service: bool,
}

impl RunMaker {
    /// Runs that begin with `manifest`. The setting for `jobs` counts.
    pub(crate) fn new(args: RunArgs, settings: Settings, layout: Layout, manifest: Manifest) -> Self {
        let conf_dirs = conf_dirs(&args.conf_dir, &settings, &layout);
        let jobs = number(settings.jobs);
        Self {
            args,
            settings,
            manifest,
            conf_dirs,
            layout,
            jobs,
            chroot: false,
            pass_stdin: false,
            is_service: false,
        }
    }

    /// The options.
    pub(crate) fn args(&self) -> &RunArgs {
        &self.args
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The first manifest.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration directories, the last one wins.
    pub(crate) fn conf_dirs(&self) -> &[PathBuf] {
        &self.conf_dirs
    }

    /// The directory that the user wants for the runs' own files.
    ///
    /// # Errors
    ///
    /// There is no working directory.
    pub(crate) fn out_dir(&self) -> io::Result<Option<PathBuf>> {
        let dir = self.args.out_dir.as_ref().or(self.settings.out_path.as_ref());
        dir.map(std::path::absolute).transpose()
    }

    /// The work on `target`, whose own files go below `base`.
    ///
    /// # Errors
    ///
    /// There is no place for the cache.
    pub(crate) fn run_for(
        &self,
        target: &Target,
        mode: Mode,
        base: &Path,
        log: &LogLines,
        cancel: &Cancel,
    ) -> Result<Run, Refusal> {
        let (args, settings) = (&self.args, &self.settings);
        let mut run = Run::new(
            &target.host,
            self.conf_dirs.clone(),
            self.manifest.clone(),
            self.connector(target),
            self.layout.program.clone(),
        );
        self.check_programs()?;
        run.mode = mode;
        run.jobs = self.jobs;
        run.dry_run = args.dry_run;
        run.lock = Some(Holder::this_process());
        run.diff = args.diff;
        run.reveal_secrets = args.reveal_secrets;
        run.remove_remote_dir = false;
        run.work_dir = Some(base.to_owned());
        run.cache = Some(self.cache_entry(&target.host)?);
        run.tags.clone_from(&target.tags);
        run.names = Names::Resolve(args.family());
        run.pass_stdin = self.pass_stdin;
        run.streams = if log.level == Level::Off {
            Streams::Discard
        } else if args.disable_saving_output_streams || settings.save_output_streams == Some(false) {
            Streams::Inherit
        } else {
            Streams::Save
        };
        run.output_limit = OutputLimit::new(args.output_max);
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
        run.log_level = log.level;
        run.colored = log.colored;
        run.log = Arc::new(log.clone());
        run.log_server = args.log_server;
        run.cancel = cancel.clone();
        Ok(run)
    }

    /// What is run here for each host, besides what the configuration directories hold.
    fn check_programs(&self) -> Result<(), Refusal> {
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
                trust::way_for_root(what, &path).map_err(|error| Refusal(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// The work directory on the target, if it is not the usual one.
    pub(crate) fn remote_dir(&self) -> Option<PathBuf> {
        self.args.remote_out_dir.clone().or_else(|| self.settings.remote_out_path.clone())
    }

    /// The user's own commands that lead to the target: for running, for copying.
    pub(crate) fn remote_commands(&self) -> (Option<String>, Option<String>) {
        let chosen = |option: &Option<String>, setting: &Option<String>| {
            option.clone().or_else(|| setting.clone()).filter(|command| !command.is_empty())
        };
        let exec = chosen(&self.args.remote_exec, &self.settings.remote_exec);
        (exec, chosen(&self.args.remote_copy, &self.settings.remote_copy))
    }

    /// What ssh reads instead of its own files.
    pub(crate) fn ssh_config(&self) -> Option<PathBuf> {
        self.args.ssh_config.clone().or_else(|| self.settings.ssh_config.clone())
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
        if self.args.local {
            return Arc::new(Local::new());
        }
        let (exec, copy) = self.remote_commands();
        let family = self.args.family();
        if exec.is_none() && copy.is_none() {
            let host_keys = target.host_keys.clone();
            let config = self.ssh_config();
            return Arc::new(Ssh::new(SshOptions { config, family, host_keys, unattended: self.is_service }));
        }
        // Who brings one of the two gets the other one as ever.
        let family = match family {
            Family::Any => "",
            Family::V4 => " -4",
            Family::V6 => " -6",
        };
        let exec = exec.unwrap_or_else(|| format!("ssh -o User=root{family}"));
        let copy = copy.unwrap_or_else(|| format!("scp -o User=root -q{family}"));
        Arc::new(Custom::new(exec, copy))
    }

    fn cache_entry(&self, host: &str) -> Result<PathBuf, Refusal> {
        let Some(home) = &self.layout.home else {
            return Err(Refusal("No homedir setup and no cache dir location given".to_owned()));
        };
        let pattern = self.args.cache_path_pattern.as_ref().or(self.settings.cache_path_pattern.as_ref());
        let pattern = pattern.map_or("", String::as_str);
        let name = entry_name(pattern, host, &config::host_dir(host), std::process::id(), date);
        Ok(home.join(".cdist/cache").join(name))
    }

    /// True if there is a place for the cache.
    pub(crate) fn has_home(&self) -> bool {
        self.layout.home.is_some()
    }
}

fn is_of_a_service(name: &OsStr) -> bool {
    OF_A_SERVICE.iter().any(|own| name == *own)
}

/// Files of runs may hold secrets: from now on nobody else can read what this process makes.
pub(crate) fn keep_files_private() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// The manifest of the option, else the configured one.
pub(crate) fn manifest_of(args: &RunArgs, settings: &Settings) -> Manifest {
    let path = args.initial_manifest.clone().or_else(|| settings.init_manifest.clone());
    path.map_or(Manifest::Init, Manifest::Path)
}

/// What date(1) makes of one of its sequences; the sequence itself if it is missing.
fn date(sequence: &str) -> String {
    let output = std::process::Command::new("date").arg(format!("+{sequence}")).output();
    let text =
        output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    text.map_or_else(|| sequence.to_owned(), |t| t.trim_end_matches('\n').to_owned())
}

/// A number of things at a time: `None` and 0 are one after the other, -1 is one per processor.
pub(crate) fn number(wish: Option<i64>) -> Option<NonZeroUsize> {
    match wish? {
        -1 => std::thread::available_parallelism().ok(),
        n => usize::try_from(n).ok().and_then(NonZeroUsize::new),
    }
}

/// The distribution's, the user's, the configured ones, those of `-c`.
pub(crate) fn conf_dirs(options: &[PathBuf], settings: &Settings, layout: &Layout) -> Vec<PathBuf> {
    let mut dirs = vec![layout.conf.clone()];
    dirs.extend(layout.home.iter().map(|home| home.join(".cdist")));
    dirs.extend(settings.conf_dir.iter().flatten().cloned());
    dirs.extend(options.iter().cloned());
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_tells_a_service_is_not_for_scripts() {
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"] {
            assert!(is_of_a_service(name.as_ref()), "{name}");
        }
        assert!(!is_of_a_service("PATH".as_ref()) && !is_of_a_service("LISTEN_FDS_X".as_ref()));
    }

    #[test]
    fn runs_of_a_service_read_nothing_and_keep_to_the_settings() {
        let layout = Layout {
            program: "/p".into(),
            plugins: "/l".into(),
            conf: "/c".into(),
            home: Some("/home/x".into()),
        };
        let args = RunArgs::of_words(["--local", "-n", "-C", "%N"]);
        let settings =
            Settings { jobs: Some(3), remote_out_path: Some("/r/x".into()), ..Settings::default() };
        let mut maker = RunMaker::new(args, settings, layout, Manifest::Init);
        maker.is_service = true;
        let target = Target { host: "web1".into(), ..Target::default() };
        let log = LogLines::new();
        let run = maker.run_for(&target, Mode::Install, Path::new("/b"), &log, &Cancel::default()).unwrap();
        assert!(run.dry_run && !run.pass_stdin && run.mode == Mode::Install);
        assert_eq!((run.jobs.map(NonZeroUsize::get), run.remote_dir), (Some(3), "/r/x".into()));
        assert_eq!(run.cache, Some("/home/x/.cdist/cache/web1".into()));
        assert_eq!(run.conf_dirs, ["/c", "/home/x/.cdist"].map(PathBuf::from));
    }
}
