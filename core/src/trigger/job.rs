//! Jobs and machines, as they are stored.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{address::TargetAddress, facts::Facts, identity::is_mac, report::AttemptReport};

/// Number of a job; grows, and is never given twice.
pub type JobId = i64;
/// Number of a machine; never given twice.
pub type MachineId = i64;
/// Milliseconds since 1970-01-01 UTC.
pub type Millis = i64;

/// Time of the system clock, which can be set.
pub(super) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// What is done to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// `cdist install`.
    Install,
    /// `cdist config`.
    Config,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// Is being worked on.
    Running,
    /// All objects are done.
    Succeeded,
    /// Something failed.
    Failed,
    /// The server ended while it was worked on; how far it came is unknown.
    Interrupted,
    /// It was cancelled.
    Cancelled,
}

impl JobState {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Interrupted, Self::Cancelled];

    /// True if nothing more will happen to the job.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl JobKind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Config => "config",
        }
    }
}

/// A word that is none of those that are known.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no {1}")]
pub struct UnknownWord(String, &'static str);

impl FromStr for JobState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|state| state.name() == word);
        found.ok_or_else(|| UnknownWord(word.to_owned(), "state of a job"))
    }
}

impl FromStr for JobKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = [Self::Install, Self::Config].into_iter().find(|kind| kind.name() == word);
        found.ok_or_else(|| UnknownWord(word.to_owned(), "kind of job"))
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Install or configure.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whose job it is.
    pub machine: MachineId,
    /// The address that called, and that is worked on.
    pub address: TargetAddress,
    /// What stood after the prefix in the request; recorded, never interpreted.
    pub path: String,
    /// What the machine has told of itself.
    pub facts: Facts,
    /// When it was accepted.
    pub created: Millis,
    /// When the last attempt began.
    pub started: Option<Millis>,
    /// When it came to its end.
    pub finished: Option<Millis>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Not before then: a failed attempt is repeated after a pause.
    pub not_before: Option<Millis>,
    /// How many more requests have joined it.
    pub joined: u32,
    /// A cancel was requested while it runs.
    pub stopping: bool,
    /// What the last attempt has done.
    pub report: Option<Box<AttemptReport>>,
    /// Why it is in its state, when no attempt tells: who cancelled, what interrupted.
    pub note: Option<String>,
    /// Machines whose arm it has used up, and until when they were armed. They get it back if the job ends before it has
    /// reached its machine.
    pub armed: Vec<(MachineId, Millis)>,
}

/// A machine that has called at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its number.
    pub id: MachineId,
    /// The first hardware address that was known of it.
    pub mac: Option<String>,
    /// Everything that stands for it, whatever its address is: the hardware addresses of all its cards, and product UUID
    /// with serial number.
    pub keys: Vec<String>,
    /// Its last address.
    pub address: TargetAddress,
    /// Another machine has called from that address since, so nothing is done there for this one.
    pub has_lost_address: bool,
    /// Addresses where nothing is installed without asking if nothing proves whose they are: it was there since its install. Of a machine that was not installed they mean nothing.
    pub places: Vec<TargetAddress>,
    /// The newest facts.
    pub facts: Facts,
    /// When it called first.
    pub first_seen: Millis,
    /// When it called last.
    pub last_seen: Millis,
    /// How its last install came out, if there was one; [`JobState::Queued`] and [`JobState::Running`] do not stand here.
    pub install: Option<JobState>,
    /// When that was.
    pub installed: Option<Millis>,
    /// May be installed once more until then.
    pub armed_until: Option<Millis>,
    /// Its newest job.
    pub last_job: Option<JobId>,
}

impl Machine {
    /// True if an install has come to an end after which another one would be an accident.
    pub fn is_protected(&self) -> bool {
        matches!(self.install, Some(JobState::Succeeded | JobState::Interrupted | JobState::Cancelled))
    }

    /// The hardware addresses of its cards.
    pub fn macs(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str).filter(|key| is_mac(key))
    }
}
