//! How the engine reaches a target: run a command there, copy files there.
//!
//! - [`Ssh`]: a host by ssh, with one connection for everything.
//! - [`Chroot`]: a directory on this machine, entered with chroot(8); needs root.
//! - [`Local`]: this machine.
//! - [`Custom`]: two programs that the user names (`--remote-exec`, `--remote-copy`).
//! - [`Locked`]: one of the others, with a lock on the work directory of the target.
//! - [`Guarded`]: one of the others, while the target is the machine that is meant.

mod custom;
mod direct;
mod guarded;
mod lock;
mod process;
mod quota;
mod ssh;
mod standing;

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;

pub use custom::Custom;
pub use direct::{Chroot, Local};
pub use guarded::{Guard, Guarded};
pub use lock::{Holder, LockError, Locked};
pub use process::{Done, Input, Output, Process, ProcessError, shown};
pub use quota::{OutputLimit, OverQuota, Quota};
pub use ssh::{HostKeys, Ssh, SshError, SshOptions, SshProblem};
pub(crate) use standing::{StandingShell, Written};

use crate::host::Cancel;

/// How often cancelling is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What a connector needs to know of the run that uses it.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// The host as the user wrote it.
    pub host: String,
    /// The environment of programs that the connector starts on this machine.
    pub env: Vec<(OsString, OsString)>,
    /// Ends what is running when set.
    pub cancel: Cancel,
}

/// A command for the target.
#[derive(Debug)]
pub struct Exec {
    /// Words that the target's shell reads after they have been joined with blanks, as ssh does. The
    /// caller has quoted what needs it.
    pub words: Vec<OsString>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// Where copied files go on the target.
#[derive(Clone, Debug)]
pub enum CopyTo {
    /// Into this directory, which exists, under their own names.
    Dir(PathBuf),
    /// To this path; there is one source.
    File(PathBuf),
}

/// Files for the target.
#[derive(Debug)]
pub struct Copy {
    /// Absolute paths on this machine. Symbolic links are followed.
    pub sources: Vec<PathBuf>,
    /// Absolute path on the target.
    pub to: CopyTo,
    /// Standard output of a program that copies.
    pub stdout: Output,
    /// Standard error of a program that copies.
    pub stderr: Output,
}

/// The commands that local scripts find in `$__remote_exec` and `$__remote_copy`, to be split at blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// Called with host and command words.
    pub exec: OsString,
    /// Called with sources and `host:destination`.
    pub copy: OsString,
}

/// Why a target could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// A program on this machine that leads to the target.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A host that cannot be reached by ssh, or not any more.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The work directory on the target is not ours.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The target is not the machine that is meant.
    #[error("{0}")]
    Guard(String),
    /// A program that copies ended badly.
    #[error("{command}: {}", crate::host::describe(*.status))]
    CopyFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// Copying a file by ourselves.
    #[error("copying {} to {}", .from.display(), .to.display())]
    Copy {
        /// Source on this machine.
        from: PathBuf,
        /// Path on the target.
        to: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl ConnectorError {
    /// What the user can do about it, if that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Ssh(error) => Some(error.remedy()),
            Self::Locked(error) => Some(error.remedy().to_owned()),
            _ => None,
        }
    }

    /// True if the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Cancelled))
    }
}

/// `work`, unless the user asks to stop before it is done; then it is dropped.
async fn cancellable<T>(context: &RunContext, work: impl Future<Output = T>) -> Result<T, ConnectorError> {
    let cancelled = async {
        while !context.cancel.is_cancelled() {
            sleep(POLL).await;
        }
    };
    tokio::select! {
        value = work => Ok(value),
        () = cancelled => Err(ProcessError::Cancelled.into()),
    }
}

/// A way to a target. One connector may serve several calls at the same time.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// Makes the connection. Called once, before everything else but [`commands`](Self::commands).
    async fn open(&self, _context: &RunContext) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Runs a command on the target. A bad exit status is no error.
    async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError>;

    /// Copies files to the target.
    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError>;

    /// The commands for local scripts that reach the target by themselves. Whatever files they need are made
    /// in `dir`, which lives as long as the run.
    ///
    /// # Errors
    ///
    /// A file in `dir` cannot be written.
    fn commands(&self, dir: &Path) -> io::Result<Commands>;

    /// True if a command on the target gets the standard input of its [`Exec`] whatever it is, so that a shell there can read
    /// scripts from it. Programs of a user may do with theirs what they like.
    fn takes_scripts_on_stdin(&self) -> bool {
        true
    }

    /// The argv that `exec` starts on this machine, for error messages.
    fn shown(&self, context: &RunContext, words: &[OsString]) -> String;

    /// Ends what the connector keeps open, after the run.
    async fn close(&self, _context: &RunContext) -> Result<(), ConnectorError> {
        Ok(())
    }
}
