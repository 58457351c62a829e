//! Targets that are reached by ssh: one connection per host, which everything shares.
//!
//! The connection is OpenSSH's own, in *master* mode ([`master`]), so that the user's ssh configuration, keys, agent and
//! jump hosts are what they are for ssh. Commands do not start a program here: the `openssh` crate asks the master for a
//! session over its control socket. `$__remote_exec` leads ssh to the same socket, and so does `$__remote_copy`, which takes the
//! words of scp but needs no sftp-server there.

mod control_dir;
mod error;
mod host_keys;
mod master;
mod send;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, IsTerminal},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use openssh::{ChildStdin, Session, Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, Semaphore},
    time::sleep,
};

pub use error::{SshError, SshProblem};
pub use host_keys::HostKeys;

use self::{control_dir::ControlDir, master::Master};
use super::{
    Commands, Connector, ConnectorError, Copy, Done, Exec, Input, Output, POLL, ProcessError, RunContext,
    cancellable, quota::Quota, shown,
};
use crate::host::{CAPTURED_MAX, Family};

/// sshd allows ten sessions on a connection unless it is told otherwise. One keeps the connection, and one stays free for
/// a local script with `$__remote_exec`.
const SESSIONS: usize = 8;
/// How long a refused session is asked for again while none of ours is open that could end.
const REFUSED_FOR: Duration = Duration::from_secs(3);
/// How long the end of a connection may take to be known after its sessions have ended.
const NOTICE: Duration = Duration::from_secs(1);

/// What ssh is told besides what the user's configuration says.
#[derive(Clone, Debug, Default)]
pub struct SshOptions {
    /// Read instead of `~/.ssh/config` and `/etc/ssh/ssh_config`, like `ssh -F`.
    pub config: Option<PathBuf>,
    /// Restricts the addresses.
    pub family: Family,
    /// Which keys of the host are right.
    pub host_keys: HostKeys,
    /// Runs unattended: ssh never asks on a terminal for a password.
    pub unattended: bool,
}

/// A host by ssh. One for each run.
#[derive(Debug)]
pub struct Ssh {
    options: SshOptions,
    control_dir: OnceLock<ControlDir>,
    master: Mutex<Option<Arc<Master>>>,
    sessions: Semaphore,
}

impl Ssh {
    /// A host whose name comes with the [`RunContext`].
    pub fn new(options: SshOptions) -> Self {
        Self {
            options,
            control_dir: OnceLock::new(),
            master: Mutex::default(),
            sessions: Semaphore::new(SESSIONS),
        }
    }

    fn control_dir(&self) -> io::Result<&ControlDir> {
        if let Some(control_dir) = self.control_dir.get() {
            return Ok(control_dir);
        }
        let control_dir = ControlDir::make(self.options.config.as_deref())?;
        // Another caller's may have come first; then this one goes.
        let _ = self.control_dir.set(control_dir);
        self.control_dir.get().ok_or_else(|| io::Error::other("no directory for the control socket"))
    }

    /// The living connection. If there is none, or none any more, one is made.
    async fn master(&self, context: &RunContext) -> Result<Arc<Master>, ConnectorError> {
        let mut slot = self.master.lock().await;
        if let Some(master) = slot.as_ref() {
            if master.answers().await {
                return Ok(Arc::clone(master));
            }
            tracing::debug!(host = context.host, "connecting again: {}", master.said());
            if let Some(old) = slot.take() {
                old.stop().await;
            }
        }
        let control_dir = self.control_dir().map_err(|source| no_control_dir(context, &source))?;
        let block = self.options.host_keys.block(control_dir.dir(), context)?;
        control_dir.begin_with(&block).map_err(|source| no_control_dir(context, &source))?;
        let master = Arc::new(Master::start(&self.options, control_dir, context).await?);
        *slot = Some(Arc::clone(&master));
        Ok(master)
    }

