//! Log levels and where log records go. The numbers are what scripts find in `$__cdist_log_level`.

use std::fmt;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything, with the output of commands.
    Trace,
    /// What the engine decides.
    Debug,
    /// What the engine does.
    Verbose,
    /// What changes.
    Info,
    /// Something to look at (the default).
    Warning,
    /// Something failed.
    Error,
    /// Nothing.
    Off,
}

impl Level {
    /// From chatty to silent.
    pub const ALL: [Self; 7] =
        [Self::Trace, Self::Debug, Self::Verbose, Self::Info, Self::Warning, Self::Error, Self::Off];

    /// The number for scripts.
    pub fn number(self) -> u8 {
        match self {
            Self::Trace => 5,
            Self::Debug => 10,
            Self::Verbose => 15,
            Self::Info => 20,
            Self::Warning => 30,
            Self::Error => 40,
            Self::Off => 60,
        }
    }

    /// The level of a number from `$__cdist_log_level`.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|l| i64::from(l.number()) == number)
    }

    /// The level of `-l N` or of N times `-v`; everything above 4 is 4.
    pub fn from_count(count: i64) -> Option<Self> {
        Some(match count {
            -1 => Self::Error,
            0 => Self::Warning,
            1 => Self::Info,
            2 => Self::Verbose,
            3 => Self::Debug,
            4.. => Self::Trace,
            _ => return None,
        })
    }

    /// The name for scripts and in log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Verbose => "VERBOSE",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Off => "OFF",
        }
    }
}

/// Takes log records of a run. Called from several tasks.
pub trait LogSink: Send + Sync + fmt::Debug {
    /// `name` is the host, or the part of the program that speaks.
    fn log(&self, level: Level, name: &str, message: &str);

    /// Takes a record of an inner run, which has chosen by its own level what to tell.
    fn pass_on(&self, level: Level, name: &str, message: &str) {
        self.log(level, name, message);
    }
}

/// Hands log records to `tracing`.
#[derive(Debug)]
pub struct TracingLog;

impl LogSink for TracingLog {
    fn log(&self, level: Level, name: &str, message: &str) {
        match level {
            Level::Error => tracing::error!(host = name, "{message}"),
            Level::Warning => tracing::warn!(host = name, "{message}"),
            Level::Info => tracing::info!(host = name, "{message}"),
            Level::Verbose | Level::Debug => tracing::debug!(host = name, "{message}"),
            Level::Trace => tracing::trace!(host = name, "{message}"),
            Level::Off => {}
        }
    }
}
