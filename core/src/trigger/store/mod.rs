//! Where machines and jobs outlive the server.
//!
//! [`Store`] is what the dispatcher writes to, [`Reader`] what questions are answered from while it writes. [`Sqlite`] is
//! the one there is; nothing above it knows SQL, so that a database server could take its place.

mod memory;
mod migrations;
mod reserve;
mod rows;
mod schema;
mod sqlite;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use memory::Memory;
pub use schema::APPLICATION_ID;
pub use sqlite::{FILE, Sqlite, backup};

use super::{
    job::{Job, JobId, JobKind, JobState, Machine, MachineId, Millis},
    ledger::{Change, Stored},
};

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory or a file in it.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another user could change what the server reads back.
    #[error("{} {what}", .path.display())]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file that is no backup is where the backup should go.
    #[error("{} is there, and is no backup of a trigger server", .0.display())]
    NoBackup(PathBuf),
    /// A server's own file, where a backup should go.
    #[error("{} belongs to a trigger server, or has the log of a database beside it", .0.display())]
    OwnFile(PathBuf),
    /// Another server has it.
    #[error("another trigger server uses the state directory {}", .0.display())]
    InUse(PathBuf),
    /// Not a database, or a broken one.
    #[error("the database {} is damaged: {detail}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is found.
        detail: String,
    },
    /// Made by a later version of this program.
    #[error("the database {} has format {found}, and this cdist knows formats up to {known}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// Anything else that SQLite says.
    #[error("{doing} {}", .path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// True if room would help: on the file system, or in a quota, which SQLite tells as a failed write.
    pub(in crate::trigger) fn lacks_room(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
            }
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on that file system".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "it has to be there already; see whether the path is right".to_owned()
            }
            Self::Io { .. } => "name a directory that this user can write to with --state-dir".to_owned(),
            Self::Unsafe { path, .. } => {
                format!(
                    "`chown` and `chmod go-rwx` {}, or name another directory with --state-dir",
                    path.display()
                )
            }
            Self::NoBackup(_) | Self::OwnFile(_) => "name another file".to_owned(),
            Self::InUse(_) => "stop it, or name another directory with --state-dir".to_owned(),
            Self::Damaged { path, .. } => format!(
                "remove {0}-wal and {0}-shm, and put a file that `cdist trigger backup` has made in its place; without one, move \
                 all three away: the server then knows no machine, and --install-policy armed keeps it from installing any of them again",
                path.display()
            ),
            Self::Newer { .. } => "use that version, or name another directory with --state-dir".to_owned(),
            Self::Sqlite { source, .. } => match source.sqlite_error_code()? {
                rusqlite::ErrorCode::DiskFull => "make room on that file system".to_owned(),
                rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen => {
                    "see whether this user may write there, and whether the file system is mounted read-only"
                        .to_owned()
                }
                _ => return None,
            },
        })
    }
}

/// Which jobs are asked for: those that fit all that is said.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// Of this machine.
    pub machine: Option<MachineId>,
    /// With a lower number than this.
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: usize,
}

/// How many jobs are in each state.
pub type Counts = Vec<(JobState, u64)>;

/// Keeps what the ledger decides. All of a call is kept, or nothing of it.
pub trait Store: Send {
    /// All machines and jobs that are stored.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn load(&mut self) -> Result<Stored, StoreError>;

    /// Keeps changes. When this returns, they outlive a crash of the machine.
    ///
    /// # Errors
    ///
    /// The store cannot be written to; no change is kept.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Finds out whether as much as a change needs can be kept now.
    ///
    /// # Errors
    ///
    /// The store cannot be written to.
    fn try_out(&mut self) -> Result<(), StoreError> {
        self.commit(&[])
    }

    /// Why nothing new should be taken in, while there is no room but for what has happened already. It ends by
    /// [`try_out`](Self::try_out).
    fn shortage(&self) -> Option<&str> {
        None
    }

    /// There is no other work: time to tidy up.
    fn rest(&mut self) {}

    /// The time that pruning went by last; see [`set_reckoned`](Self::set_reckoned).
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn reckoned(&mut self) -> Result<Option<Millis>, StoreError> {
        Ok(None)
    }

    /// Keeps the time that pruning goes by.
    ///
    /// # Errors
    ///
    /// The store cannot be written to.
    fn set_reckoned(&mut self, _time: Millis) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes jobs that [`Reader::old`] has found, and returns them. What is the newest job of its machine by now stays, and
    /// so does what has not ended.
    ///
    /// # Errors
    ///
    /// The store cannot be written to; no job is removed.
    fn remove(&mut self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError>;

    /// Removes the oldest jobs of a machine that have ended, but for the newest `keep`, and returns them.
    ///
    /// # Errors
    ///
    /// The store cannot be written to; no job is removed.
    fn trim(&mut self, machine: MachineId, keep: usize) -> Result<Vec<JobId>, StoreError>;

    /// A reader of its own, for another thread.
    ///
    /// # Errors
    ///
    /// The store cannot be opened a second time.
    fn reader(&self) -> Result<Box<dyn Reader>, StoreError>;

    /// Called once, when the server ends as it should.
    ///
    /// # Errors
    ///
    /// The store cannot be written to.
    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Answers questions from what is stored.
pub trait Reader: Send {
    /// A job.
    ///
    /// # Errors
    ///
    /// The store cannot be read; the same holds for all methods of this trait.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn job(&mut self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// Jobs, the newest first.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn jobs(&mut self, filter: &JobFilter) -> Result<Vec<Job>, StoreError>;

    /// The ssh host keys that a machine told in its last call; `None` if that is not known.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn host_keys(&mut self, machine: MachineId) -> Result<Option<Vec<String>>, StoreError>;

    /// A machine.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn machine(&mut self, id: MachineId) -> Result<Option<Machine>, StoreError>;

    /// Machines whose number is higher than `after`, by number.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn machines(&mut self, after: MachineId, limit: usize) -> Result<Vec<Machine>, StoreError>;

    /// At most `limit` jobs that ended before a moment and are not the newest of their machines, the oldest first. It is `now`:
    /// what is said to be from later does not count.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn old(&mut self, before: Millis, now: Millis, limit: usize) -> Result<Vec<JobId>, StoreError>;

    /// How many jobs there are in each state.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    fn counts(&mut self) -> Result<Counts, StoreError>;
}
