//! Which machine it is that calls, and what is known of machines.

use super::{Call, Change, Ledger, Moment, OrderError, PLACES_MAX, Phase};
use crate::trigger::{
    address::TargetAddress,
    facts::Facts,
    job::{Job, JobId, JobKind, JobState, Machine, MachineId},
    policy::Refusal,
};

/// Most hardware addresses and firmware numbers of one machine. What is told beyond is not kept.
const KEYS_MAX: usize = 64;
/// Which machine calls, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Recognised {
    /// The machine.
    pub(super) who: Option<MachineId>,
    /// The same machine by UUID and serial number, known by another number so far.
    pub(super) same: Option<MachineId>,
    /// The machine that it says to be, and is not by what the kernel has seen. It counts against an install only.
    pub(super) claimed: Option<MachineId>,
    /// Where nothing proves whose the address is: machines that were installed, and may still have it.
    pub(super) holders: Vec<MachineId>,
    /// The kernel has seen a card of `who` at the address.
    pub(super) is_proven: bool,
}

impl Ledger {
    /// The machine that calls. A hardware address that the kernel has seen goes before the facts; in the facts, the hardware
    /// address goes before UUID with serial number; without any of them, it is the machine last seen at the address.
    pub(super) fn recognise(&self, call: &Call) -> Recognised {
        let by_key = |key: Option<&str>| key.and_then(|key| self.by_key.get(key).copied());
        let firmware = call.facts.hardware();
        let (claimed, hardware) = (by_key(call.facts.mac.as_deref()), by_key(firmware.as_deref()));
        let seen = by_key(call.neighbour.as_deref());
        let mac = call.neighbour.as_deref().or(call.facts.mac.as_deref());
        // It may have called before and told less: nothing that is known of it may be against it.
        let last = self.by_address.get(&call.address).copied().filter(|id| {
            self.machines.get(id).is_some_and(|machine| {
                let has_mac = machine.macs().next().is_some();
                let has_firmware = machine.macs().count() < machine.keys.len();
                (mac.is_none() || !has_mac) && (firmware.is_none() || !has_firmware)
            })
        });
        let is_seen = call.neighbour.is_some();
        let who = if is_seen { seen.or(hardware).or(last) } else { claimed.or(hardware).or(last) };
        let other = |id: &MachineId| Some(*id) != who;
        let holders = if is_seen { Vec::new() } else { self.holders(&call.address, who) };
        Recognised {
            who,
            same: hardware.filter(other),
            claimed: claimed.filter(|id| is_seen && other(id)),
            holders,
            is_proven: seen.is_some(),
        }
    }

    /// Installed machines but `who` that may have an address, if nothing proves whose it is.
    pub(super) fn holders(&self, address: &TargetAddress, who: Option<MachineId>) -> Vec<MachineId> {
        let all = self.by_place.get(address).into_iter().flatten().copied();
        let is_protected = |id: &MachineId| self.machines.get(id).is_some_and(Machine::is_protected);
        all.filter(|id| Some(*id) != who && is_protected(id)).collect()
    }

    pub(super) fn admit(&self, id: MachineId, now: Moment) -> Result<(), Refusal> {
        let Some(machine) = self.machines.get(&id) else { return Ok(()) };
        self.rules.policy.decide(machine, self.is_armed(machine, now))
    }

    /// True if one more machine may be known. When there are too many, those go that were never installed, and are neither
    /// armed nor have a job that waits or runs; the longest unseen first.
    pub(super) fn has_room(&mut self) -> bool {
        let most = self.rules.machines_max;
        if self.machines.len() < most {
            return true;
        }
        let is_idle = |machine: &&Machine| {
            !machine.is_protected()
                && machine.armed_until.is_none()
                && !self.of_machine.contains_key(&machine.id)
        };
        let mut idle: Vec<_> = self.machines.values().filter(is_idle).map(|m| (m.last_seen, m.id)).collect();
        idle.sort_unstable();
        // Some at a time, or each new one would cost a look at all.
        idle.truncate(most / 100 + 1);
        for (_, id) in idle {
            self.take_out(id);
            self.changes.push(Change::Evicted(id));
        }
        self.machines.len() < most
    }

    /// Takes a machine out that has no job.
    fn take_out(&mut self, id: MachineId) -> Option<Machine> {
        self.set_places(id, Vec::new());
        let machine = self.machines.remove(&id)?;
        self.armed_until.remove(&id);
        for key in &machine.keys {
            if self.by_key.get(key) == Some(&id) {
                self.by_key.remove(key);
            }
        }
        if self.by_address.get(&machine.address) == Some(&id) {
            self.by_address.remove(&machine.address);
        }
        Some(machine)
    }

