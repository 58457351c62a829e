//! The only code that touches the operating system.

use std::path::Path;

pub mod atomic;
pub mod beneath;
mod cancel;
pub mod claim;
mod command;
pub mod mounts;
mod own_dir;
pub mod remove;
pub mod scripts;

pub use cancel::Cancel;
pub use command::{Command, CommandError, Output, Stream, describe};
pub use own_dir::OwnDir;

/// The directory that holds `path`; for a bare name the working directory.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    }
}
