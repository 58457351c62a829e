//! `cdist config` and `cdist install`.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::{self, IsTerminal},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use cdist_core::{
    config::{
        self, Manifest, Mode, Names, Run, Streams,
        cache::entry_name,
        log::{Level, LogSink},
        log_server::LogClient,
        names::Family,
        settings::Settings,
    },
    connector::{Chroot, Connector, Custom, Holder, Local, Ssh, SshOptions},
    host::Cancel,
    inventory::Inventory,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    config_args::ConfigArgs,
    config_output::Output,
    host_result::{HostResult, State},
    host_table::{Form, HostTable},
    inventory_command::lines_of,
    layout::Layout,
    log_lines::LogLines,
    signals,
};

/// A failure before any host was touched: one line for the user.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            text = format!("{text}: {source}");
            cause = source.source();
        }
        Self(text)
    }
}

/// Runs the command and chooses the exit status: 0, 1 if anything failed, 130 or 143 after a signal.
pub(crate) fn run(args: ConfigArgs, mode: Mode) -> ExitCode {
    // Files of a run may hold secrets.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let mut log = LogLines::new();
    let settings = match Settings::load(args.config_file.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return refuse(&log, &error.into()),
    };
    log.outer = LogClient::from_environment().map(Arc::new);
    args.log.apply(&settings, &mut log);
    let job = match Job::new(args, settings, mode, log.clone()) {
        Ok(job) => job,
        Err(refusal) => return refuse(&log, &refusal),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&log, &error.into()),
    };
    runtime.block_on(job.run())
}

fn refuse(log: &LogLines, refusal: &Refusal) -> ExitCode {
    log.log(Level::Error, "cdist", &refusal.0);
    ExitCode::FAILURE
}

/// Everything that is known before the first host.
struct Job {
    args: ConfigArgs,
    settings: Settings,
    mode: Mode,
    log: LogLines,
    hosts: Vec<(String, Vec<String>)>,
    manifest: Manifest,
    /// Keeps a manifest from standard input.
    _manifest_file: Option<tempfile::TempPath>,
    conf_dirs: Vec<PathBuf>,
    jobs: Option<NonZeroUsize>,
    parallel: Option<NonZeroUsize>,
    program: PathBuf,
    pass_stdin: bool,
    output: Output,
}

impl Job {
    fn new(args: ConfigArgs, settings: Settings, mode: Mode, mut log: LogLines) -> Result<Self, Refusal> {
        check_beta(&args, &settings, mode)?;
        let stdin = Path::new("-");
        let manifest_from_stdin = args.initial_manifest.as_deref() == Some(stdin);
        let hosts_from_stdin = args.file.as_deref() == Some(stdin);
        if manifest_from_stdin && hosts_from_stdin {
            return Err(Refusal("Cannot read both, manifest and host file, from stdin".to_owned()));
        }
        let (manifest, manifest_file) = if manifest_from_stdin {
            let (path, keeper) = manifest_of_stdin()?;
            (Manifest::Path(path), Some(keeper))
        } else {
            let path = args.initial_manifest.clone().or_else(|| settings.init_manifest.clone());
            (path.map_or(Manifest::Init, Manifest::Path), None)
        };
        let hosts = hosts(&args, &settings)?;
        let layout = Layout::find()?;
        let conf_dirs = conf_dirs(&args.conf_dir, &settings, &layout);
        let program = layout.program;
        let jobs = number(args.jobs.or(settings.jobs));
        let wished = if args.sequential { None } else { args.parallel.or(settings.parallel) };
        let parallel = number(wished).filter(|n| n.get() > 1);
        log.with_pid = jobs.is_some() || parallel.is_some();
        log.with_time = args.timestamp || settings.timestamp == Some(true);
        if parallel.is_some() && log.outer.is_none() && log.level != Level::Off {
            let form = if io::stderr().is_terminal() { Form::Live } else { Form::Lines };
            log.table = HostTable::new(form, hosts.len());
        }
        Ok(Self {
            mode,
            hosts,
            manifest,
            _manifest_file: manifest_file,
            conf_dirs,
            jobs,
            parallel,
            program,
            pass_stdin: !hosts_from_stdin,
            output: Output::new(&args, mode, log.clone()),
            log,
            args,
            settings,
        })
    }

