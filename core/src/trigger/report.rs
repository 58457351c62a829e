//! What an attempt at a job has done, as it is stored and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an attempt has done. Stored as JSON; new fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptReport {
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
