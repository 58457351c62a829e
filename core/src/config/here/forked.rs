//! Scripts on this machine that a running shell reads in a subshell: those of the objects of a wave are mostly the same ones.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::messages::Messages;
use crate::{
    config::{
        engine::Engine,
        error::ConfigError,
        log::Level,
        profile::SpanKind,
        request::Streams,
        stage::{open_append, random_letters},
        variables::Variables,
    },
    connector::{ProcessError, StandingShell, Written, shown},
    host::{
        forkable::{Corrected, has_background, is_forkable, plain_shell},
        quote::posix_always,
        start,
    },
};

/// With fewer objects, a shell of their own costs the scripts no more.
const OBJECTS_MIN: usize = 3;
const SHELL: &str = "/bin/sh";

/// The shell for the scripts of some objects that are worked on one after the other. It is started by the first script that is fit.
#[derive(Debug, Default)]
pub(in crate::config) struct Forks {
    is_worth_it: bool,
    shell: Option<(StandingShell, PathBuf)>,
    /// The message files of the script before, used again for the next one.
    messages: Option<Messages>,
    /// A file that a script may fill.
    scratch: Option<PathBuf>,
    /// Scripts that were looked at; `None` for one that needs a process of its own.
    plain: HashMap<PathBuf, Option<Plain>>,
}

/// A script that a subshell can read.
#[derive(Clone, Debug)]
pub(in crate::config) struct Plain {
    /// What stands for the script, as in [`Engine::run_script`].
    argv: Vec<OsString>,
    /// Its name as its shell would have it.
    name: PathBuf,
    is_executed: bool,
    stops_at_failures: bool,
}

impl Forks {
    /// For the scripts of so many objects.
    pub(in crate::config) fn new(objects: usize) -> Self {
        Self { is_worth_it: objects >= OBJECTS_MIN, ..Self::default() }
    }

    /// For the next script.
    pub(in crate::config) fn give_back(&mut self, messages: Messages) {
        self.messages = Some(messages);
    }

    /// Waits for the end of the shell.
    pub(in crate::config) async fn end(&mut self) {
        if let Some((shell, _)) = self.shell.take() {
            shell.end().await;
        }
    }
}

impl Engine {
    /// The message files for a script. Those of one that a subshell reads are used again: give them back with
    /// [`Forks::give_back`]. Another one may have left a process that still writes.
    pub(in crate::config) fn messages_of(
        &self,
        forks: &mut Forks,
        plain: Option<&Plain>,
        prefix: &OsStr,
    ) -> Result<Messages, ConfigError> {
        match plain.and_then(|_| forks.messages.take()) {
            Some(messages) => messages.again(prefix),
            None => self.open_messages(prefix),
        }
    }

