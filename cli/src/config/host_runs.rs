//! The work on one host or many, and what is told of it: the same for a command and for a job of the trigger server.

use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use cdist_core::{
    config::{
        self, ConfigError, Mode,
        log::{Level, LogSink},
    },
    host::{Cancel, OwnDir},
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    config::{
        host_result::{HostResult, State},
        output::Output,
        run_maker::{RunMaker, Target},
    },
    terminal::{log_lines::LogLines, refusal::Refusal},
};

/// The directory of the runs' directories. After a failure it stays: that is where the user looks for the reason.
#[derive(Debug)]
pub(crate) enum Base {
    /// Stays.
    Kept(PathBuf),
    /// Goes after success.
    Temporary(OwnDir),
    /// Is empty after success, and when no target was reached: then the reason is not in it.
    Emptied(PathBuf),
}

impl Base {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Emptied(path) => path,
            Self::Temporary(own) => own.path(),
        }
    }

    /// After a run whose files are worth looking at.
    fn keep(self) -> io::Result<()> {
        match self {
            Self::Temporary(own) => own.keep(),
            Self::Kept(_) | Self::Emptied(_) => Ok(()),
        }
    }

    fn clear(self) -> io::Result<()> {
        match self {
            Self::Kept(_) => Ok(()),
            Self::Temporary(own) => own.remove(),
            Self::Emptied(path) => {
                for entry in fs::read_dir(path)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        fs::remove_dir_all(entry.path())?;
                    } else {
                        fs::remove_file(entry.path())?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Hosts to work on, and everything that is known before the first of them.
#[derive(Debug)]
pub(crate) struct HostRuns<'a> {
    pub(crate) maker: &'a RunMaker,
    pub(crate) mode: Mode,
    pub(crate) hosts: &'a [Target],
    /// How many hosts at the same time.
    pub(crate) parallel: Option<NonZeroUsize>,
    pub(crate) base: Base,
    pub(crate) log: &'a LogLines,
    pub(crate) output: &'a Output,
    /// Ends the runs when set.
    pub(crate) cancel: Cancel,
    /// What to try next after a failure, besides what the error says.
    pub(crate) advice: fn(&ConfigError) -> Option<&'static str>,
}

impl HostRuns<'_> {
    /// Works on all hosts. `stopped` is the exit status of a program that somebody has stopped.
    ///
    /// Returns how it went, in the order of the hosts, and the exit status: 0, 1 if anything failed or could not be printed,
    /// or `stopped`.
    pub(crate) async fn work(self, stopped: impl Fn() -> Option<u8>) -> (Vec<HostResult>, u8) {
        let started = Instant::now();
        self.log.log(Level::Verbose, "cdist", concat!("version ", env!("CARGO_PKG_VERSION")));
        let results = self.configure_all().await;
        let seconds = started.elapsed().as_secs_f64();
        let failed: Vec<&str> =
            results.iter().filter(|r| r.state != State::Done).map(|r| r.host.as_str()).collect();
        let status = stopped().unwrap_or_else(|| u8::from(!failed.is_empty() || self.output.is_lost()));
        self.log.log(
            Level::Verbose,
            "config",
            &format!("Total processing time for {} host(s): {seconds:.2}", self.hosts.len()),
        );
        self.output.end(&results, seconds, status);
        let status = if self.output.is_lost() { status.max(1) } else { status };
        if stopped().is_none() && !failed.is_empty() {
            let text = format!("Failed to configure the following hosts: {}", failed.join(" "));
            self.log.log(Level::Error, "cdist", &text);
        }
        // After a signal too: nobody looks for the reason of what was asked for.
        let is_over = stopped().is_some() || failed.is_empty();
        let says_nothing =
            matches!(self.base, Base::Emptied(_)) && results.iter().all(|r| !r.report.answered);
        let path = self.base.path().to_owned();
        let left = if is_over || says_nothing { self.base.clear() } else { self.base.keep() };
        if let Err(error) = left {
            let text = format!("removing {}: {error}", path.display());
            self.log.log(Level::Warning, "cdist", &text);
        }
        (results, status)
    }

    async fn configure_all(&self) -> Vec<HostResult> {
        let permits = Arc::new(Semaphore::new(self.parallel.map_or(1, NonZeroUsize::get)));
        let mut tasks = JoinSet::new();
        let mut results = BTreeMap::new();
        for (i, target) in self.hosts.iter().enumerate() {
            let host = &target.host;
            let made = self.maker.run_for(target, self.mode, self.base.path(), self.log, &self.cancel);
            let made = made.and_then(|mut run| {
                let streams = self.log.table.take_streams(&mut run)?;
                Ok::<_, Refusal>((run, streams))
            });
            let (mut run, streams) = match made {
                Ok(made) => made,
                Err(refusal) => {
                    self.log.log(Level::Error, host, &refusal.0);
                    results.insert(i, HostResult::refused(host.clone(), refusal.0));
                    continue;
                }
            };
            // Taken here and not by the task, for hosts begin in their order. The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            let (log, host, output, advice) =
                (self.log.clone(), host.clone(), self.output.clone(), self.advice);
            let drops_unanswered = matches!(self.base, Base::Emptied(_));
            tasks.spawn(async move {
                let _permit = permit;
                if run.cancel.is_cancelled() {
                    return (i, HostResult::skipped(host));
                }
                let line = log.table.begin(&host);
                run.progress = line.progress();
                let mut result = HostResult::new(host, config::attempt(run).await);
                result.advice = result.error.as_ref().and_then(advice);
                if drops_unanswered && !result.report.answered {
                    result.report.files = None;
                }
                if let Some(streams) = streams {
                    streams.end().await;
                }
                line.end(&result, log.tells_success());
                output.host(&result);
                (i, result)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            results.extend(joined.ok());
        }
        // A task that has panicked has no result; its host is no success.
        let lost = |host: &str| HostResult::refused(host.to_owned(), "the program failed inside".to_owned());
        let all = self.hosts.iter().enumerate();
        all.map(|(i, target)| results.remove(&i).unwrap_or_else(|| lost(&target.host))).collect()
    }
}
