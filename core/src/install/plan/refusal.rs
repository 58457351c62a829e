//! Why there is no plan.

use super::super::facts::{Disk, Facts};

/// What is wrong, and what to do.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    pub(super) sentence: String,
    pub(super) remedy: String,
}

impl Wrong {
    pub(super) fn new(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), remedy: remedy.into() }
    }
}

/// Why nothing is done to a machine's disks. It is shown with all disks: what is refused for one may be meant for another.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// What is wrong.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
    /// All disks of the machine, a line for each with what is on it.
    pub disks: Vec<String>,
}

pub(super) fn with_disks(wrong: Wrong, facts: &Facts) -> Refusal {
    let Wrong { sentence, remedy } = wrong;
    Refusal { sentence, remedy, disks: facts.disks.iter().map(Disk::line).collect() }
}
