//! The processes of one run of a plugin in a check: the one that supervises, and the worker that calls the plugin.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use cdist_plugin_api::{Host, PluginError};
use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{Pid, Uid},
};
use serde::{Deserialize, Serialize};

use super::{
    CheckError,
    catalogue::Check,
    events::{Event, Events, cut},
    host::{Answers, CheckHost},
    leftovers::Before,
    reading,
};
use crate::{
    chain,
    host::{self, Cancel},
    plugin::{
        check::{Checker, Content},
        loader::{LoadError, Plugin},
        python, sandbox,
        supervise::{self, Reporter, SuperviseError},
    },
};

/// The first word of the command line of the process that supervises a run.
pub const WORD: &str = "--plugin-probe";

/// A plugin that asks for no service is asked to stop after this time.
pub(super) const BUSY: Duration = Duration::from_secs(1);
/// How long a plugin may take to stop.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What a process of a run may take, in bytes: enough for every use, and no harm to the machine. No core is written.
const LIMITS: [(Resource, u64); 3] =
    [(Resource::RLIMIT_AS, 4 << 30), (Resource::RLIMIT_FSIZE, 1 << 30), (Resource::RLIMIT_CORE, 0)];

/// An extension of this name is never defined.
const UNKNOWN_EXTENSION: &str = "cdist.plugin-check.no-such-extension";

/// What a run does with the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    /// Read the file, for this check.
    Read(Check),
    /// Load it; a Python file is listed, and the list goes to standard output.
    Load,
    /// Call `commandline`.
    Call,
    /// Call it, and ask it to stop when it asks for a service, or after a time.
    Cancel,
    /// Call it through the real command line, with an argument that is not UTF-8.
    CommandLine,
}

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Probe {
    pub(super) work: Work,
    pub(super) answers: Answers,
    /// Whether the plugin may find the data beside its file.
    pub(super) data: bool,
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) python: bool,
    /// Where the processes write their events.
    pub(super) events: PathBuf,
    /// The directory in which the plugin runs, and may write.
    pub(super) dir: PathBuf,
    /// The directory for temporary files, which holds `dir`.
    pub(super) temporary: PathBuf,
    /// What the plugin has to see in directories that the sandbox hides.
    pub(super) keep: Vec<PathBuf>,
}

impl Probe {
    /// An empty directory, the argument of a plugin for which the user gives none.
    pub(super) fn target(&self) -> PathBuf {
        self.dir.join("target")
    }
}

fn parse(word: Option<&OsString>) -> Result<Probe, CheckError> {
    let usage = |message: String| CheckError::Usage { message, hint: None };
    let word = word.ok_or_else(|| usage("the description of the run is missing".to_owned()))?;
    serde_json::from_str(&word.to_string_lossy())
        .map_err(|error| usage(format!("reading the description of a run: {error}")))
}

/// How a run begins to listen for the signals that cancel it.
type Listen<'a> = &'a dyn Fn() -> Result<Cancel, String>;

/// Runs as the process that supervises. A process of its own, because one can make one PID namespace only. `words` come
/// after [`WORD`], `program` is this one, and `listen` begins to listen for signals.
///
/// # Errors
///
/// The words describe no run, or its file of events cannot be opened. All else is in that file.
pub fn supervise(words: &[OsString], program: &Path, listen: Listen<'_>) -> Result<(), CheckError> {
    supervise::end_with_parent().map_err(|error| CheckError::Failed(chain(&error)))?;
    let probe = parse(words.first())?;
    // Before the sandbox, which hides it.
    let events = Events::open(&probe.events)
        .map_err(|error| CheckError::io(&format!("opening {}", probe.events.display()), &error))?;
    let events = Arc::new(events);
    let arguments = &words[1..];
    if let Err(error) = supervise::run(|reporter| work(&probe, program, arguments, &events, listen, reporter))
    {
        events.put(&match error {
            SuperviseError::System { .. } | SuperviseError::Init(_) => Event::NotRun(chain(&error)),
            _ => Event::Died(chain(&error)),
        });
    }
    Ok(())
}

