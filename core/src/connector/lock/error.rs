//! Why a work directory is not ours.

use std::{io, process::ExitStatus};

use crate::host::describe;

/// Why a work directory is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error("another run is at work in {dir} on {host}: {holder}")]
    Held {
        /// The host as the user wrote it.
        host: String,
        /// The work directory.
        dir: String,
        /// User, machine, process and time.
        holder: String,
    },
    /// There is no room for it.
    #[error("no room for the work directory {dir} on {host} ({said})")]
    Full {
        /// The host as the user wrote it.
        host: String,
        /// The work directory.
        dir: String,
        /// What a command there has said.
        said: String,
    },
    /// It cannot be made or written to.
    #[error("the work directory {dir} on {host} cannot be used ({said})")]
    Unusable {
        /// The host as the user wrote it.
        host: String,
        /// The work directory.
        dir: String,
        /// What a command there has said.
        said: String,
    },
    /// A pipe of this machine.
    #[error("preparing the lock of {dir} on {host}")]
    Prepare {
        /// The host as the user wrote it.
        host: String,
        /// The work directory.
        dir: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The shell that should hold the lock has ended without a word.
    #[error("/bin/sh on {host} did not lock {dir}, {} ({said})", describe(*.status))]
    Silent {
        /// The host as the user wrote it.
        host: String,
        /// The work directory.
        dir: String,
        /// What it wrote to standard error.
        said: String,
        /// How it ended.
        status: ExitStatus,
    },
}

impl LockError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Held { .. } => "wait until it has ended, or choose another work directory with -r DIR",
            Self::Full { .. } => "make room there, or choose another work directory with -r DIR",
            Self::Unusable { .. } => "choose another work directory with -r DIR",
            Self::Prepare { .. } => "see whether this machine has files and processes left",
            Self::Silent { .. } => "see whether /bin/sh there is a POSIX shell",
        }
    }

    pub(super) fn held(holder: String) -> impl FnOnce(String, String) -> Self {
        move |host, dir| Self::Held { host, dir, holder }
    }

    pub(super) fn unusable(said: &str) -> impl FnOnce(String, String) -> Self {
        let said = said.to_owned();
        // dash says the latter when it cannot write.
        let full = said.contains("No space left") || said.contains("quota") || said.contains("I/O error");
        move |host, dir| {
            if full { Self::Full { host, dir, said } } else { Self::Unusable { host, dir, said } }
        }
    }

    pub(super) fn prepare(source: io::Error) -> impl FnOnce(String, String) -> Self {
        move |host, dir| Self::Prepare { host, dir, source }
    }

    pub(super) fn silent(said: &str, status: ExitStatus) -> impl FnOnce(String, String) -> Self {
        let said = said.lines().last().unwrap_or("it said nothing").to_owned();
        move |host, dir| Self::Silent { host, dir, said, status }
    }
}
