//! Why something is not trusted.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use super::name_of;

/// What is wrong with a component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its owner is neither root nor the user who runs cdist.
    Owner,
    /// Its mode lets others write.
    Writable,
}

/// Why a file or directory is not trusted. The messages complete lines such as "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The last component is a symbolic link.
    #[error("it is a symbolic link; copy the file itself into the directory")]
    SymbolicLink,
    /// It cannot be opened.
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    /// A FIFO, device, socket or directory.
    #[error("it is no regular file")]
    NotRegular,
    /// It belongs to another user.
    #[error("{path} {owner}; {remedy}")]
    Owner {
        /// The file, or a directory or link on the way to it.
        path: String,
        /// "belongs to ann, but cdist runs as root".
        owner: String,
        /// What to do.
        remedy: String,
    },
    /// Others can write it.
    #[error("{path} is writable by group or others; if you trust it: chmod go-w {path}")]
    Writable {
        /// The file, or a directory on the way to it.
        path: String,
    },
    /// Others can put something there at any moment.
    #[error("{path} is not there, and others can make it; make it first, or choose another place")]
    Missing {
        /// What is not there.
        path: String,
    },
}

impl TrustError {
    /// The flaw of the component `path`.
    pub(super) fn of(flaw: Flaw, path: &Path, owner: u32, part: PathPart) -> Self {
        let path = path.display().to_string();
        if flaw == Flaw::Writable {
            return Self::Writable { path };
        }
        let (owner, user) = (name_of(owner), name_of(Uid::effective().as_raw()));
        let remedy = match part {
            // A home directory stays its owner's.
            PathPart::Way => {
                format!("copy what you trust to a directory of {user}'s, or run cdist as {owner}")
            }
            PathPart::End => format!("if you trust it: chown {user} {path}"),
            PathPart::Tree => format!("if you trust it: chown -hR {user} {path}"),
        };
        Self::Owner { path, owner: format!("belongs to {owner}, but cdist runs as {user}"), remedy }
    }

    /// What is wrong, without what could be done about it.
    pub fn flaw(&self) -> String {
        match self {
            Self::Owner { path, owner, .. } => format!("{path} {owner}"),
            Self::Writable { path } => format!("{path} is writable by group or others"),
            Self::Missing { path } => format!("{path} is not there, and others can make it"),
            other => other.to_string(),
        }
    }

    /// True if there is nothing at the path, and others cannot put anything there.
    pub fn is_missing(&self) -> bool {
        let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        matches!(self, Self::Open(error) if missing.contains(&error.kind()))
    }
}

/// Where in a path a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathPart {
    /// Further components of the path follow.
    Way,
    /// The last component: the file or directory that was asked about.
    End,
    /// An entry of a tree that is judged as a whole.
    Tree,
}

/// Something that is not trusted, with what it was to be used for.
#[derive(Debug, thiserror::Error)]
#[error("{what} {} is not used: {reason}", .path.display())]
pub struct Untrusted {
    /// Such as "the configuration directory".
    pub what: &'static str,
    /// Where it is.
    pub path: PathBuf,
    // No source of its own: the message has it.
    /// Why.
    pub reason: Box<TrustError>,
}
