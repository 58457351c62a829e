//! `cdist config` and `cdist install`.

use std::{
    collections::HashSet,
    io::{self, IsTerminal},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use cdist_core::{
    config::{
        Manifest, Mode,
        log::{Level, LogSink},
        log_server::LogClient,
        settings::Settings,
    },
    host::{Cancel, limits},
    inventory::Inventory,
};

use crate::{
    config_args::ConfigArgs,
    config_output::Output,
    host_runs::{Base, HostRuns},
    host_table::{Form, HostTable},
    inventory_command::lines_of,
    layout::Layout,
    log_lines::LogLines,
    refusal::Refusal,
    run_maker::{RunMaker, Target, keep_files_private, manifest_of, number},
    signals,
};

/// Runs the command and chooses the exit status: 0, 1 if anything failed, 130 or 143 after a signal.
pub(crate) fn run(args: ConfigArgs, mode: Mode) -> ExitCode {
    keep_files_private();
    limits::raise_open_files();
    let mut log = LogLines::new();
    let settings = match Settings::load(args.run.config_file.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return refuse(&log, &error.into()),
    };
    log.outer = LogClient::from_environment().map(Arc::new);
    args.run.log.apply(&settings, &mut log);
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
    maker: RunMaker,
    mode: Mode,
    log: LogLines,
    hosts: Vec<Target>,
    /// Keeps a manifest from standard input.
    _manifest_file: Option<tempfile::TempPath>,
    parallel: Option<NonZeroUsize>,
    output: Output,
}

impl Job {
    fn new(args: ConfigArgs, settings: Settings, mode: Mode, mut log: LogLines) -> Result<Self, Refusal> {
        check_beta(&args, &settings, mode)?;
        let stdin = Path::new("-");
        let manifest_from_stdin = args.run.initial_manifest.as_deref() == Some(stdin);
        let hosts_from_stdin = args.file.as_deref() == Some(stdin);
        if manifest_from_stdin && hosts_from_stdin {
            return Err(Refusal("Cannot read both, manifest and host file, from stdin".to_owned()));
        }
        let (manifest, manifest_file) = if manifest_from_stdin {
            let (path, keeper) = manifest_of_stdin()?;
            (Manifest::Path(path), Some(keeper))
        } else {
            (manifest_of(&args.run, &settings), None)
        };
        let hosts = hosts(&args, &settings)?;
        let layout = Layout::find()?;
        let wished = if args.sequential { None } else { args.parallel.or(settings.parallel) };
        let parallel = number(wished).filter(|n| n.get() > 1);
        let jobs = number(args.jobs.or(settings.jobs));
        log.with_pid = jobs.is_some() || parallel.is_some();
        log.with_time = args.run.with_time(&settings);
        if parallel.is_some() && log.outer.is_none() && log.level != Level::Off {
            let form = if io::stderr().is_terminal() { Form::Live } else { Form::Lines };
            log.table = HostTable::new(form, hosts.len());
        }
        let output = Output::new(&args.run, args.json, mode, log.clone());
        let mut maker = RunMaker::new(args.run, settings, layout, manifest);
        (maker.jobs, maker.chroot, maker.pass_stdin) = (jobs, args.chroot, !hosts_from_stdin);
        Ok(Self { maker, mode, hosts, _manifest_file: manifest_file, parallel, output, log })
    }

    async fn run(self) -> ExitCode {
        let cancel = Cancel::default();
        let signal = signals::watch(&cancel);
        let base = match self.base() {
            Ok(base) => base,
            Err(refusal) => return refuse(&self.log, &refusal),
        };
        let runs = HostRuns {
            maker: &self.maker,
            mode: self.mode,
            hosts: &self.hosts,
            parallel: self.parallel,
            base,
            log: &self.log,
            output: &self.output,
            cancel,
            advice: |_| None,
        };
        let (_, status) = runs.work(|| signal.status()).await;
        ExitCode::from(status)
    }

    fn base(&self) -> Result<Base, Refusal> {
        if let Some(dir) = self.maker.out_dir()? {
            return Ok(Base::Kept(dir));
        }
        Ok(Base::Temporary(tempfile::Builder::new().prefix("cdist-").tempdir()?.keep()))
    }
}

fn check_beta(args: &ConfigArgs, settings: &Settings, mode: Mode) -> Result<(), Refusal> {
    if args.run.beta || settings.beta == Some(true) {
        return Ok(());
    }
    let hint = "please use -b to enable beta or set CDIST_BETA";
    if mode == Mode::Install {
        return Err(Refusal(format!("'install' command is beta, but beta is not enabled; {hint}")));
    }
    let used = [
        (args.tag, "tag"),
        (args.all_tagged, "all_tagged_hosts"),
        (args.run.use_archiving.is_some(), "use_archiving"),
    ];
    match used.iter().find(|(used, _)| *used) {
        Some((_, name)) => Err(Refusal(format!(
            "'{name}' argument of 'config' command is beta, but beta is not enabled; {hint}"
        ))),
        None => Ok(()),
    }
}

fn manifest_of_stdin() -> Result<(PathBuf, tempfile::TempPath), Refusal> {
    let mut file = tempfile::Builder::new().prefix("cdist.stdin.").tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    let path = file.into_temp_path();
    Ok((path.to_path_buf(), path))
}

/// The hosts with their tags, without repetitions.
fn hosts(args: &ConfigArgs, settings: &Settings) -> Result<Vec<Target>, Refusal> {
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
            hosts.push(Target { host, tags, ..Target::default() });
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
