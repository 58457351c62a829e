//! What an administrator asks for.

use std::time::Duration;

use super::{ARMED_MAX, Change, Ledger, Moment, Place};
use crate::trigger::{
    facts::normal_mac,
    job::{Job, JobId, Kind, MachineId, Millis, State},
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
    /// It is at its end.
    #[error("job {0} is at its end already: {1}")]
    AtItsEnd(JobId, State),
    /// It is not.
    #[error("job {0} is {1}; only a job that has ended can be done again")]
    NotAtItsEnd(JobId, State),
    /// A job of the machine waits or runs.
    #[error("job {1} of machine {0} is not at its end")]
    Busy(MachineId, JobId),
    /// Its machine is forgotten.
    #[error("the machine of job {0} is not known any more; it has to call again")]
    Forgotten(JobId),
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
            Self::Forgotten(_) => "switch it on, and let it boot the PreOS".to_owned(),
        }
    }
}

impl Ledger {
    /// The machine that `word` stands for: its number, its hardware address, or the address that it had last.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn resolve(&self, word: &str) -> Result<MachineId, OrderError> {
        let by_number = || word.parse().ok().filter(|id| self.machines.contains_key(id));
        let by_mac = || self.by_mac.get(&normal_mac(word)?).copied();
        let by_address = || {
            let normal = word.parse().map(|address| crate::trigger::job::unmapped(address).to_string());
            self.by_address.get(normal.as_deref().unwrap_or(word)).copied()
        };
        let found = by_number().or_else(by_mac).or_else(by_address);
        found.ok_or_else(|| OrderError::UnknownMachine(word.to_owned()))
    }

    /// Lets a machine be installed once more, if it asks in time.
    ///
    /// # Errors
    ///
    /// It is not known.
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
        Ok(())
    }

    /// Stops a job. True if it has come to its end by that; one that runs has to be told, and ends later.
    ///
    /// # Errors
    ///
    /// It is not there, which may mean that it is at its end.
    pub fn cancel(&mut self, id: JobId, now: Moment) -> Result<bool, OrderError> {
        let active = self.active.get_mut(&id).ok_or(OrderError::UnknownJob(id))?;
        if active.place == Place::Run {
            // Stored, so that it does not begin again after a crash.
            active.job.stopping = true;
            self.store_job(id);
            return Ok(false);
        }
        self.close(id, State::Cancelled, Some("stopped before it ran".to_owned()), now);
        Ok(true)
    }

    /// Does a job that has ended again, as a new one, whatever the install policy says: somebody asks for it by name.
    /// If the same waits or runs already, it is that. `newest` is the newest job of the machine: it has its newest address
    /// and ssh host keys.
    ///
    /// # Errors
    ///
    /// Its machine is forgotten, or the job is not at its end.
    pub fn retry(&mut self, old: &Job, newest: &Job, now: Moment) -> Result<JobId, OrderError> {
        if !old.state.is_final() {
            return Err(OrderError::NotAtItsEnd(old.id, old.state));
        }
        if !self.machines.contains_key(&old.machine) {
            return Err(OrderError::Forgotten(old.id));
        }
        let anywhere = |place| old.kind == Kind::Install || place != Place::Run;
        if let Some(job) = self.find(old.machine, old.kind, anywhere) {
            return Ok(job);
        }
        if old.kind == Kind::Install {
            self.disarm(old.machine);
        }
        let (address, facts) = (newest.address.clone(), newest.facts.clone());
        Ok(self.new_job(old.kind, old.machine, address, facts, old.path.clone(), now))
    }

    /// Forgets a machine, and with it whether it was installed.
    ///
    /// # Errors
    ///
    /// It is not known, or one of its jobs is not at its end.
    pub fn forget(&mut self, id: MachineId) -> Result<(), OrderError> {
        if let Some(job) = self.of_machine.get(&id).and_then(|jobs| jobs.first()) {
            return Err(OrderError::Busy(id, *job));
        }
        let machine = self.machines.remove(&id).ok_or_else(|| OrderError::UnknownMachine(id.to_string()))?;
        self.armed_until.remove(&id);
        if let Some(mac) = &machine.mac {
            self.by_mac.remove(mac);
        }
        if self.by_address.get(&machine.address) == Some(&id) {
            self.by_address.remove(&machine.address);
        }
        self.changes.push(Change::Forgotten(id));
        Ok(())
    }
}
