//! What an administrator asks for.

use std::{net::IpAddr, time::Duration};

use super::{ARMED_MAX, Ledger, Moment, Phase};
use crate::trigger::{
    address::TargetAddress,
    facts::Facts,
    identity::normal_mac,
    job::{Job, JobId, JobKind, JobState, Machine, MachineId, Millis},
};

/// Why an order cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such machine.
    #[error("no machine {0:?} is known")]
    UnknownMachine(String),
    /// There is no such job.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// The job has ended already.
    #[error("job {0} is at its end already: {1}")]
    AtItsEnd(JobId, JobState),
    /// The job has not ended yet.
    #[error("job {0} is {1}; only a job that has ended can be done again")]
    NotAtItsEnd(JobId, JobState),
    /// A job of the machine waits or runs.
    #[error("job {1} of machine {0} is not at its end")]
    Busy(MachineId, JobId),
    /// Its machine is forgotten.
    #[error("the machine of job {0} is not known any more; it has to call again")]
    Forgotten(JobId),
    /// Another machine has the address.
    #[error("{1}, the last address of machine {0}, is another machine's now")]
    Moved(MachineId, TargetAddress),
    /// An installed machine may have the address.
    #[error(
        "machine {1} had the address {0} after its install, and nothing proves that it has another one now"
    )]
    Held(TargetAddress, MachineId),
}

impl OrderError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownMachine(_) => {
                "a machine is known once it has called; `cdist trigger hosts` lists them by number, hardware address and \
                 address"
                    .to_owned()
            }
            Self::UnknownJob(_) => "`cdist trigger jobs` lists the jobs".to_owned(),
            Self::AtItsEnd(id, _) => format!("`cdist trigger retry {id}` does it again"),
            Self::NotAtItsEnd(id, _) => format!("`cdist trigger cancel {id}` stops it"),
            Self::Busy(_, id) => format!("wait for it, or stop it with `cdist trigger cancel {id}`"),
            Self::Moved(..) => "switch it on, and let it call; then its address is known".to_owned(),
            Self::Held(_, id) => {
                format!("if it may be installed, `cdist trigger arm {id}`; if it is gone, `cdist trigger forget {id}`")
            }
            Self::Forgotten(_) => "switch it on, and let it boot the PreOS".to_owned(),
        }
    }
}

impl Ledger {
    /// The machine that `word` stands for: its number, its hardware address, or the address that it had last.
    ///
    /// # Errors
    ///
    /// No machine matches `word`.
    pub fn resolve(&self, word: &str) -> Result<MachineId, OrderError> {
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let by_number = || word.parse().ok().filter(|id| is_number && self.machines.contains_key(id));
        let by_mac = || self.by_key.get(&normal_mac(word)?).copied();
        let by_address = || {
            let normal = word.parse::<IpAddr>().map(TargetAddress::from);
            self.by_address.get(normal.as_deref().unwrap_or(word)).copied()
        };
        let found = by_number().or_else(by_mac).or_else(by_address);
        found.ok_or_else(|| OrderError::UnknownMachine(word.to_owned()))
    }

    /// Lets a machine be installed once more, if it asks in time.
    ///
    /// # Errors
    ///
    /// The machine is not known.
    pub fn arm(&mut self, id: MachineId, time: Duration, now: Moment) -> Result<Millis, OrderError> {
        let unknown = || OrderError::UnknownMachine(id.to_string());
        let machine = self.machines.get_mut(&id).ok_or_else(unknown)?;
        let time = time.min(ARMED_MAX);
        let until = now.wall.saturating_add(Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX));
        machine.armed_until = Some(until);
        self.armed_until.insert(id, now.mono + time);
        self.store_machine(id);
        Ok(until)
    }

    /// Takes [`arm`](Self::arm) back.
    ///
    /// # Errors
    ///
    /// The machine is not known.
    pub fn take_arm_back(&mut self, id: MachineId) -> Result<(), OrderError> {
        if !self.machines.contains_key(&id) {
            return Err(OrderError::UnknownMachine(id.to_string()));
        }
        self.disarm(id);
        self.store_machine(id);
        // Nor does a job that has used it give it back.
        let used = |active: &&super::Active| active.job.armed.iter().any(|(machine, _)| *machine == id);
        let jobs: Vec<JobId> = self.active.values().filter(used).map(|active| active.job.id).collect();
        for job in jobs {
            if let Some(active) = self.active.get_mut(&job) {
                active.job.armed.retain(|(machine, _)| *machine != id);
            }
            self.store_job(job);
        }
        Ok(())
    }

    /// Stops a job. True if it has come to its end by that; one that runs has to be told, and ends later.
    ///
    /// # Errors
    ///
    /// The job is unknown or already finished.
    pub fn cancel(&mut self, id: JobId, now: Moment) -> Result<bool, OrderError> {
        let active = self.active.get_mut(&id).ok_or(OrderError::UnknownJob(id))?;
        if active.phase == Phase::Run {
            // Stored, so that it does not begin again after a crash.
            active.job.stopping = true;
            self.store_job(id);
            return Ok(false);
        }
        self.close(id, JobState::Cancelled, Some("stopped before it ran".to_owned()), now);
        Ok(true)
    }

    /// Does a job that has ended again, as a new one, whatever the install policy says: an administrator asks for it by name.
    /// If the same waits or runs already, it is that. It goes to the newest address of the machine, with `host_keys`, the
    /// newest ones. `neighbour` is the hardware address that the kernel knows for that address.
    ///
    /// # Errors
    ///
    /// The job has not ended; its machine is forgotten, or has lost its address to another one; or an installed machine
    /// may have that address.
    pub fn retry(
        &mut self,
        old: &Job,
        host_keys: Vec<String>,
        neighbour: Option<&str>,
        now: Moment,
    ) -> Result<JobId, OrderError> {
        if !old.state.is_final() {
            return Err(OrderError::NotAtItsEnd(old.id, old.state));
        }
        let Some(machine) = self.machines.get(&old.machine) else {
            return Err(OrderError::Forgotten(old.id));
        };
        let anywhere = |phase| old.kind == JobKind::Install || phase != Phase::Run;
        if let Some(job) = self.find(old.machine, old.kind, anywhere) {
            return Ok(job);
        }
        let address = machine.address.clone();
        let is_another = !is_one_of(neighbour, machine) || self.by_address.get(&address) != Some(&machine.id);
        if is_another {
            return Err(OrderError::Moved(machine.id, address));
        }
        let facts = Facts { ssh_host_keys: host_keys, ..machine.facts.clone() };
        let mut armed = Vec::new();
        if old.kind == JobKind::Install {
            let holders =
                if neighbour.is_none() { self.holders(&address, Some(old.machine)) } else { Vec::new() };
            if let Some(id) = holders.iter().find(|id| self.admit(**id, now).is_err()) {
                return Err(OrderError::Held(address, *id));
            }
            armed = self.use_arms(std::iter::once(old.machine).chain(holders));
        }
        Ok(self.new_job(old.kind, old.machine, address, facts, old.path.clone(), armed, now))
    }
}

/// True unless the kernel knows another card for the address than those of the machine.
pub(in crate::trigger) fn is_one_of(neighbour: Option<&str>, machine: &Machine) -> bool {
    let mut macs = machine.macs().peekable();
    neighbour.is_none_or(|mac| macs.peek().is_none() || macs.any(|other| other == mac))
}