    /// A file for the output of a script, to be renamed if there is any.
    pub(in crate::config) fn scratch(&self, forks: &mut Forks) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &forks.scratch {
            return Ok(path.clone());
        }
        // On the file system of the run's files, and not among them.
        let path = self.connector_dir.join(format!("code-{}", random_letters()?));
        Ok(forks.scratch.insert(path).clone())
    }

    /// How a subshell can read `script`, if it can.
    pub(in crate::config) fn plain(&self, forks: &mut Forks, script: &Path) -> Option<Plain> {
        // Elsewhere output goes to what is read at once.
        if !forks.is_worth_it || !matches!(self.run.streams, Streams::Save) {
            return None;
        }
        if let Some(known) = forks.plain.get(script) {
            return known.clone();
        }
        let plain = self.look_at(script);
        forks.plain.insert(script.to_owned(), plain.clone());
        plain
    }

    fn look_at(&self, script: &Path) -> Option<Plain> {
        let text = fs::read(script).ok()?;
        if !is_forkable(&text) || has_background(&text) {
            return None;
        }
        if access(script, AccessFlags::X_OK).is_ok() {
            let name = fs::canonicalize(script).ok()?;
            let stops_at_failures = plain_shell(&text)?;
            return Some(Plain {
                argv: vec![name.clone().into()],
                name,
                is_executed: true,
                stops_at_failures,
            });
        }
        let is_usual = self.run.local_shell == Path::new(SHELL) && start::barred(script).is_none();
        is_usual.then(|| Plain {
            argv: vec![SHELL.into(), "-e".into(), script.into()],
            name: script.to_owned(),
            is_executed: false,
            stops_at_failures: true,
        })
    }

    /// Runs a script like [`Engine::run_script`], with its output at the ends of two files.
    pub(in crate::config) async fn run_plain(
        &self,
        forks: &mut Forks,
        script: &Plain,
        variables: &Variables,
        stdout: &Path,
        stderr: &Path,
    ) -> Result<(), ConfigError> {
        let command = shown(&script.argv);
        self.log(Level::Trace, &format!("Running {command}"));
        let _span = self.span(SpanKind::Script, || command.clone());
        let (out, err) = (open_append(stdout)?, open_append(stderr)?);
        let length = |file: &File, path: &Path| {
            file.metadata()
                .map(|meta| meta.len())
                .map_err(ConfigError::io(format!("reading {}", path.display())))
        };
        let before = [length(&out, stdout)?, length(&err, stderr)?];
        let (shell, orders_file) = match &mut forks.shell {
            Some(shell) => shell,
            none => none.insert(self.start_shell()?),
        };
        fs::write(&*orders_file, orders(script, variables, stdout, stderr))
            .map_err(ConfigError::io(format!("writing {}", orders_file.display())))?;
        let quota = self.run.output_limit.quota();
        let written = Written { files: [(&out, before[0]), (&err, before[1])], quota };
        let done = shell.run(&written).await;
        let shell_name = orders_file.clone();
        let ended = match &done {
            Ok(status) => status.code().is_none(),
            Err(_) => true,
        };
        if ended {
            forks.shell = None;
        }
        correct(stderr, before[1], shell_name.as_os_str(), script.name.as_os_str())
            .map_err(ConfigError::io(format!("writing {}", stderr.display())))?;
        let status = done.map_err(|error| named(error, &script.argv))?;
        if status.success() {
            return Ok(());
        }
        let why = if script.is_executed {
            start::executed(&script.name)
        } else {
            start::run_by_shell(&script.name)
        };
        Err(ConfigError::Failed { command, status, why })
    }

    fn start_shell(&self) -> Result<(StandingShell, PathBuf), ConfigError> {
        // Nothing but this process and its scripts may write there.
        let orders = tempfile::Builder::new().prefix("orders-").tempfile_in(&self.run.temporary);
        let orders = orders
            .and_then(|file| file.into_temp_path().keep().map_err(|error| error.error))
            .map_err(ConfigError::io(format!("making a file in {}", self.run.temporary.display())))?;
        let env = self.local_environment(Vec::new());
        let shell = StandingShell::start(&orders, env, self.run.pass_stdin, &self.run.cancel)?;
        Ok((shell, orders))
    }
}

/// What the subshell reads: the environment and the streams of the script, and the script.
fn orders(script: &Plain, variables: &Variables, stdout: &Path, stderr: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in variables {
        push(&mut text, &format!("export {key}="), value);
    }
    push(&mut text, "exec >>", stdout.as_os_str());
    push(&mut text, "exec 2>>", stderr.as_os_str());
    if script.stops_at_failures {
        text.extend_from_slice(b"set -e\n");
    }
    push(&mut text, ". ", script.name.as_os_str());
    text
}

/// Adds a line that ends with a quoted value.
fn push(text: &mut Vec<u8>, words: &str, value: &OsStr) {
    text.extend_from_slice(words.as_bytes());
    text.extend_from_slice(posix_always(value).as_bytes());
    text.push(b'\n');
}

/// Errors of the shell are those of the script that it was reading.
fn named(error: ProcessError, script: &[OsString]) -> ProcessError {
    let argv = script.to_vec();
    match error {
        ProcessError::Talk { source, .. } => ProcessError::Talk { argv, source },
        ProcessError::OverQuota { source, .. } => ProcessError::OverQuota { argv, source },
        error => error,
    }
}

/// Puts the script's name where the shell has put its own, in what `path` holds after `from`.
fn correct(path: &Path, from: u64, shell: &OsStr, script: &OsStr) -> io::Result<()> {
    if fs::metadata(path)?.len() <= from {
        return Ok(());
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut said = Vec::new();
    file.read_to_end(&mut said)?;
    let mut told = Vec::new();
    let mut corrected = Corrected::new(&mut told, shell.as_bytes(), script.as_bytes());
    corrected.write_all(&said)?;
    corrected.finish()?;
    if told != said {
        file.set_len(from)?;
        file.seek(SeekFrom::Start(from))?;
        file.write_all(&told)?;
    }
    Ok(())
}
