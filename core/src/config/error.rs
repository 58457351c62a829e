//! Why the configuration of a host fails.

use std::{io, path::PathBuf, process::ExitStatus};

use super::{declare::object::ObjectName, entity::Entity};
use crate::{
    connector::{ConnectorError, ProcessError},
    host::FileError,
};

/// Why the configuration of a host fails.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A file of the run.
    #[error("{doing}")]
    Io {
        /// What was tried, such as "reading /x/y".
        doing: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A script or command ran and failed, here or on the target.
    #[error("{command}: {}{}", crate::host::describe(*.status), in_parentheses(.why.as_ref()))]
    Failed {
        /// The command line, quoted so that it can be pasted into a shell.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What is wrong with the file itself, if it is that.
        why: Option<String>,
    },
    /// The shell that ran scripts on the target ended in the middle of one.
    #[error("the shell on the target that ran it ended: {}", crate::host::describe(*.0))]
    ShellEnded(ExitStatus),
    /// Files did not arrive on the target.
    #[error("the target cannot take files in {}: {said}; {} ({})", .dir.display(), remedy(.said, *.status), crate::host::describe(*.status))]
    Send {
        /// The work directory.
        dir: PathBuf,
        /// What the target has said.
        said: String,
        /// How the shell there ended.
        status: ExitStatus,
    },
    /// A manifest calls a type that no configuration directory has.
    #[error("there is no type {name}{}", .near.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    NoType {
        /// The word that looks like a type.
        name: String,
        /// The type whose name is most like it.
        near: Option<String>,
    },
    /// A script could not be started.
    #[error(transparent)]
    Process(ProcessError),
    /// The target could not be reached, or not be copied to.
    #[error(transparent)]
    Connector(ConnectorError),
    /// There is no initial manifest.
    #[error("Initial manifest missing: '{0}'")]
    ManifestMissing(String),
    /// The initial manifest is a directory or the like.
    #[error("Initial manifest '{}' is no regular file", .0.display())]
    ManifestKind(PathBuf),
    /// Root would use what others can change.
    #[error(transparent)]
    Untrusted(#[from] crate::trust::Untrusted),
    /// A work directory on the target that must never be wiped, or that depends on where a command begins.
    #[error("'{}' cannot be the work directory on the target, for it is wiped at each run; it has to begin with / and have a name", .0.display())]
    RemoteDir(PathBuf),
    /// Objects that wait for each other.
    #[error("Cycle detected in object dependencies:\n{}!", super::schedule::dependency::cycle_text(.0))]
    Cycle(Vec<ObjectName>),
    /// Objects that wait for what never comes.
    #[error("The requirements of the following objects could not be resolved:{0}")]
    Unresolved(String),
    /// A failure while one script, explorer or object was worked on.
    #[error("{entity}")]
    Entity {
        /// What was worked on, with the output of its scripts.
        entity: Box<Entity>,
        /// What failed.
        #[source]
        source: Box<ConfigError>,
    },
    /// The place in the cache cannot be taken.
    #[error("Cannot delete old cache entry {}", .path.display())]
    Cache {
        /// The entry.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A type has not told in the right form what it changes in files.
    #[error("{object}: {reason}")]
    Diff {
        /// The object.
        object: ObjectName,
        /// What is wrong.
        reason: String,
    },
    /// A part of the program ended without a result.
    #[error("a task of the engine ended early")]
    Task(#[source] tokio::task::JoinError),
}

/// Text to follow another one, if there is any.
pub(super) fn in_parentheses(text: Option<&String>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// Adds what was worked on to an error; a wish to stop stays what it is.
pub(super) fn wrap(entity: Entity, source: ConfigError) -> ConfigError {
    if source.is_cancelled() {
        return source;
    }
    ConfigError::Entity { entity: Box::new(entity), source: Box::new(source) }
}

/// What to do when files do not arrive, by the words of the usual tools.
fn remedy(said: &str, status: ExitStatus) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if matches!(status.code(), Some(126 | 127)) {
        "it needs a working /bin/sh"
    } else if has(&["No space left", "Disk quota", "I/O error", "write error"]) {
        "is its disk full? Make room, or choose another work directory with -r"
    } else {
        "choose another work directory with -r"
    }
}

impl ConfigError {
    /// An I/O error with what was tried.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// True if the user asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Entity { source, .. } => source.is_cancelled(),
            _ => false,
        }
    }

    /// The whole error as text: what failed, then what was worked on with the output of its scripts.
    pub fn report(&self) -> String {
        if let Self::Entity { entity, source } = self {
            return format!("{}\n\n{entity}", source.report());
        }
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl From<FileError> for ConfigError {
    fn from(FileError { doing, source }: FileError) -> Self {
        Self::Io { doing, source }
    }
}

impl From<ProcessError> for ConfigError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Cancelled => Self::Cancelled,
            error => Self::Process(error),
        }
    }
}

impl From<ConnectorError> for ConfigError {
    fn from(error: ConnectorError) -> Self {
        if error.is_cancelled() { Self::Cancelled } else { Self::Connector(error) }
    }
}
