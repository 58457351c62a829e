//! Jobs begin and end.

use std::time::Duration;

use super::{Ledger, Moment, PAUSE, PAUSE_MAX, Phase};
use crate::trigger::{
    attempt::{End, Ended},
    job::{Job, JobId, JobKind, JobState, Millis},
};

/// Why a job that was at work when the server ended is where it is now.
const INTERRUPTED: &str = "the server ended while it was worked on; nobody knows how far it came";

/// The same for a configuration that is not tried any more.
const OFTEN: &str = "the server ended while it was worked on, again and again";
/// So often a configuration begins again because the server has ended, besides the attempts that have failed.
const CRASHES: u32 = 3;
/// Why a job that was cancelled has come to its end.
const STOPPED: &str = "stopped while it ran";

/// Why a job has ended that was to begin.
const AWAY: &str = "its machine has another address now, or another machine has called from this one";

impl Ledger {
    /// The jobs whose turn it is. They run from now on: call this only when they can be started.
    pub fn start(&mut self, now: Moment) -> Vec<Job> {
        while let Some((due, id)) = self.pauses.first().copied()
            && due <= now.mono
        {
            let phase = self.end_of_queue();
            if let Some(job) = self.job(id).cloned() {
                self.insert(job, phase);
            }
        }
        let mut started = Vec::new();
        while self.runs.len() < self.rules.at_once
            && let Some(id) = self.next()
        {
            if self.job(id).is_some_and(|job| !self.is_at_home(job)) {
                self.drop_job(id, AWAY.to_owned(), now);
                continue;
            }
            let Some(job) = self.start_one(id, now) else { break };
            started.push(job);
        }
        started
    }

    /// In the order of the queue. A machine has one job of a kind in it at most, so none is served twice before others.
    fn next(&self) -> Option<JobId> {
        let is_free = |id: &&JobId| self.job(**id).is_some_and(|job| !self.is_busy(job));
        self.queue.values().find(is_free).copied()
    }

    fn start_one(&mut self, id: JobId, now: Moment) -> Option<Job> {
        let mut job = self.job(id)?.clone();
        job.state = JobState::Running;
        job.started = Some(now.wall);
        job.not_before = None;
        job.attempts += 1;
        self.insert(job.clone(), Phase::Run);
        self.store_job(id);
        Some(job)
    }

    /// An attempt has ended. `random` is any number from 0 to 1: it spreads repetitions.
    pub fn finish(&mut self, id: JobId, ended: Ended, now: Moment, random: f64) {
        let Some(active) = self.active.get_mut(&id) else { return };
        if active.phase != Phase::Run {
            return;
        }
        if ended.end == End::Missed {
            active.job.attempts -= 1;
            active.job.started = None;
            let note = ended.report.reason.unwrap_or_else(|| AWAY.to_owned());
            return self.drop_job(id, note, now);
        }
        active.job.report = Some(Box::new(ended.report));
        let (kind, attempts, stopping) = (active.job.kind, active.job.attempts, active.job.stopping);
        match ended.end {
            End::Succeeded => self.close(id, JobState::Succeeded, None, now),
            // Asked to stop: whatever it says of its end, it is not to be tried again.
            End::Cancelled | End::Failed if stopping => {
                self.close(id, JobState::Cancelled, Some(STOPPED.to_owned()), now);
            }
            End::Cancelled => self.interrupt(id, now),
            // An install is never repeated by itself, and a configuration not if the machine has asked again meanwhile.
            End::Failed if kind == JobKind::Config && attempts <= self.rules.retries => {
                match self.successor(id) {
                    _ if self.job(id).is_some_and(|job| !self.is_at_home(job)) => {
                        self.close(id, JobState::Failed, Some(AWAY.to_owned()), now);
                    }
                    Some(next) => {
                        self.close(id, JobState::Failed, Some(format!("job {next} does it again")), now);
                    }
                    None => self.pause(id, now, random),
                }
            }
            End::Failed | End::Missed => self.close(id, JobState::Failed, None, now),
        }
    }

    /// The job that waits to do the same to the same machine.
    fn successor(&self, id: JobId) -> Option<JobId> {
        let job = self.job(id)?;
        self.find(job.machine, job.kind, |phase| !matches!(phase, Phase::Run))
    }

    fn pause(&mut self, id: JobId, now: Moment, random: f64) {
        let Some(mut job) = self.job(id).cloned() else { return };
        self.clear_queue(&job.address, Some(job.machine), now);
        let pause = pause(job.attempts, random);
        job.state = JobState::Queued;
        job.not_before = Some(now.wall.saturating_add(millis(pause)));
        self.insert(job, Phase::Pause(now.mono + pause));
        self.store_job(id);
    }

    /// The server has ended, or is about to, while a job was at work: a configuration can be repeated, an install cannot.
    fn interrupt(&mut self, id: JobId, now: Moment) {
        let Some(mut job) = self.job(id).cloned() else { return };
        if job.stopping {
            return self.close(id, JobState::Cancelled, Some(STOPPED.to_owned()), now);
        }
        if job.kind == JobKind::Install {
            return self.close(id, JobState::Interrupted, Some(INTERRUPTED.to_owned()), now);
        }
        // A job that was at work at each of several crashes may be what crashes the server.
        if job.attempts > self.rules.retries.saturating_add(CRASHES) {
            return self.close(id, JobState::Interrupted, Some(OFTEN.to_owned()), now);
        }
        if let Some(next) = self.successor(id) {
            let note = format!("the server ended while it was worked on; job {next} does it again");
            return self.close(id, JobState::Interrupted, Some(note), now);
        }
        if !self.is_at_home(&job) {
            return self.close(id, JobState::Interrupted, Some(AWAY.to_owned()), now);
        }
        self.clear_queue(&job.address, Some(job.machine), now);
        job.state = JobState::Queued;
        job.note = Some("the server ended while it was worked on; it is done again".to_owned());
        let phase = self.end_of_queue();
        self.insert(job, phase);
        self.store_job(id);
    }

    /// A job is stored as running, and is not being worked on.
    pub fn lose(&mut self, id: JobId, now: Moment) {
        self.interrupt(id, now);
    }

    /// After a start: nothing runs, whatever is stored.
    pub fn recover(&mut self, now: Moment) {
        for id in self.running_jobs() {
            self.interrupt(id, now);
        }
    }
}

fn pause(attempts: u32, random: f64) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MAX);
    doubled.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        assert_eq!(pause(1, 0.0), Duration::from_secs(5));
        assert_eq!(pause(1, 1.0), Duration::from_secs(10));
        assert_eq!(pause(3, 1.0), Duration::from_secs(40));
        assert_eq!(pause(u32::MAX, 1.0), PAUSE_MAX);
    }
}
