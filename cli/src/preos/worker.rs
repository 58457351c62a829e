//! What the worker of `cdist preos` does: it runs the plugin, in a process of its own.

use std::{ffi::OsString, path::Path, sync::Arc};

use cdist_core::{
    plugin::{
        Language, Registered,
        check::{Checker, Content},
        loader::{LoadError, Plugin},
        python, python_list,
        supervise::Reporter,
    },
    preos::services::{PluginContext, Services},
    progress::Progress,
};
use cdist_plugin_api::{Host, PluginError};

use crate::{
    layout::Layout,
    preos::args::PreosArgs,
    signals,
    terminal::{failure::Failure, logging, printable::line, progress::Display},
};

/// Runs as the worker: loads the plugin and calls it, or becomes the interpreter that does.
pub(crate) fn work(
    layout: &Layout,
    args: &PreosArgs,
    preos: &Registered,
    arguments: &[OsString],
    reporter: Reporter,
) -> i32 {
    if preos.language == Language::Python {
        let words = python::run_words(args.verbosity(), &preos.name, &preos.file, arguments.iter().cloned());
        return match words {
            Ok(words) => python_list::become_interpreter(words, None, reporter, &say),
            Err(reason) => {
                say(&format!("loading {}: {reason}", preos.file.display()));
                reporter.returned(1);
                1
            }
        };
    }
    let arguments: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();

    let display = Arc::new(Display::new(args.json_progress, args.quiet));
    logging::start(args.verbosity(), &display);
    let status = match call(layout, args, preos, &arguments, &display) {
        Ok(status) => {
            if status == 0 {
                display.summary();
            }
            status
        }
        Err(failure) => {
            failure.print();
            failure.status
        }
    };
    reporter.returned(status);
    status
}

/// Runs as the process that lists Python files.
pub(crate) fn list_python(files: &[OsString]) -> Result<i32, Failure> {
    python_list::supervise(files, &say).map_err(|error| Failure::from_error(&error))
}

fn say(reason: &str) {
    Failure::new(reason).print();
}

fn call(
    layout: &Layout,
    args: &PreosArgs,
    preos: &Registered,
    arguments: &[String],
    display: &Arc<Display>,
) -> Result<i32, Failure> {
    let cancel = signals::cancel_on_signals()?;
    let (plugin, built_with) = load(preos, args.verbosity())?;
    let host = Host::new(Services::new(PluginContext {
        preos: preos.name.clone(),
        plugin_file: preos.file.clone(),
        cdist_exe: layout.program.clone(),
        distribution_conf: layout.conf.clone(),
        conf_dirs: args.conf_dirs.clone(),
        home: dirs::home_dir(),
        verbosity: args.verbosity(),
        beta: args.beta || std::env::var_os("CDIST_BETA").is_some(),
        progress: Progress::new(Arc::clone(display) as _),
        cancel,
    }));
    let status = plugin.commandline(arguments, &host).map_err(|error| match error.exit_code {
        PluginError::PANICKED => {
            let origin = origin(&preos.file, &built_with);
            Failure::new(format!("{}: {} {origin}", preos.name, error.message()))
                .hint("report the crash to the plugin's author")
        }
        // A failure must not look like success.
        status => Failure::new(format!("{}: {}", preos.name, error.message())).status(if status == 0 {
            1
        } else {
            status
        }),
    })?;
    if !(0..=255).contains(&status) {
        let origin = origin(&preos.file, &built_with);
        let text = format!("{} returned {status}, which is no exit status {origin}", preos.name);
        return Err(Failure::new(text).hint("its work may be done or not; tell the plugin's author"));
    }
    Ok(status)
}

/// The plugin and its compiler. The file is checked once more: the file may have been replaced since.
fn load(preos: &Registered, verbosity: i32) -> Result<(Plugin, String), Failure> {
    let fail = |reason: String| Failure::new(format!("loading {}: {reason}", preos.file.display()));
    let content = Checker::default().check(&preos.file).map_err(|error| fail(error.to_string()))?;
    let Content::Library(text) = content else { return Err(fail("it is no library".to_owned())) };
    let plugin = Plugin::load(&preos.file, &preos.name, &text).map_err(|error| {
        if let (LoadError::Layout { detail, .. }, 3..) = (&error, verbosity) {
            tracing::debug!("{detail}");
        }
        Failure::from_error(&error)
    })?;
    Ok((plugin, text.built_with))
}

/// Where a plugin comes from, for messages about its death.
pub(crate) fn origin(file: &Path, built_with: &str) -> String {
    format!("({}, built with {})", line(&file.to_string_lossy()), line(built_with))
}
