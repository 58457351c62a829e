//! Why the program ends with another status than 0, and how that is said. Commands that have a log, which are those of the
//! original, say it as a line of the log instead: [`log_lines`](crate::terminal::log_lines).

use std::{
    error::Error,
    io::{IsTerminal, Write},
};

use crate::terminal::printable;

/// Says on standard error what is surprising, and no failure.
pub(crate) fn warn(text: &str) {
    // If standard error cannot be written to, there is no place left for a message.
    let _ = writeln!(std::io::stderr(), "warning: {}", printable::line(text));
}

/// A failed run: a sentence, perhaps a hint, an exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What, where, what to do; empty when it has been said already.
    message: String,
    /// What to try next.
    hint: Option<String>,
    /// The exit status.
    pub(crate) status: i32,
}

impl Failure {
    /// A failure of the work, exit status 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, status: 1 }
    }

    /// Wrong usage, exit status 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: 2, ..Self::new(message) }
    }

    /// An error with its causes, walked once.
    pub(crate) fn from_error(error: &dyn Error) -> Self {
        Self::new(cdist_core::chain(error))
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// The sentence, for where it is told by other means than [`print`](Self::print).
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints it on standard error.
    pub(crate) fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let label = if colour { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
        // If standard error cannot be written to, there is no place left for a message.
        let _ = writeln!(stderr, "{label} {}", printable::lines(self.message.trim_end()));
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "hint: {}", printable::lines(hint));
        }
    }
}
