//! A run of the program that is disturbed before its end.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{lab::process::wait_until, outcome::Outcome};

const LIMIT: Duration = Duration::from_secs(240);

/// The program at work, in a process group of its own; killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    messages: PathBuf,
}

impl Running {
    /// Starts `command` with its messages in the file `messages`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, messages: &Path) -> Self {
        let file = File::create(messages).expect("creating a file for messages");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).process_group(0);
        Self { child: command.spawn().expect("starting the program"), messages: messages.to_owned() }
    }

    /// What it has said so far.
    #[must_use]
    pub fn messages(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }

    /// Waits until it is in the middle of its work, as `there` tells.
    ///
    /// # Panics
    ///
    /// If that does not come within minutes, or the program ends before.
    pub fn wait_until(&mut self, what: &str, mut there: impl FnMut(&str) -> bool) {
        let come = wait_until(LIMIT, || {
            let ended = self.child.try_wait().expect("waiting for the program");
            assert!(ended.is_none(), "it ended before {what}:\n{}", self.messages());
            there(&self.messages()).then_some(())
        });
        assert!(come.is_some(), "{what} did not come:\n{}", self.messages());
    }

    /// The process that does the work: the child of the init that is the child of the program.
    ///
    /// # Panics
    ///
    /// If it is not there.
    #[must_use]
    pub fn worker(&self) -> Pid {
        only_child(only_child(self.pid()))
    }

    /// The program itself.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Sends a signal to the program and all its processes, as a terminal does for Ctrl-C.
    ///
    /// # Panics
    ///
    /// If they are gone.
    pub fn signal_all(&self, signal: Signal) {
        kill(Pid::from_raw(-self.pid().as_raw()), signal).expect("sending a signal to the process group");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within half a minute.
    pub fn end(&mut self) -> Outcome {
        let status =
            wait_until(Duration::from_secs(30), || self.child.try_wait().expect("waiting for the program"));
        let status = status.unwrap_or_else(|| panic!("it did not end within 30 s:\n{}", self.messages()));
        Outcome { status: status.code(), stderr: self.messages() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn only_child(parent: Pid) -> Pid {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let child = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
    Pid::from_raw(child.unwrap_or_else(|| panic!("process {parent} has no child")))
}
