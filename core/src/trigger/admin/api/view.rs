//! Jobs, machines and the server, as the API shows them. Times are texts as in RFC 3339.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::trigger::{
    attempt::AttemptReport,
    facts::Facts,
    job::{Job, JobId, JobKind, JobState, Machine, MachineId, Millis},
    policy::InstallPolicy,
};

/// One job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in `Job`")]
pub struct JobView {
    pub id: JobId,
    pub kind: JobKind,
    pub state: JobState,
    pub machine: MachineId,
    pub address: String,
    /// The machine's, as far as it is known.
    pub mac: Option<String>,
    pub path: String,
    pub created: Option<String>,
    pub started: Option<String>,
    pub finished: Option<String>,
    pub not_before: Option<String>,
    /// How long the last attempt took, or takes so far.
    pub seconds: Option<f64>,
    pub attempts: u32,
    pub joined: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    pub note: Option<String>,
}

/// What can be done with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Stop it.
    Cancel,
    /// Do it again.
    Retry,
}

/// Everything about one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetails {
    /// As in a list.
    #[serde(flatten)]
    pub job: JobView,
    /// What the machine has told of itself in the request.
    pub facts: Facts,
    /// What the last attempt has done.
    pub report: Option<Box<AttemptReport>>,
    /// The machine as it is known now; `None` if it is forgotten.
    pub machine_record: Option<MachineView>,
    /// Where the log of the last attempt is.
    pub log: Option<PathBuf>,
    /// What can be done with it.
    pub actions: Vec<Action>,
}

/// One machine in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in `Machine`")]
pub struct MachineView {
    pub id: MachineId,
    pub mac: Option<String>,
    pub address: String,
    pub facts: Facts,
    pub first_seen: Option<String>,
    pub last_seen: Option<String>,
    pub install: Option<JobState>,
    pub installed: Option<String>,
    /// True if it may be installed once more.
    pub armed: bool,
    /// Until when; only if it is armed.
    pub armed_until: Option<String>,
    pub last_job: Option<JobId>,
}

/// A machine and its newest jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineDetails {
    /// As in a list.
    #[serde(flatten)]
    pub machine: MachineView,
    /// The newest first.
    pub jobs: Vec<JobView>,
}

/// Jobs, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// They.
    pub jobs: Vec<JobView>,
    /// `before` of the next list, if there may be more.
    pub next: Option<JobId>,
}

/// Machines by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineList {
    /// They.
    pub machines: Vec<MachineView>,
    /// `after` of the next list, if there may be more.
    pub next: Option<MachineId>,
}

/// Something was done with a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDone {
    /// The job: for a repetition the new one.
    pub job: JobId,
    /// What is the case now, in one line.
    pub message: String,
}

/// Something was done with a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineDone {
    /// The machine.
    pub machine: MachineId,
    /// Until when it may be installed once more.
    pub armed_until: Option<String>,
    /// What is the case now, in one line.
    pub message: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// For whom: `machines`, `status`, `command line`.
    pub purpose: String,
    /// An address with port, or a path.
    pub address: String,
}

/// A commit that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitProblemView {
    /// When.
    pub at: Option<String>,
    /// Why.
    pub reason: String,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Of the program.
    pub version: String,
    /// When it was started.
    pub started: String,
    /// How long ago that is.
    pub uptime_seconds: u64,
    /// True while jobs can be accepted.
    pub healthy: bool,
    /// Why they cannot.
    pub complaint: Option<String>,
    /// Where jobs, machines and logs are kept.
    pub state_dir: PathBuf,
    /// Where it listens.
    pub listeners: Vec<ListenerView>,
    /// When machines are installed.
    pub install_policy: InstallPolicy,
    /// How many jobs run at once.
    pub jobs_at_once: usize,
    /// How many jobs wait at most.
    pub queue_max: usize,
    /// How many machines are known at most.
    pub machines_max: usize,
    /// How often a failed configuration is repeated.
    pub retries: u32,
    /// Nothing is changed on machines: what would be done is in the logs of the jobs.
    pub dry_run: bool,
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs that run.
    pub running: u64,
    /// Machines that are known.
    pub machines: u64,
    /// Open connections of machines.
    pub connections: u64,
    /// Stored jobs by state.
    pub jobs: BTreeMap<JobState, u64>,
    /// Commits to the store since the start.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// The last commit that failed.
    pub last_commit_problem: Option<CommitProblemView>,
}

/// A time for people and programs; `None` if the calendar has no such year.
pub(in crate::trigger) fn time(at: Millis) -> Option<String> {
    Timestamp::from_millisecond(at).ok().map(|at| at.to_string())
}

impl JobView {
    /// A job, and the machine if it is known.
    pub(in crate::trigger) fn new(job: &Job, machine: Option<&Machine>, now: Millis) -> Self {
        let end = if job.state == JobState::Running { Some(now) } else { job.finished };
        let reported =
            job.report.as_ref().map(|report| report.seconds).filter(|_| job.state != JobState::Running);
        #[allow(clippy::cast_precision_loss, reason = "no attempt takes 2^53 milliseconds")]
        let between = |start: Millis, end: Millis| (end.saturating_sub(start)).max(0) as f64 / 1000.0;
        let measured = job.started.zip(end).map(|(start, end)| between(start, end));
        Self {
            id: job.id,
            kind: job.kind,
            state: job.state,
            machine: job.machine,
            address: job.address.to_string(),
            mac: machine.and_then(|machine| machine.mac.clone()).or_else(|| job.facts.mac.clone()),
            path: job.path.clone(),
            created: time(job.created),
            started: job.started.and_then(time),
            finished: job.finished.and_then(time),
            not_before: job.not_before.and_then(time),
            seconds: reported.filter(|seconds| *seconds > 0.0).or(measured),
            attempts: job.attempts,
            joined: job.joined,
            reason: job.report.as_ref().and_then(|report| report.reason.clone()),
            note: job.note.clone(),
        }
    }
}

impl MachineView {
    /// A machine.
    pub(in crate::trigger) fn new(machine: &Machine, now: Millis) -> Self {
        let armed = machine.armed_until.filter(|until| *until > now);
        Self {
            id: machine.id,
            mac: machine.mac.clone(),
            address: machine.address.to_string(),
            facts: machine.facts.clone(),
            first_seen: time(machine.first_seen),
            last_seen: time(machine.last_seen),
            install: machine.install,
            installed: machine.installed.and_then(time),
            armed: armed.is_some(),
            armed_until: armed.and_then(time),
            last_job: machine.last_job,
        }
    }
}

/// What can be done with a job in a state.
pub(in crate::trigger) fn actions(state: JobState, machine_is_known: bool) -> Vec<Action> {
    match (state.is_final(), machine_is_known) {
        (false, _) => vec![Action::Cancel],
        (true, true) => vec![Action::Retry],
        // It would have to call first.
        (true, false) => Vec::new(),
    }
}
