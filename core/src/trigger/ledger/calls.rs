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
    /// The same is waiting already.
    Joined(JobId),
    /// It is being installed just now.
    Running(JobId),
    /// It is being installed just now, but was switched off and on meanwhile: its ssh host keys are others. That job will
    /// fail, and the machine has to ask again after that.
    Rebooted(JobId),
    /// The same is waiting for a machine that says to be the same, at another address.
    Elsewhere(JobId),
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
        let proven = call.neighbour.is_some();
        let mac = call.neighbour.or_else(|| call.facts.mac.clone());
        let known = self.identify(mac.as_deref(), &call.address);
        if let Some(machine) = known {
            // Facts can be made up: they do not lead somebody else's job to another address.
            let is_there =
                proven || self.machines.get(&machine).is_some_and(|machine| machine.address == call.address);
            if let Some(job) = self.find(machine, call.kind, |place| place != Place::Run) {
                if !is_there {
                    return Answer::Elsewhere(job);
                }
                self.see(machine, mac, &call.address, &call.facts, now);
                self.store_machine(machine);
                self.join(job, call.address, call.facts);
                return Answer::Joined(job);
            }
            if call.kind == Kind::Install
                && let Some(job) = self.find(machine, Kind::Install, |place| place == Place::Run)
            {
                let keys = &call.facts.ssh_host_keys;
                let others =
                    |job: &Job| !job.facts.ssh_host_keys.is_empty() && job.facts.ssh_host_keys != *keys;
                let rebooted = is_there && !keys.is_empty() && self.job(job).is_some_and(others);
                return if rebooted { Answer::Rebooted(job) } else { Answer::Running(job) };
            }
        }
        if self.waiting() >= self.rules.queue_max {
            return Answer::QueueFull;
        }
        let machine = match known {
            Some(machine) => {
                // Also if it is refused: it has called. What is claimed from elsewhere moves nothing before it is accepted.
                if proven || self.machines.get(&machine).is_some_and(|known| known.address == call.address) {
                    self.see(machine, mac.clone(), &call.address, &call.facts, now);
                }
                machine
            }
            None if !self.has_room() => return Answer::MachinesFull,
            None => self.meet(mac.clone(), &call.address, &call.facts, now),
        };
        if call.kind == Kind::Install {
            // Who has two network cards is not two machines: what it tells counts besides what is known, but only against it.
            let claimed = call.facts.mac.as_ref().and_then(|mac| self.by_mac.get(mac).copied());
            for id in [Some(machine), claimed].into_iter().flatten() {
                if let Err(refusal) = self.admit(id, now) {
                    self.store_machine(machine);
                    return Answer::Refused(refusal, id);
                }
            }
            // Also where the policy did not ask for it: it is for one install, not for the one after that.
            self.disarm(machine);
        }
        self.see(machine, mac, &call.address, &call.facts, now);
        Answer::Queued(self.new_job(call.kind, machine, call.address, call.facts, call.path, now))
    }

    fn admit(&self, id: MachineId, now: Moment) -> Result<(), Refusal> {
        let Some(machine) = self.machines.get(&id) else { return Ok(()) };
        self.rules.policy.decide(machine, self.is_armed(machine, now))
    }

    /// True if one more machine may be known. When there are too many, those go that were only ever heard of: never
    /// installed, not armed, without a job that waits or runs; the longest unseen first.
    fn has_room(&mut self) -> bool {
        let most = self.rules.machines_max;
        if self.machines.len() < most {
            return true;
        }
        let is_idle = |machine: &&Machine| {
            machine.install.is_none()
                && machine.armed_until.is_none()
                && !self.of_machine.contains_key(&machine.id)
        };
        let mut idle: Vec<_> = self.machines.values().filter(is_idle).map(|m| (m.last_seen, m.id)).collect();
        idle.sort_unstable();
        // Some at a time, or each new one would cost a look at all.
        idle.truncate(most / 100 + 1);
        for (_, id) in idle {
            // Nothing is at work on it.
            let _ = self.forget(id);
        }
        self.machines.len() < most
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
            stopping: false,
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
            facts: without_keys(facts),
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
        let old = std::mem::replace(&mut machine.facts, without_keys(facts));
        // A call without facts takes nothing back.
        machine.facts.mac = machine.facts.mac.take().or(old.mac);
        machine.facts.uuid = machine.facts.uuid.take().or(old.uuid);
        machine.facts.serial = machine.facts.serial.take().or(old.serial);
    }
}

/// The ssh host keys are those of one boot: they belong to the job, and are the large part.
fn without_keys(facts: &Facts) -> Facts {
    Facts { ssh_host_keys: Vec::new(), ..facts.clone() }
}
