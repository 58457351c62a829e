//! Many files and scripts in one call of the target, and their outputs kept apart.

mod as_script;
mod frames;
#[cfg(feature = "fuzzing")]
pub(in crate::config) mod fuzzing;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Seek, Write},
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::Ordering,
};

pub(in crate::config) use as_script::{Batch, BatchStep};
use frames::Frames;

use super::remote::script_word;
use crate::{
    config::{
        engine::Engine,
        error::ConfigError,
        here::run_script::another,
        log::Level,
        profile::SpanKind,
        request::Streams,
        stage::{open_append, random},
    },
    connector::{ConnectorError, Copy, CopyTo, Exec, Input, Output},
    host::{
        forkable::{Corrected, is_forkable},
        quote::{posix, posix_always},
        start,
    },
    trust::guard_line,
};

/// Makes the work directory anew: a name that is there already could be a trap where others can write.
const WIPE: &str =
    r#"guard "$1" && rm -rf -- "$1" && mkdir -p -- "${1%/*}/" && guard "$1" && mkdir -m 0700 -- "$1""#;
/// Takes a batch from its standard input.
const TAKE: &str = r#"umask 077 && cat >"$1/$2" && umask "$3" && exec /bin/sh "$1/$2" "$1""#;

/// What a batch has printed, to be taken script after script.
#[derive(Debug)]
pub(in crate::config) struct Replies {
    stdout: Frames<File>,
    stderr: Frames<File>,
    /// The name of the shell that runs the batch.
    shell: PathBuf,
    /// Those of the scripts in subshells of it, from the last to the next one; others have shells of their own.
    scripts: Vec<Option<PathBuf>>,
    /// How the call ended; taken when a script is found to have no end.
    end: Result<ExitStatus, Option<ConfigError>>,
}

impl Replies {
    /// Copies what the next script has printed. Its exit status; or why there is none.
    pub(in crate::config) fn next(
        &mut self,
        stdout: &mut impl Write,
        stderr: &mut impl Write,
    ) -> Result<ExitStatus, ConfigError> {
        let reading = || ConfigError::io("taking the output of scripts apart");
        let out = self.stdout.copy_next(stdout).map_err(reading())?;
        let script = self.scripts.pop().flatten();
        self.copy_stderr(script, stderr).map_err(reading())?;
        match out {
            // As wait(2) tells an exit status.
            Some(mark) => Ok(ExitStatus::from_raw((mark.status & 0xff) << 8)),
            None => Err(match &mut self.end {
                Ok(status) => ConfigError::ShellEnded(*status),
                Err(error) => error.take().unwrap_or(ConfigError::Cancelled),
            }),
        }
    }

    fn copy_stderr(&mut self, script: Option<PathBuf>, to: &mut impl Write) -> io::Result<()> {
        let Some(script) = script else { return self.stderr.copy_next(to).map(drop) };
        let names = [&self.shell, &script].map(|path| path.as_os_str().as_bytes());
        let mut to = Corrected::new(to, names[0], names[1]);
        self.stderr.copy_next(&mut to)?;
        to.finish()
    }
}

impl Engine {
    /// Makes the work directory on the target anew and runs the first batch there.
    pub(in crate::config) async fn run_first_batch(&self, batch: &Batch) -> Result<Replies, ConfigError> {
        if !self.run.connector.takes_scripts_on_stdin() {
            self.make_remote_dirs().await?;
            return self.run_batch(batch).await;
        }
        self.send_and_run(batch, &format!("{}{WIPE} && ", guard_line())).await
    }

    /// Runs a batch. What fails before its first script is an error, what happens after that is in the replies.
    pub(in crate::config) async fn run_batch(&self, batch: &Batch) -> Result<Replies, ConfigError> {
        self.send_and_run(batch, "").await
    }

    async fn send_and_run(&self, batch: &Batch, before: &str) -> Result<Replies, ConfigError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let boundary = boundary()?;
        let base = &self.stage.remote;
        let script = batch.script(base, &boundary, &self.run.remote_shell, self.run.remote_path.as_deref());
        let name = format!("batch-{number}");
        let (words, stdin) = if self.run.connector.takes_scripts_on_stdin() {
            let take = format!("set -- \"$@\" \"$(umask)\"; {before}{TAKE}");
            let words = vec![
                "/bin/sh".into(),
                "-c".into(),
                posix_always(take),
                "cdist".into(),
                posix(base),
                OsString::from(&name),
            ];
            (words, Input::Bytes(script))
        } else {
            let remote = base.join(&name);
            self.copy_script(&name, script, &remote).await?;
            (vec!["/bin/sh".into(), posix(&remote), posix(base)], self.input())
        };
        if self.run.log_level <= Level::Trace {
            for step in &batch.steps {
                self.log(Level::Trace, &format!("Running {}", self.shown(step)));
            }
        }
        self.log(Level::Debug, &format!("Calling the target with {} scripts", batch.steps.len()));

