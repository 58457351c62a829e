//! The only code that touches the operating system.

mod cancel;
mod command;

pub use cancel::Cancel;
pub use command::{Command, CommandError, Output, Stream, describe};