    async fn run(self) -> ExitCode {
        let cancel = Cancel::default();
        let signal = signals::watch(&cancel);
        let (base, temporary) = match self.base() {
            Ok(base) => base,
            Err(refusal) => return refuse(&self.log, &refusal),
        };
        let started = Instant::now();
        self.log.log(Level::Verbose, "cdist", concat!("version ", env!("CARGO_PKG_VERSION")));
        let results = self.configure_all(&base, &cancel).await;
        let seconds = started.elapsed().as_secs_f64();
        let failed: Vec<&str> =
            results.iter().filter(|r| r.state != State::Done).map(|r| r.host.as_str()).collect();
        let status = signal.status().unwrap_or_else(|| u8::from(!failed.is_empty()));
        self.log.log(
            Level::Verbose,
            "config",
            &format!("Total processing time for {} host(s): {seconds:.2}", self.hosts.len()),
        );
        self.output.end(&results, seconds, status);
        if signal.status().is_none() && !failed.is_empty() {
            let text = format!("Failed to configure the following hosts: {}", failed.join(" "));
            self.log.log(Level::Error, "cdist", &text);
        } else if temporary && let Err(error) = fs::remove_dir_all(&base) {
            // After a signal too: nobody looks for the reason of what was asked for.
            self.log.log(Level::Warning, "cdist", &format!("removing {}: {error}", base.display()));
        }
        ExitCode::from(status)
    }

    /// The directory of the runs' directories, and whether it is temporary. After a failure it stays: that is
    /// where the user looks for the reason.
    fn base(&self) -> Result<(PathBuf, bool), Refusal> {
        if let Some(dir) = self.args.out_dir.clone().or_else(|| self.settings.out_path.clone()) {
            return Ok((std::path::absolute(dir)?, false));
        }
        Ok((tempfile::Builder::new().prefix("cdist-").tempdir()?.keep(), true))
    }

