//! `cdist config` and `cdist install`.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, IsTerminal},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use cdist_core::{
    config::{
        Manifest, Mode,
        log::{Level, LogSink},
        log_server::LogClient,
        settings::Settings,
    },
    host::{Cancel, OwnDir, limits},
    inventory::Inventory,
    runs::{Base, HostRuns, Observer, RunMaker, RunOptions, Target, at_a_time, keep_files_private},
};

use super::{args::ConfigArgs, output::Output};
use crate::{
    commands::inventory::{inventory_dir, lines_of},
    layout::Layout,
    signals,
    terminal::{
        host_table::{Form, HostTable},
        log_lines::LogLines,
        refusal::Refusal,
    },
};

/// How long the scripts of a killed run may go on before they are killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command and chooses the exit status: 0, 1 if anything failed, 130 or 143 after a signal.
pub(crate) fn run(args: &ConfigArgs, mode: Mode) -> ExitCode {
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
    /// What this process has in `TMPDIR`.
    own: OwnDir,
    parallel: Option<NonZeroUsize>,
    output: Arc<dyn Observer>,
}

impl Job {
    fn new(args: &ConfigArgs, settings: Settings, mode: Mode, mut log: LogLines) -> Result<Self, Refusal> {
        check_beta(args, &settings, mode)?;
        let stdin = Path::new("-");
        let manifest_from_stdin = args.run.initial_manifest.as_deref() == Some(stdin);
        let hosts_from_stdin = args.file.as_deref() == Some(stdin);
        if manifest_from_stdin && hosts_from_stdin {
            return Err(Refusal("Cannot read both, manifest and host file, from stdin".to_owned()));
        }
        let own = own_dir(&log)?;
        let options = RunOptions::from(&args.run);
        let manifest = if manifest_from_stdin {
            Manifest::Path(manifest_of_stdin(own.path())?)
        } else {
            options.manifest(&settings)
        };
        let hosts = hosts(args, &settings)?;
        let layout = Layout::find()?;
        let wished = if args.sequential { None } else { args.parallel.or(settings.parallel) };
        let parallel = at_a_time(wished).filter(|n| n.get() > 1);
        let jobs = at_a_time(args.jobs.or(settings.jobs));
        log.with_pid = jobs.is_some() || parallel.is_some();
        log.with_time = args.run.with_time(&settings);
        if parallel.is_some() && log.outer.is_none() && log.level != Level::Off {
            let form = if io::stderr().is_terminal() { Form::Live } else { Form::Lines };
            log.table = HostTable::new(form, hosts.len());
        }
        let output = Arc::new(Output::new(&args.run, args.json, mode, log.clone()));
        let mut maker = RunMaker::new(options, settings, layout.paths(), manifest);
        (maker.jobs, maker.chroot, maker.pass_stdin) = (jobs, args.chroot, !hosts_from_stdin);
        Ok(Self { maker, mode, hosts, own, parallel, output, log })
    }

    async fn run(self) -> ExitCode {
        let cancel = Cancel::default();
        let signal = signals::watch(&cancel);
        let base = match self.maker.out_dir() {
            Ok(Some(dir)) => Base::Kept(dir),
            Ok(None) => Base::Temporary(self.own),
            Err(error) => return refuse(&self.log, &error.into()),
        };
        let runs = HostRuns {
            maker: &self.maker,
            mode: self.mode,
            hosts: &self.hosts,
            parallel: self.parallel,
            base,
            observer: &self.output,
            cancel,
            host_key_advice: None,
        };
        let (_, status) = runs.work(|| signal.status()).await;
        ExitCode::from(status)
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

/// The directory of this process. If it is killed, the next one waits for the scripts that it leaves, as this one does now.
fn own_dir(log: &LogLines) -> io::Result<OwnDir> {
    let place = std::env::temp_dir();
    OwnDir::end_left(&place, PATIENCE, |left| {
        let text = format!("Waiting for the scripts that a killed cdist left: processes {left:?}");
        log.log(Level::Warning, "cdist", &text);
    });
    let own = OwnDir::make(&place)?;
    own.write_down_scripts()?;
    Ok(own)
}

fn manifest_of_stdin(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("manifest");
    io::copy(&mut io::stdin().lock(), &mut File::create_new(&path)?)?;
    Ok(path)
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
