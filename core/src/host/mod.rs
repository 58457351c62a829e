//! What more than one part of the engine needs of the operating system: files that are whole or absent, mounts, commands,
//! words for a shell, and why a command cannot be started. The parts that need more of it than others have that themselves.

use std::path::Path;

pub mod atomic;
pub mod beneath;
mod cancel;
pub mod claim;
mod command;
mod family;
mod file_error;
pub(crate) mod forkable;
pub mod limits;
pub mod mounts;
mod own_dir;
pub mod quote;
pub mod remove;
pub mod scripts;
pub mod start;

pub use cancel::Cancel;
pub(crate) use command::CAPTURED_MAX;
pub use command::{Command, CommandError, CommandOutput, Stream, describe};
pub use family::Family;
pub use file_error::FileError;
pub use own_dir::OwnDir;

/// The directory that holds `path`; for a bare name the working directory.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    }
}
