//! Works on the jobs of the trigger server as `cdist config` and `cdist install` would, with everything in the job's log.

mod checks;
mod log_file;
mod report;

use std::{
    any::Any,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::watch, time::timeout};

pub use self::log_file::JobLog;
use super::{
    attempt::{Attempt, End, Ended, JobWorker},
    job::JobKind,
};
use crate::{
    connector::HostKeys,
    host::Cancel,
    runs::{Base, HostResult, HostRuns, Level, Mode, Observer, RunError, RunMaker, Target, confirmed},
};

/// What to do about the host key of a machine that has not told its keys.
const ADVICE: &str = "let the machine tell its host keys when it calls, as a PreOS made with --trigger-url does, or start \
                      the server with --host-key accept-new";

/// How often a job that must not begin yet looks at whether it is still wanted.
const POLL: Duration = Duration::from_millis(200);

/// Which host keys are right for a machine that has not told its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Those that the ssh configuration says.
    #[default]
    Strict,
    /// The first one of each machine; a new one after each install.
    AcceptNew,
}

/// How machines are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetName {
    /// By their addresses.
    #[default]
    Address,
    /// By the names of their addresses, if these lead back to them.
    ReverseDns,
}

/// Makes the observers of the runs of jobs.
pub trait Observers: Send + Sync + fmt::Debug {
    /// Adds to `log` what `cdist config -v` would print of a run in this mode.
    fn observer(&self, mode: Mode, log: Arc<JobLog>) -> Arc<dyn Observer>;
}

/// What holds for all jobs besides options and settings.
#[derive(Clone, Debug)]
pub struct JobRules {
    /// For machines that have not told their keys.
    pub host_keys: HostKeyPolicy,
    /// What stands for a machine in ssh, in scripts and in the log.
    pub target_name: TargetName,
    /// Accepted host keys are kept below it.
    pub state_dir: PathBuf,
    /// Becomes true when jobs may begin.
    pub begin: watch::Receiver<bool>,
}

/// Works on jobs by runs of the configuration engine, each in a task of its own.
#[derive(Clone, Debug)]
pub struct EngineWorker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    maker: RunMaker,
    rules: JobRules,
    observers: Box<dyn Observers>,
}

impl EngineWorker {
    /// Looks whether the runs that `maker` makes can work at all. From then on they are those of a service.
    ///
    /// # Errors
    ///
    /// What every job would fail for: what, where, what to do.
    pub fn new(
        mut maker: RunMaker,
        mut rules: JobRules,
        observers: Box<dyn Observers>,
    ) -> Result<Self, RunError> {
        maker.is_service = true;
        checks::check(&maker)?;
        rules.state_dir = std::path::absolute(&rules.state_dir)?;
        Ok(Self(Arc::new(Shared { maker, rules, observers })))
    }
}

#[async_trait]
impl JobWorker for EngineWorker {
    async fn run(&self, attempt: Attempt) -> Ended {
        let mode = match attempt.kind {
            JobKind::Install => Mode::Install,
            JobKind::Config => Mode::Config,
        };
        let observer = self.0.observers.observer(mode, JobLog::open(&attempt.log));
        let (shared, heard) = (Arc::clone(&self.0), Arc::clone(&observer));
        let task = tokio::spawn(async move { shared.work(attempt, mode, &heard).await });
        match task.await {
            Ok(ended) => ended,
            Err(error) => {
                let why = error.try_into_panic().map_or_else(|e| e.to_string(), |panic| words_of(&*panic));
                let reason = format!("the program failed inside: {why}");
                observer.log(Level::Error, "cdist", &reason);
                report::failed(&reason)
            }
        }
    }
}

impl Shared {
    async fn work(&self, attempt: Attempt, mode: Mode, observer: &Arc<dyn Observer>) -> Ended {
        self.may_begin(&attempt.cancel).await;
        let host = self.host_of(&attempt, &**observer).await;
        let accepted = self.rules.state_dir.join("known_hosts").join(attempt.machine.to_string());
        // A machine that has booted a PreOS has new keys each time, and so has the system that is installed then.
        if mode == Mode::Install
            && let Err(reason) = forget(&accepted)
        {
            observer.log(Level::Error, &host, &reason);
            return report::failed(&reason);
        }
        let host_keys = match (attempt.ssh_host_keys.is_empty(), self.rules.host_keys) {
            (false, _) => HostKeys::Known(attempt.ssh_host_keys),
            (true, HostKeyPolicy::Strict) => HostKeys::Configured,
            (true, HostKeyPolicy::AcceptNew) => HostKeys::AcceptNew(accepted.clone()),
        };
        let target = Target { host, host_keys, guard: Some(Arc::new(attempt.binding)), ..Target::default() };
        let Some(result) = self.run(target, mode, attempt.work_dir, observer, attempt.cancel).await else {
            return report::failed("the program failed inside");
        };
        let ended = report::ended(&result);
        if mode == Mode::Install
            && ended.end == End::Succeeded
            && let Err(text) = forget(&accepted)
        {
            observer.log(Level::Warning, &result.host, &text);
        }
        ended
    }

    /// Waits until jobs may begin, or this one is cancelled.
    async fn may_begin(&self, cancel: &Cancel) {
        let mut begin = self.rules.begin.clone();
        while !*begin.borrow_and_update() && !cancel.is_cancelled() {
            // A cancellation wakes no waiting task, so it is looked at from time to time.
            if let Ok(Err(_)) = timeout(POLL, begin.changed()).await {
                break;
            }
        }
    }

    async fn run(
        &self,
        target: Target,
        mode: Mode,
        work_dir: PathBuf,
        observer: &Arc<dyn Observer>,
        cancel: Cancel,
    ) -> Option<HostResult> {
        let base = match self.maker.out_dir() {
            Ok(Some(dir)) => Base::Kept(dir),
            _ => Base::Emptied(work_dir),
        };
        let runs = HostRuns {
            maker: &self.maker,
            mode,
            hosts: &[target],
            parallel: None,
            base,
            observer,
            cancel: cancel.clone(),
            host_key_advice: Some(ADVICE),
        };
        // The exit status of a program that SIGTERM has ended.
        let (results, _) = runs.work(|| cancel.is_cancelled().then_some(143)).await;
        results.into_iter().next()
    }

    /// What stands for the machine in ssh, in scripts and in the log.
    async fn host_of(&self, attempt: &Attempt, observer: &dyn Observer) -> String {
        if self.rules.target_name == TargetName::Address {
            return attempt.address.to_string();
        }
        let address = attempt.address.clone();
        // The resolver may wait for a name server.
        let name = tokio::task::spawn_blocking(move || confirmed(&address)).await;
        let why = match name {
            Ok(Ok(name)) => return name,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        observer.log(Level::Warning, &attempt.address, &format!("{why}; going on with the address"));
        attempt.address.to_string()
    }
}

/// Removes the accepted host key of a machine: from now on the next one is accepted.
///
/// # Errors
///
/// It cannot be removed, in one sentence.
fn forget(accepted: &Path) -> Result<(), String> {
    match fs::remove_file(accepted) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("removing the host keys in {}: {error}", accepted.display()))
        }
        _ => Ok(()),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason is known".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_words_of_a_panic_are_kept() {
        let number = 5;
        for (task, words) in [
            (tokio::spawn(async { panic!("plain") }), "plain"),
            (tokio::spawn(async move { panic!("with {number}") }), "with 5"),
        ] {
            let error: tokio::task::JoinError = task.await.unwrap_err();
            assert_eq!(words_of(&*error.into_panic()), words);
        }
    }
}
