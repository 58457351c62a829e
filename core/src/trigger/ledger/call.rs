//! What a machine asks for when it calls, and what is done about it.

use crate::trigger::{
    address::TargetAddress,
    facts::Facts,
    job::{JobId, JobKind, MachineId},
    policy::Refusal,
};

/// A machine that calls.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it wants to be done.
    pub kind: JobKind,
    /// Its address.
    pub address: TargetAddress,
    /// Its hardware address as the kernel of this machine knows it. It counts before that of the facts, which any program
    /// on any machine can make up.
    pub neighbour: Option<String>,
    /// What it tells of itself.
    pub facts: Facts,
    /// What stood after the prefix in the request.
    pub path: String,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is a new job.
    Queued(JobId),
    /// A job of the same kind for this machine waits already.
    Joined(JobId),
    /// The machine is being installed just now.
    Running(JobId),
    /// The machine is being installed just now, but was switched off and on meanwhile: its ssh host keys are others. That job
    /// will fail, and the machine has to ask again after that.
    Rebooted(JobId),
    /// The machine is being installed just now, at another address than it calls from.
    Moved(JobId),
    /// Another machine is being installed just now at the address that it calls from.
    Taken(JobId),
    /// A job waits for a machine that says to be the same, at another address.
    Elsewhere(JobId),
    /// The policy is against it. The machine is known from now on.
    Refused(Refusal, MachineId),
    /// An installed machine has called from too many addresses where nothing proves whose they are.
    Astray(MachineId),
    /// Too many jobs wait.
    QueueFull,
    /// Too many machines are known.
    MachinesFull,
}