        let streams = || -> io::Result<(File, File)> {
            Ok((tempfile::tempfile_in(&self.stage.out)?, tempfile::tempfile_in(&self.stage.out)?))
        };
        let making = || ConfigError::io(format!("making a file in {}", self.stage.out.display()));
        let (mut stdout, mut stderr) = streams().map_err(making())?;
        let quota = self.run.output_limit.quota_of_many(&boundary);
        let exec = Exec {
            words,
            stdin,
            stdout: Output::Limited(stdout.try_clone().map_err(making())?, quota.clone()),
            stderr: Output::Limited(stderr.try_clone().map_err(making())?, quota),
        };
        let span = self
            .span(SpanKind::Call, || format!("{} files, {} scripts", batch.files.len(), batch.steps.len()));
        let done = self.run.connector.exec(&self.context, exec).await;
        drop(span);
        let end = done.map(|done| done.status).map_err(|error| Some(ConfigError::from(error)));
        let rewinding = || ConfigError::io("reading the output of scripts");
        stdout.rewind().map_err(rewinding())?;
        stderr.rewind().map_err(rewinding())?;
        let steps = batch.steps.iter().rev();
        let mut scripts: Vec<_> = steps.map(|step| step.is_forked.then(|| step.script.clone())).collect();
        // What comes before the first mark is no script's.
        scripts.push(None);
        let mut replies = Replies {
            stdout: Frames::new(stdout, &boundary),
            stderr: Frames::new(stderr, &boundary),
            shell: base.join(&name),
            scripts,
            end,
        };
        let mut said = Vec::new();
        let sent = replies.next(&mut self.sink(&self.stage.out.join("stdout/remote"))?, &mut said);
        self.remote_stderr()?.write_all(&said).map_err(rewinding())?;
        match sent {
            Ok(_) => {
                self.answered.store(true, Ordering::Relaxed);
                Ok(replies)
            }
            Err(ConfigError::ShellEnded(status)) => {
                let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
                Err(ConfigError::Send { dir: base.clone(), said, status })
            }
            Err(error) => Err(error),
        }
    }

    /// Sends the script as a file, for connectors whose programs need not pass standard input on.
    async fn copy_script(&self, name: &str, script: Vec<u8>, to: &Path) -> Result<(), ConfigError> {
        let path = self.stage.out.join(name);
        let writing = || ConfigError::io(format!("writing {}", path.display()));
        fs::write(&path, script).map_err(writing())?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let copy = Copy {
            sources: vec![path.clone()],
            to: CopyTo::File(to.to_owned()),
            stdout: self.output(&self.stage.out, "stdout", "remote")?,
            stderr: self.output(&self.stage.out, "stderr", "remote")?,
        };
        let _span = self.span(SpanKind::Call, || format!("copying {name}"));
        let copied: Result<(), ConnectorError> = self.run.connector.copy(&self.context, copy).await;
        fs::remove_file(&path).map_err(ConfigError::io(format!("removing {}", path.display())))?;
        Ok(copied?)
    }

    /// True if a script of the target needs no shell of its own.
    pub(in crate::config) fn is_forked(&self, text: &[u8]) -> bool {
        // A batch is run by this shell.
        self.run.remote_shell == "/bin/sh" && is_forkable(text)
    }

    /// The error of a script of the target that has failed.
    pub(in crate::config) fn failed(&self, step: &BatchStep, status: ExitStatus) -> ConfigError {
        // Files are at the same places here as there.
        let own = step.script.strip_prefix(&self.stage.remote).map(|path| self.stage.out.join(path));
        let why = own.ok().and_then(|file| start::run_by_shell(&file));
        ConfigError::Failed { command: self.shown(step), status, why }
    }

    /// The command that would run a script alone, to be pasted into a shell.
    fn shown(&self, step: &BatchStep) -> String {
        let word = script_word(
            &step.script,
            &step.variables,
            self.run.remote_path.as_deref(),
            &self.run.remote_shell,
        );
        self.run.connector.shown(&self.context, &[word])
    }

    /// Where standard error of the target goes that belongs to no object.
    pub(in crate::config) fn remote_stderr(&self) -> Result<Sink, ConfigError> {
        self.sink(&self.stage.out.join("stderr/remote"))
    }

    /// The end of a file that keeps a stream, unless streams are not kept.
    pub(in crate::config) fn sink(&self, path: &Path) -> Result<Sink, ConfigError> {
        Ok(match &self.run.streams {
            Streams::Save => Sink::File(open_append(path)?),
            Streams::Inherit => Sink::Stderr,
            Streams::To { stderr: file, .. } => Sink::File(another(file)?),
            Streams::Discard => Sink::Nowhere,
        })
    }
}

/// Where output goes that has come back from the target.
#[derive(Debug)]
pub(in crate::config) enum Sink {
    /// To the end of a file.
    File(File),
    /// To our own standard error.
    Stderr,
    /// Nowhere.
    Nowhere,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stderr => io::stderr().write(bytes),
            Self::Nowhere => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A word that a script cannot guess. A script of the same user could read it in the batch, but could also print false
/// output without it.
fn boundary() -> Result<String, ConfigError> {
    Ok(format!("cdist-{:016x}{:016x}", random()?, random()?))
}

/// The content of local files that travel to a directory of the target.
pub(in crate::config) fn contents(
    source: &Path,
    names: &[OsString],
    target: &Path,
) -> Result<Vec<(PathBuf, Vec<u8>)>, ConfigError> {
    let read = |name: &OsString| {
        let path = source.join(name);
        let content = fs::read(&path).map_err(ConfigError::io(format!("reading {}", path.display())))?;
        Ok((target.join(name), content))
    };
    names.iter().map(read).collect()
}
