//! What the server asks of whoever does the work of a job, and what it hears back.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::job::{JobId, Kind, MachineId};
use crate::host::Cancel;

/// One attempt at a job.
#[derive(Clone, Debug)]
pub struct Order {
    /// The job.
    pub job: JobId,
    /// Install or configure.
    pub kind: Kind,
    /// The address of the machine, as text that ssh takes: an IPv6 address is bare, a link-local one has its zone.
    pub address: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The machine's ssh host keys as it told them: `TYPE BASE64`, checked to be no more than that. With any, they alone
    /// are right for this job.
    pub ssh_host_keys: Vec<String>,
    /// Under which number the machine is known; what is kept for it across jobs goes by that.
    pub machine: MachineId,
    /// Where everything goes that `cdist config -v` would print; the directory exists.
    pub log: PathBuf,
    /// A directory for the run's own files; exists and is empty. Whoever runs the job removes what is not worth keeping.
    pub work_dir: PathBuf,
    /// Set when the job is to end.
    pub cancel: Cancel,
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All objects are done.
    Succeeded,
    /// Something failed.
    Failed,
    /// Somebody asked to stop, and it did.
    Cancelled,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub end: End,
    /// What was done, and what failed.
    pub report: RunReport,
}

/// What an attempt has done. Stored as JSON; new fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// How many objects there are.
    pub objects: usize,
    /// How many of them are done.
    pub done: usize,
    /// How many of them had code.
    pub changed: usize,
    /// How long it took.
    pub seconds: f64,
    /// How often the target was called.
    pub round_trips: u64,
    /// Why it failed, in one line.
    pub reason: Option<String>,
    /// What was worked on, such as `object '__file/etc/motd'`.
    pub what: Option<String>,
    /// The script that failed, such as `code-remote`.
    pub script: Option<String>,
    /// The exit status of what failed.
    pub exit_status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Name, path, source, line and type of what was worked on, as far as they are known.
    pub facts: BTreeMap<String, String>,
    /// The ends of what its scripts have said.
    pub streams: Vec<StreamEnd>,
    /// What to try next.
    pub hint: Option<String>,
    /// Where the files of the run are, if they were kept.
    pub files: Option<String>,
}

/// The end of what a script has said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// Such as `code-remote:stderr`.
    pub name: String,
    /// The last lines, a few KiB at most.
    pub text: String,
}

/// Does the work of jobs. Called from several tasks at once, never twice at a time for one machine.
#[async_trait]
pub trait Runner: Send + Sync + fmt::Debug {
    /// Works on one attempt until its end, or until it is cancelled. Never panics on what a machine says.
    async fn run(&self, order: Order) -> Ended;
}