    /// Asks for a session until there is one. Refused means: not run.
    async fn spawn<'s>(
        &self,
        master: &Master,
        context: &RunContext,
        command: &mut openssh::OwningCommand<&'s Session>,
    ) -> Result<openssh::Child<&'s Session>, ConnectorError> {
        let mut waited = Duration::ZERO;
        loop {
            match command.spawn().await {
                Ok(child) => return Ok(child),
                Err(error) if is_refusal(&error) && waited < REFUSED_FOR => {
                    // One of ours, if there is one besides this, will make place.
                    if self.sessions.available_permits() + 1 >= SESSIONS {
                        waited += POLL;
                    }
                    cancellable(context, sleep(POLL)).await?;
                }
                Err(error) if is_refusal(&error) => {
                    return Err(SshError::new(context, SshProblem::SessionRefused, &error.to_string()).into());
                }
                Err(error) => return Err(lost(master, context, &error).await.into()),
            }
        }
    }
}

#[async_trait]
impl Connector for Ssh {
    async fn open(&self, context: &RunContext) -> Result<(), ConnectorError> {
        self.master(context).await.map(drop)
    }

    async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError> {
        if context.cancel.is_cancelled() {
            return Err(ProcessError::Cancelled.into());
        }
        // Never closed.
        let _permit = self.sessions.acquire().await;
        let master = self.master(context).await?;
        let mut command = master.session().raw_command(exec.words.join(OsStr::new(" ")));
        let bytes = match exec.stdin {
            Input::Null => {
                command.stdin(Stdio::null());
                None
            }
            // The master is no foreground process: reading from a terminal would stop it. And many commands at a time
            // could not share what is typed there.
            Input::Inherit if io::stdin().is_terminal() => {
                command.stdin(Stdio::null());
                None
            }
            Input::Inherit => {
                command.stdin(Stdio::inherit());
                None
            }
            Input::Pipe(pipe) => {
                command.stdin(OwnedFd::from(pipe));
                None
            }
            Input::Bytes(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
        };
        // Not straight to the user's files: the master stops writing as soon as we have heard the exit status, which may
        // come before the last of the output does. Reading to the end first is the only order that loses nothing.
        command.stdout(piped(&exec.stdout)).stderr(piped(&exec.stderr));
        let quota = exec.stdout.quota().or_else(|| exec.stderr.quota());
        let mut child = self.spawn(&master, context, &mut command).await?;
        drop(command);

        if let (Some(pipe), Some(bytes)) = (child.stdin().take(), bytes) {
            tokio::spawn(feed(pipe, bytes));
        }
        let (out, err) = (child.stdout().take(), child.stderr().take());
        let work = async {
            let (stdout, stderr) =
                tokio::join!(drain(out, exec.stdout, io::stdout()), drain(err, exec.stderr, io::stderr()));
            (stdout, stderr, child.wait().await)
        };
        let over = async {
            match &quota {
                Some(quota) => quota.wait_until_over().await,
                None => std::future::pending().await,
            }
        };
        // Dropping what is at work ends the session, and with it what the target says.
        let (stdout, stderr, status) = tokio::select! {
            done = cancellable(context, work) => done?,
            source = over => {
                return Err(ProcessError::OverQuota { argv: argv(context, &exec.words), source }.into());
            }
        };
        if let Some(source) = quota.as_ref().and_then(Quota::over) {
            return Err(ProcessError::OverQuota { argv: argv(context, &exec.words), source }.into());
        }
        let talk = |source| ProcessError::Talk { argv: argv(context, &exec.words), source };
        let (stdout, stderr) = (stdout.map_err(talk)?, stderr.map_err(talk)?);
        let status = match status {
            Ok(status) => status,
            // The crate's reading of 127, which is the target's shell's business.
            Err(openssh::Error::Remote(_)) => exit_status(127),
            // Ended by a signal, or the connection was. ssh itself has 255 for the former.
            Err(openssh::Error::RemoteProcessTerminated) if !master.ends_within(NOTICE).await => {
                exit_status(255)
            }
            Err(error) => return Err(lost(&master, context, &error).await.into()),
        };
        Ok(Done { status, stdout, stderr })
    }

    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
        let has_tar = self.master(context).await?.has_tar();
        send::send(self, context, copy, has_tar).await
    }