/// Runs as the worker.
fn work(
    probe: &Probe,
    program: &Path,
    arguments: &[OsString],
    events: &Arc<Events>,
    listen: Listen<'_>,
    reporter: Reporter,
) -> i32 {
    if let Work::Read(check) = probe.work {
        events.put(&reading::read(check, &probe.file));
    } else if let Err(reason) = prepare(probe, arguments).and_then(|()| {
        if probe.work == Work::CommandLine {
            run_cdist(probe, program, events)
        } else if probe.python {
            run_python(probe, arguments, events)
        } else {
            run_library(probe, program, arguments, events, listen)
        }
    }) {
        events.put(&Event::NotRun(reason));
    }
    reporter.returned(0);
    0
}

fn prepare(probe: &Probe, arguments: &[OsString]) -> Result<(), String> {
    if Uid::effective().is_root() {
        sandbox::enter(&probe.temporary, &probe.dir, &probe.keep)
            .map_err(|error| format!("making the sandbox for the plugin: {error}"))?;
    }
    std::env::set_current_dir(&probe.dir)
        .map_err(|error| format!("entering {}: {error}", probe.dir.display()))?;
    if arguments == [probe.target()] {
        fs::create_dir(probe.target())
            .map_err(|error| format!("making {}: {error}", probe.target().display()))?;
    }
    for (resource, limit) in LIMITS {
        getrlimit(resource)
            .and_then(|(_, most)| setrlimit(resource, limit.min(most), limit.min(most)))
            .map_err(|error| format!("setting the limits of a run: {error}"))?;
    }
    prctl::set_child_subreaper(true).map_err(|error| format!("becoming a subreaper: {error}"))
}

fn run_library(
    probe: &Probe,
    program: &Path,
    arguments: &[OsString],
    events: &Arc<Events>,
    listen: Listen<'_>,
) -> Result<(), String> {
    let not_loaded = |check: Check, reason: String| {
        events.put(&Event::NotLoaded { check: check.name().to_owned(), reason: cut(&reason) });
    };
    let text = match Checker::default().check(&probe.file) {
        Ok(Content::Library(text)) => text,
        Ok(Content::Python) => return Err("a Python file is no library".to_owned()),
        // A check before this one has opened the file, so it has changed since.
        Err(error) => {
            events.put(&Event::Died(error.to_string()));
            return Ok(());
        }
    };
    let plugin = match Plugin::load(&probe.file, &probe.name, &text) {
        Ok(plugin) => plugin,
        Err(error) => {
            not_loaded(failed_check(&error), chain(&error));
            return Ok(());
        }
    };
    events.put(&Event::Loaded);
    if probe.work == Work::Load {
        return Ok(());
    }
    if plugin.has_extension(UNKNOWN_EXTENSION) {
        events.put(&Event::KnowsEverything);
    }

    let cancel = listen()?;
    let (called, calls) = mpsc::channel();
    let host = Host::new(CheckHost {
        answers: probe.answers,
        events: Arc::clone(events),
        cancel,
        called,
        plugin_file: probe.data.then(|| probe.file.clone()),
        program: program.to_owned(),
        steps: 0.into(),
    });
    let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let before = Before::now().map_err(|error| error.to_string())?;
    let returned = watch(probe, events, calls, Pid::this());
    let result = plugin.commandline(&arguments, &host);
    drop(returned);
    events.put(&match result {
        Ok(status) => Event::Returned { status, error: None, panicked: false },
        Err(error) => Event::Returned {
            status: error.exit_code,
            error: Some(cut(error.message())),
            panicked: error.exit_code == PluginError::PANICKED,
        },
    });
    before.report(events);
    Ok(())
}

/// Which check an error in loading belongs to.
fn failed_check(error: &LoadError) -> Check {
    match error {
        LoadError::Open { .. } => Check::Libraries,
        LoadError::Layout { .. } => Check::Layout,
        LoadError::Disagrees { .. } | LoadError::Missing { .. } => Check::Names,
    }
}

