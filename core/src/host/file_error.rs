//! A file that cannot be used, with what was tried.

use std::io;

/// A file, directory or link that could not be read, made or changed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct FileError {
    /// What was tried, such as "reading /x/y".
    pub doing: String,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// An error of the system with what was tried.
    pub fn new(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self { doing, source }
    }
}