    /// Returns how it went, in the order of the hosts.
    async fn configure_all(&self, base: &Path, cancel: &Cancel) -> Vec<HostResult> {
        let permits = Arc::new(Semaphore::new(self.parallel.map_or(1, NonZeroUsize::get)));
        let mut tasks = JoinSet::new();
        let mut results = BTreeMap::new();
        for (i, (host, tags)) in self.hosts.iter().enumerate() {
            let mut run = match self.run_for(host, tags.clone(), base, cancel) {
                Ok(run) => run,
                Err(refusal) => {
                    self.log.log(Level::Error, host, &refusal.0);
                    results.insert(i, HostResult::refused(host.clone(), refusal.0));
                    continue;
                }
            };
            // Taken here and not by the task, for hosts begin in their order. The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            let (log, host, output) = (self.log.clone(), host.clone(), self.output.clone());
            tasks.spawn(async move {
                let _permit = permit;
                if run.cancel.is_cancelled() {
                    return (i, HostResult::skipped(host));
                }
                let line = log.table.begin(&host);
                run.progress = line.progress();
                let result = HostResult::new(host, config::attempt(run).await);
                line.end(&result, log.tells_success());
                output.host(&result);
                (i, result)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            results.extend(joined.ok());
        }
        // A task that has panicked has no result; its host is no success.
        let lost = |host: &str| HostResult::refused(host.to_owned(), "the program failed inside".to_owned());
        let all = self.hosts.iter().enumerate();
        all.map(|(i, (host, _))| results.remove(&i).unwrap_or_else(|| lost(host))).collect()
    }

    fn run_for(&self, host: &str, tags: Vec<String>, base: &Path, cancel: &Cancel) -> Result<Run, Refusal> {
        let (args, settings) = (&self.args, &self.settings);
        let mut run = Run::new(
            host,
            self.conf_dirs.clone(),
            self.manifest.clone(),
            self.connector(host),
            self.program.clone(),
        );
        run.mode = self.mode;
        run.jobs = self.jobs;
        run.dry_run = args.dry_run;
        run.lock = Some(Holder::this_process());
        run.diff = args.diff;
        run.reveal_secrets = args.reveal_secrets;
        run.remove_remote_dir = false;
        run.work_dir = Some(base.to_owned());
        run.cache = Some(self.cache_entry(host)?);
        run.tags = tags;
        run.names = Names::Resolve(family(args));
        run.pass_stdin = self.pass_stdin;
        run.streams = if self.log.level == Level::Off {
            Streams::Discard
        } else if args.disable_saving_output_streams || settings.save_output_streams == Some(false) {
            Streams::Inherit
        } else {
            Streams::Save
        };
        if let Some(dir) = args.remote_out_dir.clone().or_else(|| settings.remote_out_path.clone()) {
            run.remote_dir = dir;
        }
        if let Some(shell) = &settings.local_shell {
            run.local_shell.clone_from(shell);
        }
        if let Some(shell) = &settings.remote_shell {
            run.remote_shell.clone_from(shell);
        }
        run.log_level = self.log.level;
        run.colored = self.log.colored;
        run.log = Arc::new(self.log.clone());
        run.log_server = args.log_server;
        run.cancel = cancel.clone();
        Ok(run)
    }

    fn connector(&self, host: &str) -> Arc<dyn Connector> {
        if self.args.chroot {
            return Arc::new(Chroot::new(host));
        }
        if self.args.local {
            return Arc::new(Local::new());
        }
        let chosen = |option: &Option<String>, setting: &Option<String>| {
            option.clone().or_else(|| setting.clone()).filter(|command| !command.is_empty())
        };
        let exec = chosen(&self.args.remote_exec, &self.settings.remote_exec);
        let copy = chosen(&self.args.remote_copy, &self.settings.remote_copy);
        let family = family(&self.args);
        if exec.is_none() && copy.is_none() {
            let config = self.args.ssh_config.clone().or_else(|| self.settings.ssh_config.clone());
            return Arc::new(Ssh::new(SshOptions { config, family }));
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
        let home = std::env::var_os("HOME").filter(|h| !h.is_empty());
        let Some(home) = home else {
            return Err(Refusal("No homedir setup and no cache dir location given".to_owned()));
        };
        let pattern = self.args.cache_path_pattern.as_ref().or(self.settings.cache_path_pattern.as_ref());
        let pattern = pattern.map_or("", String::as_str);
        let name = entry_name(pattern, host, &config::host_dir(host), std::process::id(), date);
        Ok(Path::new(&home).join(".cdist/cache").join(name))
    }
}

/// What date(1) makes of one of its sequences; the sequence itself if it is missing.
fn date(sequence: &str) -> String {
    let output = std::process::Command::new("date").arg(format!("+{sequence}")).output();
    let text =
        output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    text.map_or_else(|| sequence.to_owned(), |t| t.trim_end_matches('\n').to_owned())
}

fn family(args: &ConfigArgs) -> Family {
    match (args.force_ipv4, args.force_ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    }
}

fn check_beta(args: &ConfigArgs, settings: &Settings, mode: Mode) -> Result<(), Refusal> {
    if args.beta || settings.beta == Some(true) {
        return Ok(());
    }
    let hint = "please use -b to enable beta or set CDIST_BETA";
    if mode == Mode::Install {
        return Err(Refusal(format!("'install' command is beta, but beta is not enabled; {hint}")));
    }
    let used = [
        (args.tag, "tag"),
        (args.all_tagged, "all_tagged_hosts"),
        (args.use_archiving.is_some(), "use_archiving"),
    ];
    match used.iter().find(|(used, _)| *used) {
        Some((_, name)) => Err(Refusal(format!(
            "'{name}' argument of 'config' command is beta, but beta is not enabled; {hint}"
        ))),
        None => Ok(()),
    }
}

/// A number of things at a time: `None` and 0 are one after the other, -1 is one per processor.
fn number(wish: Option<i64>) -> Option<NonZeroUsize> {
    match wish? {
        -1 => std::thread::available_parallelism().ok(),
        n => usize::try_from(n).ok().and_then(NonZeroUsize::new),
    }
}

fn manifest_of_stdin() -> Result<(PathBuf, tempfile::TempPath), Refusal> {
    let mut file = tempfile::Builder::new().prefix("cdist.stdin.").tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    let path = file.into_temp_path();
    Ok((path.to_path_buf(), path))
}

/// The distribution's, the user's, the configured ones, those of `-c`.
pub(crate) fn conf_dirs(options: &[PathBuf], settings: &Settings, layout: &Layout) -> Vec<PathBuf> {
    let mut dirs = vec![layout.conf.clone()];
    if let Some(home) = std::env::var_os("HOME").filter(|h| !h.is_empty()) {
        dirs.push(Path::new(&home).join(".cdist"));
    }
    dirs.extend(settings.conf_dir.iter().flatten().cloned());
    dirs.extend(options.iter().cloned());
    dirs
}

/// The hosts with their tags, without repetitions.
fn hosts(args: &ConfigArgs, settings: &Settings) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let mut words = args.hosts.clone();
    if let Some(file) = &args.file {
        words.extend(lines_of(file)?);
    }
    if words.is_empty() && args.file.is_none() && !args.all_tagged {
        let what = if args.tag { "Target host tag(s) missing" } else { "Target host(s) missing" };
        return Err(Refusal(what.to_owned()));
    }
    if words.iter().any(String::is_empty) {
        return Err(Refusal("a host name must not be empty".to_owned()));
    }
    let inventory = inventory_dir(args.inventory.as_ref(), settings).map(Inventory::open).transpose()?;
    let selected = match &inventory {
        Some(inventory) if args.all_tagged => inventory.hosts()?,
        Some(inventory) if args.tag => inventory.hosts_with(&words, args.all)?,
        _ => words,
    };
    let mut seen = HashSet::new();
    let mut hosts = Vec::new();
    for host in selected {
        if seen.insert(host.clone()) {
            let tags = inventory.as_ref().map(|i| i.tags(&host)).transpose()?.flatten().unwrap_or_default();
            hosts.push((host, tags));
        }
    }
    Ok(hosts)
}

/// The option's, the configured one, or the user's.
pub(crate) fn inventory_dir(option: Option<&PathBuf>, settings: &Settings) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").filter(|h| !h.is_empty());
    let chosen = option.or(settings.inventory_dir.as_ref()).cloned();
    chosen.or_else(|| home().map(|h| Path::new(&h).join(".cdist/inventory")))
}
