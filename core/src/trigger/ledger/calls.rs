//! Requests of machines.

use super::{
    Change, Ledger, Moment, PLACES_MAX, Phase,
    call::{Answer, Call},
    machines::Recognised,
};
use crate::trigger::{
    address::TargetAddress,
    facts::Facts,
    job::{Job, JobId, JobKind, JobState, MachineId, Millis},
};

impl Ledger {
    /// A machine calls.
    pub fn call(&mut self, call: Call, now: Moment) -> Answer {
        let mut known = self.recognise(&call);
        self.free_address(&call.address, known.who, now);
        if let (Some(who), Some(same)) = (known.who, known.same)
            && !self.of_machine.contains_key(&same)
        {
            self.merge(same, who, now);
            known = self.recognise(&call);
        }
        if let Some(same) = known.same {
            self.guard(same, &call);
            self.share_protection(same, known.who);
        }
        if let Some(answer) = self.at_work(&call, &known, now) {
            return answer;
        }
        if let Some(who) = known.who {
            if self.is_astray(who, &call) {
                return Answer::Astray(who);
            }
            self.see(who, &call, now);
            if let Some(job) = self.find(who, call.kind, |phase| phase != Phase::Run) {
                self.store_seen(who, &call);
                self.join(job, call.address, call.facts);
                return Answer::Joined(job);
            }
        }
        if self.waiting() >= self.rules.queue_max {
            if let Some(who) = known.who {
                self.store_seen(who, &call);
            }
            return Answer::QueueFull;
        }
        let machine = match known.who {
            Some(machine) => machine,
            None if !self.has_room() => {
                self.lose_address(&call.address);
                return Answer::MachinesFull;
            }
            None => self.meet(&call, now),
        };
        let mut armed = Vec::new();
        if call.kind == JobKind::Install {
            // What it tells, and what its address was, counts besides what is known of it, but only against it.
            let against = known.claimed.iter().chain(&known.holders).copied();
            let refused = std::iter::once(machine)
                .chain(against)
                .find_map(|id| self.admit(id, now).err().map(|refusal| (refusal, id)));
            if let Some((refusal, id)) = refused {
                self.store_seen(machine, &call);
                return Answer::Refused(refusal, id);
            }
            // Also where the policy did not ask for it: it is for one install, not for the one after that.
            armed = self.use_arms(std::iter::once(machine).chain(known.holders));
        }
        let host_keys = call.facts.ssh_host_keys.clone();
        let job = self.new_job(call.kind, machine, call.address, call.facts, call.path, armed, now);
        self.changes.push(Change::HostKeys(machine, host_keys));
        Answer::Queued(job)
    }

    /// The answer if jobs that wait or run are in the way.
    fn at_work(&mut self, call: &Call, known: &Recognised, now: Moment) -> Option<Answer> {
        if let Some(who) = known.who {
            if let Some(id) = self.find(who, JobKind::Install, |phase| phase == Phase::Run) {
                let (address, keys) = self.job(id).map(|job| (&job.address, &job.facts.ssh_host_keys))?;
                let is_there = *address == call.address;
                let told = &call.facts.ssh_host_keys;
                let is_rebooted = !keys.is_empty() && !told.is_empty() && keys != told;
                if is_there || known.is_proven {
                    self.see(who, call, now);
                    self.store_seen(who, call);
                } else {
                    self.guard(who, call);
                    self.lose_address(&call.address);
                }
                if !is_there {
                    return Some(Answer::Moved(id));
                }
                if call.kind == JobKind::Install {
                    return Some(if is_rebooted { Answer::Rebooted(id) } else { Answer::Running(id) });
                }
            }
            // Facts can be made up: they do not lead another machine's job to another address.
            let is_there = known.is_proven
                || self.machines.get(&who).is_some_and(|machine| machine.address == call.address);
            if !is_there && let Some(job) = self.waiting_of(who) {
                self.guard(who, call);
                // Whose the address was before, it is not any more: nothing is done again there.
                self.lose_address(&call.address);
                return Some(Answer::Elsewhere(job));
            }
        }
        if call.kind != JobKind::Install {
            return None;
        }
        if let (Some(who), Some(claimed)) = (known.who, known.claimed)
            && self.admit(claimed, now).is_err()
        {
            self.withdraw(who, &format!("it says to be machine {claimed}, which must not be installed"), now);
        }
        if let Some(same) = known.same
            && let Some(job) = self.of_machine.get(&same).and_then(|jobs| jobs.first()).copied()
        {
            if let Some(who) = known.who {
                self.withdraw(who, &format!("it is machine {same}, for which there is job {job}"), now);
            }
            let is_running = self.runs.contains(&job);
            return Some(if is_running { Answer::Moved(job) } else { Answer::Elsewhere(job) });
        }
        let is_install = |id: &&JobId| {
            self.runs.contains(id)
                && self
                    .job(**id)
                    .is_some_and(|job| job.kind == JobKind::Install && Some(job.machine) != known.who)
        };
        let taken = self.at_address.get(&call.address)?.iter().find(is_install).copied()?;
        if let Some(who) = known.who {
            self.see(who, call, now);
            self.store_seen(who, call);
        } else {
            self.lose_address(&call.address);
        }
        Some(Answer::Taken(taken))
    }

