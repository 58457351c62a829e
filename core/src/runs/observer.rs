//! Traits for those that report the work on hosts.

use std::{io, time::Duration};

use super::{HostResult, Piped};
use crate::{
    config::{
        Streams,
        log::{Level, LogSink},
    },
    progress::Progress,
};

/// Hears of the work on hosts, and takes its log records. Called from several tasks.
pub trait Observer: LogSink {
    /// The least important level that is told. At [`Level::Off`] the output of scripts is discarded.
    fn level(&self) -> Level;

    /// True if log lines have colours, which scripts are told.
    fn is_colored(&self) -> bool;

    /// Where the output of scripts goes that is not saved; `None`: to the output of this process.
    ///
    /// # Errors
    ///
    /// No more pipes or threads can be made.
    fn script_output(&self) -> io::Result<Option<(Streams, Piped)>>;

    /// The work on a host begins.
    fn begin(&self, host: &str) -> Box<dyn HostObserver>;

    /// The work on all hosts has ended, after `elapsed`; `exit_status` is that of a program that does nothing else.
    fn end(&self, results: &[HostResult], elapsed: Duration, exit_status: u8);

    /// True if something that the user has asked for could not be written.
    fn is_lost(&self) -> bool;
}

/// Hears of the work on one host.
pub trait HostObserver: Send {
    /// Takes the progress of the host's run.
    fn progress(&self) -> Progress;

    /// The work on the host has ended. Not called if the program fails inside.
    fn end(self: Box<Self>, result: &HostResult);
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// An observer that ignores everything.
    #[derive(Debug)]
    pub(crate) struct Unheard;

    impl LogSink for Unheard {
        fn log(&self, _: Level, _: &str, _: &str) {}
    }

    impl Observer for Unheard {
        fn level(&self) -> Level {
            Level::Info
        }

        fn is_colored(&self) -> bool {
            false
        }

        fn script_output(&self) -> io::Result<Option<(Streams, Piped)>> {
            Ok(None)
        }

        fn begin(&self, _: &str) -> Box<dyn HostObserver> {
            Box::new(Self)
        }

        fn end(&self, _: &[HostResult], _: Duration, _: u8) {}

        fn is_lost(&self) -> bool {
            false
        }
    }

    impl HostObserver for Unheard {
        fn progress(&self) -> Progress {
            Progress::silent()
        }

        fn end(self: Box<Self>, _: &HostResult) {}
    }
}
