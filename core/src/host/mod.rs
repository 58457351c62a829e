//! The only code that touches the operating system.

pub mod atomic;
pub mod beneath;
mod cancel;
mod command;
pub mod mounts;
pub mod remove;

pub use cancel::Cancel;
pub use command::{Command, CommandError, Output, Stream, describe};
