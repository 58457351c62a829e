//! Requests of machines.

use super::{Change, Ledger, Moment, Place};
use crate::trigger::{
    facts::Facts,
    job::{Job, JobId, Kind, Machine, MachineId, State},
    policy::Refusal,
};

/// A machine that calls.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it wants to be done.
    pub kind: Kind,
    /// Its address, as in [`Job::address`].
    pub address: String,
    /// Its hardware address as the kernel of this machine knows it; that of the facts counts before this.
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
    /// The same is waiting already.
    Joined(JobId),
    /// It is being installed just now.
    Running(JobId),
    /// The policy is against it. The machine is known from now on.
    Refused(Refusal, MachineId),
    /// Too many jobs wait.
    QueueFull,
    /// Too many machines are known.
    MachinesFull,
}

impl Ledger {
    /// A machine calls.
    pub fn call(&mut self, call: Call, now: Moment) -> Answer {
        let mac = call.facts.mac.clone().or(call.neighbour);
        let known = self.identify(mac.as_deref(), &call.address);
        if known.is_none() && self.machines.len() >= self.rules.machines_max {
            return Answer::MachinesFull;
        }
        let waits = |place| !matches!(place, Place::Run { .. });
        if let Some(machine) = known {
            if let Some(job) = self.find(machine, call.kind, waits) {
                self.see(machine, mac, &call.address, &call.facts, now);
                self.join(job, call.address, call.facts);
                return Answer::Joined(job);
            }
            let runs = |place| matches!(place, Place::Run { .. });
            if call.kind == Kind::Install
                && let Some(job) = self.find(machine, Kind::Install, runs)
            {
                return Answer::Running(job);
            }
        }
        if self.waiting() >= self.rules.queue_max {
            return Answer::QueueFull;
        }
        let machine = match known {
            Some(machine) => {
                self.see(machine, mac, &call.address, &call.facts, now);
                machine
            }
            None => self.meet(mac, &call.address, &call.facts, now),
        };
        if call.kind == Kind::Install
            && let Err(refusal) = self.admit(machine, now)
        {
            self.store_machine(machine);
            return Answer::Refused(refusal, machine);
        }
        Answer::Queued(self.new_job(call.kind, machine, call.address, call.facts, call.path, now))
    }

    /// Asks the policy, and uses up what the machine was armed for.
    fn admit(&mut self, id: MachineId, now: Moment) -> Result<(), Refusal> {
        let Some(machine) = self.machines.get(&id) else { return Ok(()) };
        self.rules.policy.decide(machine, self.is_armed(machine, now))?;
        // Also where the policy did not ask for it: it is for one install, not for the one after that.
        self.disarm(id);
        Ok(())
    }

    pub(super) fn disarm(&mut self, id: MachineId) {
        self.armed_until.remove(&id);
        if let Some(machine) = self.machines.get_mut(&id) {
            machine.armed_until = None;
        }
    }

    /// Makes a job; its machine is stored with it.
    pub(super) fn new_job(
        &mut self,
        kind: Kind,
        machine: MachineId,
        address: String,
        facts: Facts,
        path: String,
        now: Moment,
    ) -> JobId {
        self.last_job += 1;
        let id = self.last_job;
        let job = Job {
            id,
            kind,
            state: State::Queued,
            machine,
            address,
            path,
            facts,
            created: now.wall,
            started: None,
            finished: None,
            attempts: 0,
            not_before: None,
            joined: 0,
            report: None,
            note: None,
        };
        if let Some(machine) = self.machines.get_mut(&machine) {
            machine.last_job = Some(id);
        }
        self.store_machine(machine);
        self.changes.push(Change::Job(Box::new(job.clone())));
        let place = self.end_of_queue();
        self.insert(job, place);
        id
    }

    /// The same is asked for again. The machine may have been switched off in between: its newest address and keys count,
    /// and it is there, so there is nothing to wait for.
    fn join(&mut self, id: JobId, address: String, facts: Facts) {
        let place = match self.active.get(&id).map(|active| active.place) {
            Some(Place::Pause(_)) => self.end_of_queue(),
            Some(place) => place,
            None => return,
        };
        if let Some(mut job) = self.active.get(&id).map(|active| active.job.clone()) {
            job.joined = job.joined.saturating_add(1);
            (job.address, job.facts, job.not_before) = (address, facts, None);
            self.insert(job, place);
        }
        self.store_job(id);
    }

    /// Who it is: the hardware address stands for the machine; who has none is who had the address last.
    fn identify(&self, mac: Option<&str>, address: &str) -> Option<MachineId> {
        let by_address = self.by_address.get(address).copied();
        let Some(mac) = mac else { return by_address };
        self.by_mac.get(mac).copied().or_else(|| {
            // It called before without telling.
            by_address.filter(|id| self.machines.get(id).is_some_and(|machine| machine.mac.is_none()))
        })
    }

    /// A machine that is not known yet. It is stored by the caller.
    fn meet(&mut self, mac: Option<String>, address: &str, facts: &Facts, now: Moment) -> MachineId {
        self.last_machine += 1;
        let id = self.last_machine;
        if let Some(mac) = &mac {
            self.by_mac.insert(mac.clone(), id);
        }
        self.by_address.insert(address.to_owned(), id);
        let machine = Machine {
            id,
            mac,
            address: address.to_owned(),
            facts: facts.clone(),
            first_seen: now.wall,
            last_seen: now.wall,
            install: None,
            installed: None,
            armed_until: None,
            last_job: None,
        };
        self.machines.insert(id, machine);
        id
    }

    /// A machine that is known calls again. It is stored by the caller.
    fn see(&mut self, id: MachineId, mac: Option<String>, address: &str, facts: &Facts, now: Moment) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.last_seen = now.wall;
        if machine.mac.is_none()
            && let Some(mac) = mac
        {
            self.by_mac.insert(mac.clone(), id);
            machine.mac = Some(mac);
        }
        if machine.address != address {
            if self.by_address.get(&machine.address) == Some(&id) {
                self.by_address.remove(&machine.address);
            }
            address.clone_into(&mut machine.address);
        }
        self.by_address.insert(address.to_owned(), id);
        let old = std::mem::replace(&mut machine.facts, facts.clone());
        // A call without facts takes nothing back but the ssh host keys, which may be others after a boot.
        machine.facts.mac = machine.facts.mac.take().or(old.mac);
        machine.facts.uuid = machine.facts.uuid.take().or(old.uuid);
        machine.facts.serial = machine.facts.serial.take().or(old.serial);
    }
}
