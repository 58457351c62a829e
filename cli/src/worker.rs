//! The child processes of `cdist preos`: init of the namespaces, and the worker that runs the plugin.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use cdist_core::{
    host::Cancel,
    plugin::{
        Language, Registered,
        check::{Checker, Content},
        loader::{LoadError, Plugin},
        python,
        supervise::{self, Reporter},
    },
    preos::services::{Context, Services},
    progress::Progress,
};
use cdist_plugin_api::{Host, PluginError};
use serde::{Deserialize, Serialize};

use crate::{
    args::PreosArgs, failure::Failure, layout::Layout, logging, plugin_check, preos_command,
    progress_display::Display,
};

/// The first word of the command line of init.
pub(crate) const INIT_WORD: &str = "--plugin-init";
/// The first word of the command line of the worker.
pub(crate) const WORKER_WORD: &str = "--plugin-worker";

/// What the worker is there for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Run a PreOS of a library.
    Library(Settings),
    /// Run a PreOS of a Python file.
    Python(Settings),
    /// List Python files.
    ListPython,
    /// One run of `cdist plugin check`.
    Check(plugin_check::Probe),
}

impl Task {
    /// The word before all others. Fails if a path is not UTF-8.
    pub(crate) fn to_word(&self) -> Result<OsString, Failure> {
        serde_json::to_string(self).map(OsString::from).map_err(|_| {
            Failure::usage(
                "the name of the plugin's file or of a --conf-dir is not UTF-8; rename the directory",
            )
        })
    }
}

/// What the worker has to know besides the plugin's arguments. Holds no secrets: it crosses as a command line word.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    verbosity: i32,
    beta: bool,
    json_progress: bool,
    conf_dirs: Vec<PathBuf>,
    name: String,
    file: PathBuf,
}

impl Settings {
    pub(crate) fn from_args(args: &PreosArgs) -> Self {
        Self {
            verbosity: if args.quiet { -1 } else { i32::from(args.verbose) },
            beta: args.beta || std::env::var_os("CDIST_BETA").is_some(),
            json_progress: args.json_progress,
            conf_dirs: args.conf_dirs.clone(),
            name: String::new(),
            file: PathBuf::new(),
        }
    }

    /// The words before the plugin's own arguments. Fails if a path is not UTF-8.
    pub(crate) fn to_words(&self, preos: &Registered) -> Result<Vec<OsString>, Failure> {
        let settings = Settings {
            name: preos.name.clone(),
            file: preos.file.clone(),
            conf_dirs: self.conf_dirs.clone(),
            ..*self
        };
        let task = match preos.language {
            Language::Native(_) => Task::Library(settings),
            Language::Python => Task::Python(settings),
        };
        Ok(vec![task.to_word()?])
    }
}

/// Runs as init.
pub(crate) fn init(words: &[OsString]) -> Result<i32, Failure> {
    // Looked up before the mount namespace is made, and the worker started by this path: a program that is started
    // through /proc/self/exe there belongs to the old namespace, and below a chroot it then cannot tell where it is.
    let layout = Layout::find_or_fail()?;
    supervise::init(&layout.program, WORKER_WORD, words).map_err(|error| Failure::from_error(&error))
}

/// Runs as the worker: loads the plugin and calls it, or becomes the interpreter that does.
pub(crate) fn work(words: &[OsString]) -> Result<i32, Failure> {
    let (reporter, rest) = Reporter::take(words).map_err(|error| {
        Failure::from_error(&error).hint("this option is for cdist itself; run `cdist preos NAME`")
    })?;
    let (task, arguments) = rest.split_first().ok_or_else(|| Failure::usage("the settings are missing"))?;
    let task: Task = serde_json::from_str(&task.to_string_lossy())
        .map_err(|error| Failure::usage(format!("reading the settings of the plugin's process: {error}")))?;
    let settings = match task {
        Task::Library(settings) => settings,
        Task::Python(Settings { verbosity, name, file, .. }) => {
            let words = python::run_words(verbosity, &name, &file, arguments.iter().cloned())
                .map_err(|reason| Failure::new(format!("loading {}: {reason}", file.display())));
            return become_python(reporter, words, None);
        }
        Task::Check(probe) => return plugin_check::work(&probe, reporter, arguments),
        Task::ListPython => {
            let words = python::list_words(arguments.iter().cloned());
            return become_python(reporter, Ok(words), Some(Path::new("/")));
        }
    };
    let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();

    let display = Arc::new(Display::new(settings.json_progress, settings.verbosity < 0));
    logging::start(settings.verbosity, &display);
    let result = call(&settings, &arguments, &display);
    let (status, failure) = match result {
        Ok(status) => {
            if status == 0 {
                display.summary();
            }
            (status, None)
        }
        Err(failure) => (failure.status, Some(failure)),
    };
    if let Some(failure) = failure {
        failure.print();
    }
    reporter.returned(status);
    Ok(status)
}