    /// The machine that had the address last has it no more, and no other one is known there. Stored, or a server that begins
    /// anew would lead a job of that machine to whatever has the address.
    pub(super) fn lose_address(&mut self, address: &TargetAddress) {
        let Some(id) = self.by_address.remove(address) else { return };
        if let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.address == *address) {
            machine.has_lost_address = true;
            self.store_machine(id);
        }
    }

    /// Forgets a machine, and with it whether it was installed.
    ///
    /// # Errors
    ///
    /// The machine is not known, or one of its jobs has not ended.
    pub fn forget(&mut self, id: MachineId) -> Result<(), OrderError> {
        if let Some(job) = self.of_machine.get(&id).and_then(|jobs| jobs.first()) {
            return Err(OrderError::Busy(id, *job));
        }
        self.take_out(id).ok_or_else(|| OrderError::UnknownMachine(id.to_string()))?;
        self.changes.push(Change::Forgotten(id));
        Ok(())
    }

    pub(super) fn disarm(&mut self, id: MachineId) {
        self.armed_until.remove(&id);
        if let Some(machine) = self.machines.get_mut(&id) {
            machine.armed_until = None;
        }
    }

    /// A machine that is not known yet. It is stored by the caller.
    pub(super) fn meet(&mut self, call: &Call, now: Moment) -> MachineId {
        self.last_machine += 1;
        let id = self.last_machine;
        let machine = Machine {
            id,
            mac: None,
            keys: Vec::new(),
            address: call.address.clone(),
            has_lost_address: false,
            places: Vec::new(),
            facts: Facts::default(),
            first_seen: now.wall,
            last_seen: now.wall,
            install: None,
            installed: None,
            armed_until: None,
            last_job: None,
        };
        self.machines.insert(id, machine);
        self.see(id, call, now);
        id
    }

    /// A machine that is known calls again, from where it calls. It is stored by the caller.
    pub(super) fn see(&mut self, id: MachineId, call: &Call, now: Moment) {
        self.learn(id, call);
        // Who had an address last is found by these times after a restart, also if the clock was set back.
        let before = self.by_address.get(&call.address).filter(|other| **other != id);
        let before =
            before.and_then(|other| self.machines.get(other)).map(|other| other.last_seen.saturating_add(1));
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.has_lost_address = false;
        machine.last_seen = now.wall.max(before.unwrap_or(now.wall));
        if machine.address != call.address {
            if self.by_address.get(&machine.address) == Some(&id) {
                self.by_address.remove(&machine.address);
            }
            machine.address.clone_from(&call.address);
            self.leave_places(id);
        }
        let before = self.by_address.insert(call.address.clone(), id);
        if let Some(other) = before.filter(|other| *other != id && call.neighbour.is_none()) {
            self.share_place(other, &call.address);
        }
        let Some(machine) = self.machines.get_mut(&id) else { return };
        // The ssh host keys are those of one boot, and the large part: they are stored, and not held in memory.
        let old =
            std::mem::replace(&mut machine.facts, Facts { ssh_host_keys: Vec::new(), ..call.facts.clone() });
        // A call without facts takes nothing back.
        machine.facts.mac = machine.facts.mac.take().or(old.mac);
        machine.facts.uuid = machine.facts.uuid.take().or(old.uuid);
        machine.facts.serial = machine.facts.serial.take().or(old.serial);
        // A card that the kernel has seen takes no place away: it may be the card of a machine that says to be this one.
        self.guard(id, call);
    }

    /// Keeps what stands for a machine. What stands for another one already goes on to do so.
    fn learn(&mut self, id: MachineId, call: &Call) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let mac = call.neighbour.as_ref().or(call.facts.mac.as_ref());
        if machine.mac.is_none() {
            machine.mac = mac.cloned();
        }
        for key in mac.cloned().into_iter().chain(call.facts.hardware()) {
            if machine.keys.len() < KEYS_MAX && !self.by_key.contains_key(&key) {
                self.by_key.insert(key.clone(), id);
                machine.keys.push(key);
            }
        }
    }

    /// A machine that is installed, or is being installed, says where it is, and by which card. What it says may be made up, so
    /// it is kept as far as it forbids: by that card it is no new machine, and where nothing proves whose its address is,
    /// nothing is installed there without asking.
    pub(super) fn guard(&mut self, id: MachineId, call: &Call) {
        let Some(machine) = self.machines.get(&id) else { return };
        let is_at_work = self.find(id, JobKind::Install, |phase| phase == Phase::Run).is_some();
        if !machine.is_protected() && !is_at_work {
            return;
        }
        let mut places = machine.places.clone();
        self.learn(id, call);
        if call.neighbour.is_none() && !places.contains(&call.address) && places.len() < PLACES_MAX {
            places.push(call.address.clone());
            self.set_places(id, places);
        }
        self.store_machine(id);
    }

    /// Another machine says that it has the address of this one now, and nothing proves it: it may be this machine under
    /// another name. What is installed there by that name then counts for this one as well.
    fn share_place(&mut self, id: MachineId, address: &TargetAddress) {
        let Some(machine) = self.machines.get(&id) else { return };
        if !machine.places.contains(address) && machine.places.len() < PLACES_MAX {
            let places = machine.places.iter().chain([address]).cloned().collect();
            self.set_places(id, places);
            self.store_machine(id);
        }
    }

    /// A machine that was never installed is somewhere else now, and not where another one is about to be installed, unless
    /// that has begun already.
    fn leave_places(&mut self, id: MachineId) {
        let Some(machine) = self.machines.get(&id).filter(|machine| !machine.is_protected()) else { return };
        let runs = |place: &&TargetAddress| {
            let jobs = self.at_address.get(*place).into_iter().flatten();
            jobs.filter(|job| self.runs.contains(job)).any(|job| {
                self.job(*job).is_some_and(|job| job.kind == JobKind::Install && job.machine != id)
            })
        };
        let left: Vec<TargetAddress> = machine.places.iter().filter(runs).cloned().collect();
        if left.len() != machine.places.len() {
            self.set_places(id, left);
        }
    }

    /// Where nothing is to be installed without asking, since this machine may be there.
    pub(super) fn set_places(&mut self, id: MachineId, places: Vec<TargetAddress>) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        for place in &machine.places {
            if let Some(ids) = self.by_place.get_mut(place) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_place.remove(place);
                }
            }
        }
        for place in &places {
            self.by_place.entry(place.clone()).or_default().push(id);
        }
        machine.places = places;
    }

    /// Two machines are one, which is told by one of them, and may be made up: so what is known of them is put together in
    /// the way that forbids most. `from` has no job that waits or runs.
    pub(super) fn merge(&mut self, from: MachineId, into: MachineId, now: Moment) {
        let Some(old) = self.machines.get(&from).cloned() else { return };
        let Some(new) = self.machines.get(&into).cloned() else { return };
        if old.keys.len() + new.keys.len() > KEYS_MAX || old.places.len() + new.places.len() > PLACES_MAX {
            return;
        }
        // An arm is good for both if both have one, as far as they need it.
        let needs = |machine: &&&Machine| self.rules.policy.decide(machine, false).is_err();
        let both = [&old, &new];
        let mut needing: Vec<&&Machine> = both.iter().filter(needs).collect();
        if needing.is_empty() {
            needing = both.iter().filter(|machine| machine.armed_until.is_some()).collect();
        }
        let until = needing.iter().map(|machine| machine.armed_until).min().flatten();
        let left = needing.iter().map(|machine| self.armed_until.get(&machine.id).copied()).min().flatten();
        // Also if it is armed: a job that was accepted before has not used that arm.
        let is_refused = self.rules.policy.decide(&old, false).is_err();
        let had_address = self.by_address.get(&old.address) == Some(&from);
        self.take_out(from);
        if had_address {
            // A call without facts from that address is one of this machine.
            self.by_address.insert(old.address.clone(), into);
        }
        for key in &old.keys {
            self.by_key.insert(key.clone(), into);
        }
        let mut places = new.places;
        for place in old.places {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        self.disarm(into);
        if let Some(machine) = self.machines.get_mut(&into) {
            machine.mac = machine.mac.take().or(old.mac);
            machine.keys.extend(old.keys);
            machine.first_seen = machine.first_seen.min(old.first_seen);
            machine.last_job = machine.last_job.max(old.last_job);
            if strength(old.install) > strength(machine.install) {
                (machine.install, machine.installed) = (old.install, old.installed);
            }
            if let (Some(until), Some(left)) = (until, left) {
                machine.armed_until = Some(until);
                self.armed_until.insert(into, left);
            }
        }
        self.set_places(into, places);
        self.changes.push(Change::Merged { from, into });
        if is_refused {
            self.withdraw(into, &format!("it is machine {from}, which must not be installed"), now);
        }
        self.store_machine(into);
    }

    /// Two machines are one, and cannot be put together before the jobs of `from` have ended: its protection counts now.
    pub(super) fn share_protection(&mut self, from: MachineId, into: Option<MachineId>) {
        let Some(old) = self.machines.get(&from).filter(|machine| machine.is_protected()) else { return };
        let (install, installed) = (old.install, old.installed);
        let Some(machine) = into.and_then(|into| self.machines.get_mut(&into)) else { return };
        if strength(install) > strength(machine.install) {
            (machine.install, machine.installed) = (install, installed);
            let id = machine.id;
            self.store_machine(id);
        }
    }

    /// Ends installs of a machine that wait, at no cost.
    pub(super) fn withdraw(&mut self, id: MachineId, note: &str, now: Moment) {
        if let Some(job) = self.find(id, JobKind::Install, |phase| phase != Phase::Run) {
            self.drop_job(job, note.to_owned(), now);
        }
    }

    /// The machine that calls from an address has it: what waits for another machine there would meet this one.
    pub(super) fn free_address(&mut self, address: &TargetAddress, who: Option<MachineId>, now: Moment) {
        self.clear_queue(address, who, now);
        // What runs there may not have got there yet.
        let all = self.at_address.get(address).into_iter().flatten().copied();
        let is_other = |id: &JobId| self.job(*id).is_some_and(|job| Some(job.machine) != who);
        let strangers: Vec<JobId> = all.filter(is_other).collect();
        self.strangers.extend(strangers);
    }

    /// What waits for other machines at an address is at its end.
    pub(super) fn clear_queue(&mut self, address: &TargetAddress, who: Option<MachineId>, now: Moment) {
        let is_waiting = |id: &JobId| {
            self.active
                .get(id)
                .is_some_and(|active| active.phase != Phase::Run && Some(active.job.machine) != who)
        };
        let ids: Vec<JobId> =
            self.at_address.get(address).into_iter().flatten().copied().filter(is_waiting).collect();
        for id in ids {
            self.drop_job(id, format!("another machine calls from {address} now"), now);
        }
    }

    /// Takes a job out that has not reached its machine. It costs nothing: no attempt, no install, no arm.
    pub(super) fn drop_job(&mut self, id: JobId, note: String, now: Moment) {
        let Some(mut job) = self.remove(id) else { return };
        job.state = JobState::Cancelled;
        job.finished = Some(now.wall);
        job.not_before = None;
        job.note = Some(note);
        for (machine, until) in std::mem::take(&mut job.armed) {
            self.give_back(machine, until, now);
        }
        self.changes.push(Change::Job(Box::new(job)));
    }

    fn give_back(&mut self, id: MachineId, until: i64, now: Moment) {
        let left = super::left(until, now.wall).min(super::ARMED_MAX);
        let Some(machine) = self.machines.get_mut(&id) else { return };
        if left.is_zero() || machine.armed_until.is_some_and(|other| other >= until) {
            return;
        }
        machine.armed_until = Some(until);
        self.armed_until.insert(id, now.mono + left);
        self.store_machine(id);
    }

    /// The address of a job is still its machine's, as far as calls tell.
    pub(super) fn is_at_home(&self, job: &Job) -> bool {
        self.by_address.get(&job.address) == Some(&job.machine)
            && self.machines.get(&job.machine).is_some_and(|machine| machine.address == job.address)
    }

    /// An install has come to an end: what was at its address is no more, and its machine may be there from now on.
    pub(super) fn settle(&mut self, job: &Job, end: JobState, now: Moment) {
        let Some(machine) = self.machines.get(&job.machine) else { return };
        let is_changed = end != JobState::Failed && job.attempts > 0;
        if !machine.is_protected() || !(is_changed || machine.places.is_empty()) {
            return;
        }
        let mut places = machine.places.clone();
        for place in [&job.address, &machine.address] {
            if !places.contains(place) {
                places.push(place.clone());
            }
        }
        self.set_places(job.machine, places);
        if !is_changed {
            return;
        }
        let all = self.by_place.get(&job.address).cloned().unwrap_or_default();
        for other in all.into_iter().filter(|id| *id != job.machine) {
            if self.machines.get(&other).is_some_and(|machine| !machine.is_protected()) {
                self.share_protection(job.machine, Some(other));
                self.withdraw(other, &format!("it may be machine {}, which was installed", job.machine), now);
            }
            let Some(machine) = self.machines.get(&other) else { continue };
            let places = machine.places.iter().filter(|place| **place != job.address).cloned().collect();
            self.set_places(other, places);
            self.store_machine(other);
        }
    }
}

/// Which of two ends of installs forbids more.
fn strength(install: Option<JobState>) -> u8 {
    match install {
        None => 0,
        Some(JobState::Failed) => 1,
        Some(JobState::Cancelled) => 2,
        Some(JobState::Interrupted) => 3,
        Some(_) => 4,
    }
}