/// If the run is to be cancelled, sends SIGTERM to `process` at the first message of `calls` or after a time, and ends
/// this process if the plugin goes on for too long. The plugin has returned when the value is dropped.
fn watch(probe: &Probe, events: &Arc<Events>, calls: Receiver<()>, process: Pid) -> mpsc::Sender<()> {
    let (returned, wait_for_return) = mpsc::channel::<()>();
    if probe.work != Work::Cancel {
        return returned;
    }
    let events = Arc::clone(events);
    thread::spawn(move || {
        let waits = |limit| wait_for_return.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        let _ = calls.recv_timeout(BUSY);
        if !waits(Duration::ZERO) {
            return;
        }
        events.put(&Event::Signalled);
        let _ = kill(process, Signal::SIGTERM);
        if waits(STOP_LIMIT) {
            events.put(&Event::Late);
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    });
    returned
}

/// With copies: the command line looks at all plugins of a directory.
fn run_cdist(probe: &Probe, program: &Path, events: &Events) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("copying the plugin: {error}");
    let dir = probe.dir.join("plugins");
    DirBuilder::new().mode(0o755).create(&dir).map_err(failed)?;
    let mut files = vec![probe.file.clone()];
    if probe.python {
        files.extend(python::importable(&probe.file, &mut Checker::default()));
    }
    for file in files {
        let copy = dir.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &copy).map_err(failed)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o644)).map_err(failed)?;
    }
    let status = Command::new(program)
        .args(["preos", "--plugin-dir"])
        .arg(&dir)
        .arg(&probe.name)
        .arg(OsStr::from_bytes(b"\xff"))
        .env_remove("CDIST_PREOS_PATH")
        .status()
        .map_err(|error| format!("starting {}: {error}", program.display()))?;
    events.put(&match status.code() {
        Some(status) => Event::Returned { status, error: None, panicked: false },
        None => Event::Died(format!("cdist died: {}", host::describe(status))),
    });
    Ok(())
}

/// The interpreter is a child here, where a real run becomes it: so that what it leaves can be seen.
fn run_python(probe: &Probe, arguments: &[OsString], events: &Arc<Events>) -> Result<(), String> {
    let words = match probe.work {
        Work::Load => {
            // The file comes first, then what it may import.
            let mut files = vec![probe.file.clone()];
            let beside = python::importable(&probe.file, &mut Checker::default());
            files.extend(beside.into_iter().filter(|other| *other != probe.file));
            Ok(python::list_words(files.into_iter().map(PathBuf::into_os_string)))
        }
        _ => python::run_words(0, &probe.name, &probe.file, arguments.iter().cloned()),
    };
    let words = match words {
        Ok(words) => words,
        Err(reason) => {
            events.put(&Event::Died(reason));
            return Ok(());
        }
    };
    let interpreter = python::interpreter()?;
    let before = Before::now().map_err(|error| error.to_string())?;
    let mut child = Command::new(&interpreter)
        .args(words)
        .spawn()
        .map_err(|error| format!("starting {}: {error}", interpreter.display()))?;
    // Its host has no services that it could ask for.
    let (_nobody, calls) = mpsc::channel();
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let returned = watch(probe, events, calls, process);
    let status = child.wait().map_err(|error| format!("waiting for python3: {error}"))?;
    drop(returned);
    events.put(&match (status.code(), status.signal()) {
        (Some(status), _) => Event::Returned { status, error: None, panicked: false },
        (None, Some(signal)) if probe.work == Work::Cancel && signal == Signal::SIGTERM as i32 => {
            Event::Returned { status: 128 + signal, error: None, panicked: false }
        }
        _ => Event::Died(format!("it died: {}", host::describe(status))),
    });
    // One that SIGTERM has killed had no chance to clean up; a real run does it.
    if status.code().is_some() {
        before.report(events);
    }
    Ok(())
}