    /// A job of the machine that waits.
    fn waiting_of(&self, id: MachineId) -> Option<JobId> {
        let is_waiting = |id: &&JobId| !self.runs.contains(id);
        self.of_machine.get(&id)?.iter().find(is_waiting).copied()
    }

    /// A machine whose addresses cannot be kept any more would take the protection from the place where it is.
    fn is_astray(&self, id: MachineId, call: &Call) -> bool {
        call.neighbour.is_none()
            && self.machines.get(&id).is_some_and(|machine| {
                machine.places.len() >= PLACES_MAX && !machine.places.contains(&call.address)
            })
    }

    /// What the machines were armed for is about to be done.
    pub(super) fn use_arms(
        &mut self,
        machines: impl IntoIterator<Item = MachineId>,
    ) -> Vec<(MachineId, Millis)> {
        let mut used = Vec::new();
        for id in machines {
            if let Some(until) = self.machines.get(&id).and_then(|machine| machine.armed_until) {
                used.push((id, until));
                self.disarm(id);
                self.store_machine(id);
            }
        }
        used
    }

    /// Makes a job; its machine is stored with it.
    #[allow(clippy::too_many_arguments, reason = "all of them are parts of the job")]
    pub(super) fn new_job(
        &mut self,
        kind: JobKind,
        machine: MachineId,
        address: TargetAddress,
        facts: Facts,
        path: String,
        armed: Vec<(MachineId, Millis)>,
        now: Moment,
    ) -> JobId {
        self.clear_queue(&address, Some(machine), now);
        self.last_job += 1;
        let id = self.last_job;
        let job = Job {
            id,
            kind,
            state: JobState::Queued,
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
            armed,
        };
        if let Some(machine) = self.machines.get_mut(&machine) {
            machine.last_job = Some(id);
        }
        self.store_machine(machine);
        self.changes.push(Change::Job(Box::new(job.clone())));
        let phase = self.end_of_queue();
        self.insert(job, phase);
        id
    }

    /// The same is asked for again. The machine may have been switched off in between: its newest address and keys count,
    /// and it is there, so there is nothing to wait for.
    fn join(&mut self, id: JobId, address: TargetAddress, facts: Facts) {
        let phase = match self.active.get(&id).map(|active| active.phase) {
            Some(Phase::Pause(_)) => self.end_of_queue(),
            Some(phase) => phase,
            None => return,
        };
        if let Some(mut job) = self.active.get(&id).map(|active| active.job.clone()) {
            job.joined = job.joined.saturating_add(1);
            (job.address, job.facts, job.not_before) = (address, facts, None);
            self.insert(job, phase);
        }
        self.store_job(id);
    }

    /// Stores a machine that has called, and the ssh host keys that it told.
    fn store_seen(&mut self, id: MachineId, call: &Call) {
        self.store_machine(id);
        self.changes.push(Change::HostKeys(id, call.facts.ssh_host_keys.clone()));
    }
}
