//! The work on one host or many, and what is told of it: the same for a command and for a job of the trigger server.

use std::{
    collections::BTreeMap,
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{HostResult, HostState, Observer, Piped, RunError, RunMaker, Target};
use crate::{
    config::{self, Mode, Run, Streams, log::Level},
    host::{Cancel, OwnDir},
};

/// The directory of the runs' directories. After a failure it stays, for it holds what tells the reason.
#[derive(Debug)]
pub enum Base {
    /// A directory that always stays.
    Kept(PathBuf),
    /// A directory that is removed after success.
    Temporary(OwnDir),
    /// A directory that is emptied after success, and when no target was reached: then the reason is not in it.
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
pub struct HostRuns<'a> {
    /// Makes the run of each host.
    pub maker: &'a RunMaker,
    /// Which objects are worked on.
    pub mode: Mode,
    /// The hosts.
    pub hosts: &'a [Target],
    /// How many hosts at the same time.
    pub parallel: Option<NonZeroUsize>,
    /// Where the runs' own files go.
    pub base: Base,
    /// Hears of everything.
    pub observer: &'a Arc<dyn Observer>,
    /// Ends the runs when set.
    pub cancel: Cancel,
    /// What to try if the host key of a target is refused, besides what the error says.
    pub host_key_advice: Option<&'static str>,
}

impl HostRuns<'_> {
    /// Works on all hosts. `stopped` is the exit status of a program that was asked to stop.
    ///
    /// Returns how it went, in the order of the hosts, and the exit status: 0, 1 if anything failed or could not be printed,
    /// or `stopped`.
    pub async fn work(self, stopped: impl Fn() -> Option<u8>) -> (Vec<HostResult>, u8) {
        let started = Instant::now();
        self.observer.log(Level::Verbose, "cdist", concat!("version ", env!("CARGO_PKG_VERSION")));
        let results = self.configure_all().await;
        let elapsed = started.elapsed();
        let failed: Vec<&str> =
            results.iter().filter(|r| r.state != HostState::Done).map(|r| r.host.as_str()).collect();
        let status = stopped().unwrap_or_else(|| u8::from(!failed.is_empty() || self.observer.is_lost()));
        self.observer.log(
            Level::Verbose,
            "config",
            &format!("Total processing time for {} host(s): {:.2}", self.hosts.len(), elapsed.as_secs_f64()),
        );
        self.observer.end(&results, elapsed, status);
        let status = if self.observer.is_lost() { status.max(1) } else { status };
        if stopped().is_none() && !failed.is_empty() {
            let text = format!("Failed to configure the following hosts: {}", failed.join(" "));
            self.observer.log(Level::Error, "cdist", &text);
        }
        // After a signal, too: the reason of the end is known.
        self.leave_base(&results, stopped().is_some() || failed.is_empty());
        (results, status)
    }

    /// Removes what the runs have left, or keeps it for a look at the reason of a failure.
    fn leave_base(self, results: &[HostResult], is_known: bool) {
        let says_nothing =
            matches!(self.base, Base::Emptied(_)) && results.iter().all(|r| !r.report.answered);
        let path = self.base.path().to_owned();
        let left = if is_known || says_nothing { self.base.clear() } else { self.base.keep() };
        if let Err(error) = left {
            let text = format!("removing {}: {error}", path.display());
            self.observer.log(Level::Warning, "cdist", &text);
        }
    }

    async fn configure_all(&self) -> Vec<HostResult> {
        let permits = Arc::new(Semaphore::new(self.parallel.map_or(1, NonZeroUsize::get)));
        let mut tasks = JoinSet::new();
        let mut results = BTreeMap::new();
        for (i, target) in self.hosts.iter().enumerate() {
            let host = &target.host;
            let task = match self.prepare(target) {
                Ok(task) => task,
                Err(error) => {
                    self.observer.log(Level::Error, host, &error.0);
                    results.insert(i, HostResult::refused(host.clone(), error.0));
                    continue;
                }
            };
            // Taken here and not by the task, for hosts begin in their order. The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await;
            tasks.spawn(async move {
                let _permit = permit;
                (i, task.work().await)
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

    fn prepare(&self, target: &Target) -> Result<HostTask, RunError> {
        let mut run = self.maker.run_for(target, self.mode, self.base.path(), self.observer, &self.cancel)?;
        let other = match run.streams {
            Streams::Inherit => self.observer.script_output()?,
            _ => None,
        };
        let piped = other.map(|(streams, piped)| {
            run.streams = streams;
            piped
        });
        Ok(HostTask {
            host: target.host.clone(),
            run,
            piped,
            observer: Arc::clone(self.observer),
            host_key_advice: self.host_key_advice,
            drops_unanswered: matches!(self.base, Base::Emptied(_)),
        })
    }
}

/// The work on one host, ready to go.
struct HostTask {
    host: String,
    run: Run,
    /// Where the scripts write to.
    piped: Option<Piped>,
    observer: Arc<dyn Observer>,
    host_key_advice: Option<&'static str>,
    /// The files of a run that has not reached the target are removed.
    drops_unanswered: bool,
}

impl HostTask {
    async fn work(mut self) -> HostResult {
        if self.run.cancel.is_cancelled() {
            return HostResult::skipped(self.host);
        }
        let heard = self.observer.begin(&self.host);
        self.run.progress = heard.progress();
        let mut result = HostResult::new(self.host, config::outcome_of(self.run).await);
        result.advice = self.host_key_advice.filter(|_| result.is_host_key_refused());
        if self.drops_unanswered && !result.report.answered {
            result.report.files = None;
        }
        if let Some(piped) = self.piped {
            piped.end().await;
        }
        heard.end(&result);
        result
    }
}