    fn commands(&self, _dir: &Path) -> io::Result<Commands> {
        let control_dir = self.control_dir()?;
        let mut options = OsString::from("-F ");
        options.push(control_dir.config());
        options.push(" -o ControlPath=");
        options.push(control_dir.socket());
        let mut exec = OsString::from(match self.options.family {
            Family::Any => "ssh -o User=root ",
            Family::V4 => "ssh -o User=root -4 ",
            Family::V6 => "ssh -o User=root -6 ",
        });
        exec.push(&options);
        // Takes the words of scp, which itself needs more than /bin/sh there.
        let mut copy = OsString::from("/bin/sh ");
        copy.push(control_dir.copy());
        copy.push(match self.options.family {
            Family::Any => " -o User=root -q ",
            Family::V4 => " -o User=root -q -4 ",
            Family::V6 => " -o User=root -q -6 ",
        });
        copy.push(&options);
        Ok(Commands { exec, copy })
    }

    fn shown(&self, context: &RunContext, words: &[OsString]) -> String {
        let mut argv = argv(context, &[]);
        if let Some(config) = &self.options.config {
            argv.splice(1..1, ["-F".into(), config.clone().into()]);
        }
        // The words are for the target's shell and quoted for it: as one they reach it as they are.
        argv.push(words.join(OsStr::new(" ")));
        shown(&argv)
    }

    async fn close(&self, _context: &RunContext) -> Result<(), ConnectorError> {
        if let Some(master) = self.master.lock().await.take() {
            master.stop().await;
        }
        if let Some(control_dir) = self.control_dir.get() {
            control_dir.remove();
        }
        Ok(())
    }
}

/// ssh without what only we need; a user can type it.
fn argv(context: &RunContext, words: &[OsString]) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec!["ssh".into()];
    argv.extend(user(&context.host).iter().map(OsString::from));
    argv.push(context.host.clone().into());
    argv.extend_from_slice(words);
    argv
}

/// Types are written for root; `user@host` names another user.
fn user(host: &str) -> &'static [&'static str] {
    if host.contains('@') { &[] } else { &["-o", "User=root"] }
}

fn piped(output: &Output) -> Stdio {
    match output {
        Output::Null => Stdio::null(),
        Output::Inherit | Output::Capture | Output::File(_) | Output::Limited(..) => Stdio::piped(),
    }
}

fn exit_status(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn is_refusal(error: &openssh::Error) -> bool {
    use std::error::Error as _;
    matches!(error, openssh::Error::SshMux(_))
        && error.source().is_some_and(|source| source.to_string().to_lowercase().contains("refused by peer"))
}

fn no_control_dir(context: &RunContext, source: &io::Error) -> SshError {
    SshError::new(context, SshProblem::NoControlDir, &source.to_string())
}

/// The connection has ended, or what talks to it does not understand it.
async fn lost(master: &Master, context: &RunContext, error: &openssh::Error) -> SshError {
    // Its last words come with its end.
    master.ends_within(NOTICE).await;
    let said = master.said();
    let why = if said.is_empty() { error.to_string() } else { said };
    SshError::new(context, SshProblem::Lost, &why)
}

async fn feed(mut pipe: ChildStdin, bytes: Vec<u8>) {
    // A command that does not read its input is no error of ours; its exit status tells.
    let _ = pipe.write_all(&bytes).await;
}

/// Reads a stream to its end, to where it should go; `own` is that of this process. Returns what was captured.
async fn drain(from: Option<impl AsyncRead + Unpin>, to: Output, own: impl AsFd) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut captured = Vec::new();
    let file = match to {
        Output::Null => return Ok(captured),
        Output::Capture => {
            (&mut from).take(CAPTURED_MAX).read_to_end(&mut captured).await?;
            // The rest has no reader, but the other end has to get rid of it before it ends.
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
            return Ok(captured);
        }
        Output::Limited(file, quota) => {
            quota.copy(from, file).await?;
            return Ok(captured);
        }
        Output::File(file) => file,
        Output::Inherit => File::from(own.as_fd().try_clone_to_owned()?),
    };
    let mut file = tokio::fs::File::from_std(file);
    tokio::io::copy(&mut from, &mut file).await?;
    file.flush().await?;
    Ok(captured)
}
