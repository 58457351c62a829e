//! What a server counts from its start on, and whether it can accept jobs.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::job::Millis;

/// A commit that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitProblem {
    /// When.
    pub at: Millis,
    /// Why, in one line.
    pub reason: String,
}

/// The numbers of a server, since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests by what became of them.
    pub accepted: AtomicU64,
    /// Joined a job that was waiting.
    pub joined: AtomicU64,
    /// Refused by the install policy.
    pub refused: AtomicU64,
    /// Refused because too much is waiting, or the server ends.
    pub unavailable: AtomicU64,
    /// Not allowed, or without the right token.
    pub forbidden: AtomicU64,
    /// Not understood.
    pub bad: AtomicU64,
    /// Failed here.
    pub failed: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Jobs that wait.
    pub waiting: AtomicU64,
    /// Jobs that run.
    pub running: AtomicU64,
    /// Machines that are known.
    pub machines: AtomicU64,
    /// Attempts that have begun.
    pub attempts: AtomicU64,
    /// Commits to the store.
    pub commits: AtomicU64,
    /// Commits that failed.
    pub commits_failed: AtomicU64,
    /// Microseconds that commits have taken.
    pub commit_micros: AtomicU64,
    store_failing: AtomicBool,
    commit_problem: Mutex<Option<CommitProblem>>,
    closing: AtomicBool,
    full: AtomicBool,
}

impl Counters {
    /// True while jobs can be accepted.
    pub fn is_healthy(&self) -> bool {
        !self.store_failing.load(Relaxed) && !self.closing.load(Relaxed) && !self.full.load(Relaxed)
    }

    /// Why jobs cannot be accepted.
    pub fn complaint(&self) -> Option<&'static str> {
        if self.closing.load(Relaxed) {
            Some("shutting down")
        } else if self.store_failing.load(Relaxed) {
            Some("jobs cannot be stored")
        } else if self.full.load(Relaxed) {
            Some("the queue is full")
        } else {
            None
        }
    }

    /// The last commit that failed.
    pub fn commit_problem(&self) -> Option<CommitProblem> {
        self.commit_problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True once the server has been told to end.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// True if the last commit failed.
    pub(super) fn is_store_failing(&self) -> bool {
        self.store_failing.load(Relaxed)
    }

    pub(super) fn set_closing(&self) {
        self.closing.store(true, Relaxed);
    }

    pub(super) fn set_sizes(&self, waiting: usize, queue_max: usize, running: usize, machines: usize) {
        self.waiting.store(waiting as u64, Relaxed);
        self.running.store(running as u64, Relaxed);
        self.machines.store(machines as u64, Relaxed);
        self.full.store(waiting >= queue_max, Relaxed);
    }

    pub(super) fn committed(&self, time: Duration, problem: Option<CommitProblem>) {
        let good = problem.is_none();
        if !good {
            *self.commit_problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        }
        self.commits.fetch_add(1, Relaxed);
        self.commit_micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(0), Relaxed);
        self.commits_failed.fetch_add(u64::from(!good), Relaxed);
        self.store_failing.store(!good, Relaxed);
    }
}
