//! `cdist shell`: a shell in which types can be called as in a manifest.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
    thread,
};

use cdist_core::{
    config::{
        log::{Level, LogSink},
        shell::Session,
    },
    host::describe,
    trust,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

use crate::{
    commands::conf_args::ConfArgs,
    exit_code,
    layout::Layout,
    terminal::{log_args::LogArgs, log_lines::LogLines, refusal::Refusal},
};

/// The options of `cdist shell`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShellArgs {
    /// Shell to start [default: $SHELL, else /bin/sh]
    #[arg(short, long, value_name = "SHELL")]
    shell: Option<OsString>,
    #[command(flatten)]
    conf: ConfArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the command. Exit status: 0 if the shell's was 0, 1 if it was not or there was no shell, 128 + N after
/// signal N to this process.
pub(crate) fn run(args: &ShellArgs) -> ExitCode {
    let mut log = LogLines::new();
    match act(args, &mut log) {
        Ok(code) => code,
        Err(refusal) => {
            log.log(Level::Error, "cdist", &refusal.0);
            ExitCode::FAILURE
        }
    }
}

fn act(args: &ShellArgs, log: &mut LogLines) -> Result<ExitCode, Refusal> {
    let settings = args.conf.settings()?;
    args.log.apply(&settings, log);
    let layout = Layout::find()?;
    let conf_dirs = args.conf.conf_dirs(&settings, &layout);
    let session = Session::open(conf_dirs, &layout.program, log.level, log.colored, Arc::new(log.clone()))?;
    let shell = shell(args.shell.clone())?;
    let shown = shell.to_string_lossy().into_owned();
    log.log(Level::Info, "cdist", &format!("Starting {shown}; objects go to {}", session.tree().display()));
    let (status, signal) =
        wait_for(Command::new(&shell).env_clear().envs(session.environment())).map_err(|error| {
            Refusal(format!("starting the shell {shown}: {error}; choose another one with -s"))
        })?;
    log.log(Level::Trace, "cdist", &format!("Finished {shown}"));
    if let Some(signal) = signal {
        return Ok(exit_code(128 + signal));
    }
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Refusal(format!("the shell {shown} ended with failure: {}", describe(status))))
}

fn shell(option: Option<OsString>) -> Result<OsString, Refusal> {
    match option {
        Some(shell) if shell.is_empty() => Err(Refusal("the name of the shell is empty".to_owned())),
        Some(shell) => Ok(shell),
        None => {
            let own = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
            if let Some(own) = own.as_deref().map(Path::new).filter(|shell| shell.is_absolute()) {
                trust::way_for_root("the shell", own)?;
            }
            Ok(own.unwrap_or_else(|| "/bin/sh".into()))
        }
    }
}

/// Runs the shell to its end. Returns its status, and the signal that has asked this process to end.
///
/// What is typed belongs to the shell: Ctrl-C and Ctrl-\ go to it and not to us. Other signals end the shell,
/// because the tree has to be removed after it.
fn wait_for(command: &mut Command) -> std::io::Result<(ExitStatus, Option<i32>)> {
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP])?;
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).map(Pid::from_raw).map_err(std::io::Error::other)?;
    let handle = signals.handle();
    let watcher = thread::spawn(move || {
        let mut asked = None;
        for signal in signals.forever().filter(|signal| matches!(*signal, SIGTERM | SIGHUP)) {
            asked = Some(signal);
            // An interactive shell ignores SIGTERM. One that has just ended needs nothing.
            let _ = kill(pid, Signal::SIGHUP);
        }
        asked
    });
    let status = child.wait();
    handle.close();
    let asked = watcher.join().ok().flatten();
    Ok((status?, asked))
}