/// Becomes the interpreter, so that signals reach it, and its exit status is the plugin's. Returns only if that fails.
fn become_python(
    reporter: Reporter,
    words: Result<Vec<OsString>, Failure>,
    directory: Option<&Path>,
) -> Result<i32, Failure> {
    let missing = || Failure::new("there is no python3; install the package python3");
    let failure = match words.and_then(|words| Ok((words, python::interpreter().ok_or_else(missing)?))) {
        Ok((words, interpreter)) => {
            let mut command = Command::new(&interpreter);
            command.args(words);
            if let Some(directory) = directory {
                command.current_dir(directory);
            }
            reporter.replaced();
            return Err(Failure::new(format!("starting {}: {}", interpreter.display(), command.exec())));
        }
        Err(failure) => failure,
    };
    failure.print();
    reporter.returned(failure.status);
    Ok(failure.status)
}

fn call(settings: &Settings, arguments: &[String], display: &Arc<Display>) -> Result<i32, Failure> {
    let layout = Layout::find_or_fail()?;
    let cancel = Cancel::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, cancel.flag())
            .map_err(|error| Failure::new(format!("listening for signals: {error}")))?;
    }
    let (plugin, built_with) = load(settings)?;
    let host = Host::new(Services::new(Context {
        preos: settings.name.clone(),
        plugin_file: settings.file.clone(),
        cdist_exe: layout.program,
        distribution_conf: layout.conf,
        conf_dirs: settings.conf_dirs.clone(),
        home: dirs::home_dir(),
        verbosity: settings.verbosity,
        beta: settings.beta,
        progress: Progress::new(Arc::clone(display) as _),
        cancel,
    }));
    let status = plugin.commandline(arguments, &host).map_err(|error| match error.exit_code {
        PluginError::PANICKED => {
            let origin = preos_command::origin(&settings.file, &built_with);
            Failure::new(format!("{}: {} {origin}", settings.name, error.message()))
                .hint("report the crash to the plugin's author")
        }
        // A failure must not look like success.
        status => Failure::new(format!("{}: {}", settings.name, error.message())).status(if status == 0 {
            1
        } else {
            status
        }),
    })?;
    if !(0..=255).contains(&status) {
        let origin = preos_command::origin(&settings.file, &built_with);
        let text = format!("{} returned {status}, which is no exit status {origin}", settings.name);
        return Err(Failure::new(text).hint("its work may be done or not; tell the plugin's author"));
    }
    Ok(status)
}

/// The plugin and its compiler. The file is checked once more: this process is a new one, and the file may have been replaced since.
fn load(settings: &Settings) -> Result<(Plugin, String), Failure> {
    let fail = |reason: String| Failure::new(format!("loading {}: {reason}", settings.file.display()));
    let content = Checker::default().check(&settings.file).map_err(|error| fail(error.to_string()))?;
    let Content::Library(text) = content else { return Err(fail("it is no library".to_owned())) };
    let plugin = Plugin::load(&settings.file, &settings.name, &text).map_err(|error| {
        if let (LoadError::Layout { detail, .. }, 3..) = (&error, settings.verbosity) {
            tracing::debug!("{detail}");
        }
        Failure::from_error(&error)
    })?;
    Ok((plugin, text.built_with))
}
