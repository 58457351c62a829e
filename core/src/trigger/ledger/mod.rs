//! Everything that is decided about machines and jobs, without a clock, a disk or a network.
//!
//! A [`Ledger`] holds all machines, and the jobs that are not at their end. The caller stores the [`Change`]s
//! before a decision is told; if that fails, the ledger is loaded anew from what is stored.
//!
//! - [`calls`](Ledger::call): requests of machines
//! - `machines`: which machine it is that calls, and what is known of machines
//! - [`runs`](Ledger::start): jobs begin and end; what a restart finds
//! - [`orders`](Ledger::arm): what an administrator asks for

mod call;
mod calls;
#[cfg(test)]
mod histories;
mod machines;
#[cfg(test)]
mod machines_tests;
mod orders;
#[cfg(test)]
mod policy_model;
mod runs;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

pub use call::{Answer, Call};
pub use orders::OrderError;
pub(super) use orders::is_one_of;

use super::{
    address::TargetAddress,
    identity::normal_mac,
    job::{Job, JobId, JobKind, JobState, Machine, MachineId, Millis},
    policy::InstallPolicy,
};

/// The pause after the first failed attempt; it doubles with each one.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// The most time that a machine stays armed after a start of the server, also if the clock was set back meanwhile.
const ARMED_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Most addresses that one installed machine has had where nothing could prove that it has left the ones before.
const PLACES_MAX: usize = 64;

/// What the administrator has chosen.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When a machine may be installed.
    pub policy: InstallPolicy,
    /// How many jobs run at once.
    pub at_once: usize,
    /// How many jobs wait at most.
    pub queue_max: usize,
    /// How many machines are known at most: callers can invent hardware addresses.
    pub machines_max: usize,
    /// How often a failed configuration is repeated.
    pub retries: u32,
    /// Jobs change nothing (`-n`), so a machine is not installed when one has succeeded.
    pub dry_run: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policy: InstallPolicy::Once,
            at_once: 8,
            queue_max: 10_000,
            machines_max: 100_000,
            retries: 3,
            dry_run: false,
        }
    }
}

/// A point in time by both clocks. The one on the wall is for people, and may be set; pauses go by the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970-01-01 UTC.
    pub wall: Millis,
    /// Since some moment before the server's start.
    pub mono: Duration,
}

/// One row that has to be stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new machine, or one that has changed.
    Machine(Box<Machine>),
    /// A machine that is forgotten.
    Forgotten(MachineId),
    /// A machine that was never installed, and has to make room for others. Its jobs go with it.
    Evicted(MachineId),
    /// A machine that is another one.
    Merged {
        /// The number that is not used any more.
        from: MachineId,
        /// Jobs of `from` are its jobs.
        into: MachineId,
    },
    /// The ssh host keys that a machine has told in its last call.
    HostKeys(MachineId, Vec<String>),
    /// A new job, or one that has changed.
    Job(Box<Job>),
}

/// What is stored of everything that is not at its end.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// All machines.
    pub machines: Vec<Machine>,
    /// The jobs that wait or run, by number.
    pub jobs: Vec<Job>,
    /// The highest number that a job ever had.
    pub last_job: JobId,
    /// The highest number that a machine ever had.
    pub last_machine: MachineId,
}

/// The phase of a job that is not at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In the queue, at this place.
    Queue(u64),
    /// Between two attempts, until then.
    Pause(Duration),
    /// At work.
    Run,
}

#[derive(Clone, Debug)]
struct Active {
    job: Job,
    phase: Phase,
}

/// The state of everything. See the module.
#[derive(Clone, Debug)]
pub struct Ledger {
    rules: Rules,
    machines: HashMap<MachineId, Machine>,
    /// By everything that stands for a machine.
    by_key: HashMap<String, MachineId>,
    /// The machine that was seen last at an address.
    by_address: HashMap<TargetAddress, MachineId>,
    /// Installed machines that may be at an address.
    by_place: HashMap<TargetAddress, Vec<MachineId>>,
    /// On the monotonic clock.
    armed_until: HashMap<MachineId, Duration>,
    active: HashMap<JobId, Active>,
    of_machine: HashMap<MachineId, Vec<JobId>>,
    /// Jobs that wait or run, by the address that they are for.
    at_address: HashMap<TargetAddress, Vec<JobId>>,
    queue: BTreeMap<u64, JobId>,
    pauses: BTreeSet<(Duration, JobId)>,
    runs: BTreeSet<JobId>,
    last_place: u64,
    last_job: JobId,
    last_machine: MachineId,
    changes: Vec<Change>,
    strangers: Vec<JobId>,
}

impl Ledger {
    /// What is stored, as it is: jobs that were running still are.
    pub fn load(rules: Rules, stored: Stored, now: Moment) -> Self {
        let mut ledger = Self {
            rules,
            machines: HashMap::with_capacity(stored.machines.len()),
            by_key: HashMap::new(),
            by_address: HashMap::new(),
            by_place: HashMap::new(),
            armed_until: HashMap::new(),
            active: HashMap::new(),
            of_machine: HashMap::new(),
            at_address: HashMap::new(),
            queue: BTreeMap::new(),
            pauses: BTreeSet::new(),
            runs: BTreeSet::new(),
            last_place: 0,
            last_job: stored.last_job,
            last_machine: stored.last_machine,
            changes: Vec::new(),
            strangers: Vec::new(),
        };
        let mut machines = stored.machines;
        // Sorted so that the machine that called last gets the address.
        machines.sort_by_key(|machine| (machine.last_seen, machine.id));
        for mut machine in machines {
            restore_keys(&mut machine);
            if !machine.has_lost_address {
                ledger.by_address.insert(machine.address.clone(), machine.id);
            }
            for place in &machine.places {
                ledger.by_place.entry(place.clone()).or_default().push(machine.id);
            }
            if let Some(until) = machine.armed_until {
                let left = left(until, now.wall).min(ARMED_MAX);
                ledger.armed_until.insert(machine.id, now.mono + left);
            }
            ledger.machines.insert(machine.id, machine);
        }
        ledger.index_keys();
        for job in stored.jobs {
            let phase = match (job.state, job.not_before) {
                (JobState::Running, _) => Phase::Run,
                // Never longer than a pause is, whatever the clock says.
                (_, Some(at)) if at > now.wall => Phase::Pause(now.mono + left(at, now.wall).min(PAUSE_MAX)),
                _ => ledger.end_of_queue(),
            };
            ledger.insert(job, phase);
        }
        ledger.expire(now);
        ledger
    }

    /// What two machines have in common stands for the one that must not be installed.
    fn index_keys(&mut self) {
        let mut order: Vec<&Machine> = self.machines.values().collect();
        order.sort_unstable_by_key(|machine| (machine.is_protected(), machine.id));
        let keys = order.iter().flat_map(|machine| machine.keys.iter().map(|key| (key.clone(), machine.id)));
        self.by_key = keys.collect();
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What has to be stored, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Jobs that run at an address from which another machine has called since the last time.
    pub fn take_strangers(&mut self) -> Vec<JobId> {
        std::mem::take(&mut self.strangers)
    }

    /// How many jobs wait, those between two attempts among them.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.pauses.len()
    }

    /// How many jobs run.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// How many machines are known.
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// A job that is not at its end.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.active.get(&id).map(|active| &active.job)
    }

    /// A machine.
    pub fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines.get(&id)
    }

    /// The jobs that run, by number.
    pub fn running_jobs(&self) -> Vec<JobId> {
        self.runs.iter().copied().collect()
    }

    /// When a pause ends next, or the time of an armed machine.
    pub fn next_due(&self) -> Option<Duration> {
        let pause = self.pauses.first().map(|(due, _)| *due);
        pause.into_iter().chain(self.armed_until.values().copied()).min()
    }

    /// Disarms machines whose time is over. What is stored then does not come back to life when the clock is set
    /// back.
    pub fn expire(&mut self, now: Moment) {
        let over = |id: &&MachineId| self.machines.get(id).is_none_or(|machine| !self.is_armed(machine, now));
        let ids: Vec<MachineId> = self.armed_until.keys().filter(over).copied().collect();
        for id in ids {
            self.disarm(id);
            self.store_machine(id);
        }
    }

    fn is_armed(&self, machine: &Machine, now: Moment) -> bool {
        machine.armed_until.is_some_and(|until| now.wall < until)
            && self.armed_until.get(&machine.id).is_some_and(|until| now.mono < *until)
    }

    fn end_of_queue(&mut self) -> Phase {
        self.last_place += 1;
        Phase::Queue(self.last_place)
    }

    /// The waiting or running job of `kind`, if there is one in a phase that `wanted` tells.
    fn find(&self, machine: MachineId, kind: JobKind, wanted: impl Fn(Phase) -> bool) -> Option<JobId> {
        let jobs = self.of_machine.get(&machine)?;
        let fits = |id: &&JobId| {
            self.active.get(id).is_some_and(|active| active.job.kind == kind && wanted(active.phase))
        };
        jobs.iter().find(fits).copied()
    }

    /// True while a job runs on the machine of `job` or at its address: a machine that makes up hardware addresses is still
    /// one target.
    fn is_busy(&self, job: &Job) -> bool {
        let same = |other: &Job| other.machine == job.machine || other.address == job.address;
        self.runs.iter().filter_map(|id| self.job(*id)).any(same)
    }

    /// Takes a job in, or puts it into another phase.
    fn insert(&mut self, job: Job, phase: Phase) {
        let id = job.id;
        self.leave_phase(id);
        if let Some(address) = self.active.get(&id).map(|active| &active.job.address)
            && *address != job.address
        {
            take(&mut self.at_address, &address.clone(), id);
        }
        match phase {
            Phase::Queue(at) => drop(self.queue.insert(at, id)),
            Phase::Pause(until) => drop(self.pauses.insert((until, id))),
            Phase::Run => drop(self.runs.insert(id)),
        }
        for jobs in [
            self.of_machine.entry(job.machine).or_default(),
            self.at_address.entry(job.address.clone()).or_default(),
        ] {
            if !jobs.contains(&id) {
                jobs.push(id);
            }
        }
        self.active.insert(id, Active { job, phase });
    }

    fn leave_phase(&mut self, id: JobId) {
        match self.active.get(&id).map(|active| active.phase) {
            Some(Phase::Queue(at)) => drop(self.queue.remove(&at)),
            Some(Phase::Pause(until)) => drop(self.pauses.remove(&(until, id))),
            Some(Phase::Run) => drop(self.runs.remove(&id)),
            None => {}
        }
    }

    /// Takes a job out.
    fn remove(&mut self, id: JobId) -> Option<Job> {
        self.leave_phase(id);
        let job = self.active.remove(&id)?.job;
        take(&mut self.of_machine, &job.machine, id);
        take(&mut self.at_address, &job.address, id);
        Some(job)
    }

    /// Takes a job out that has come to its end.
    fn close(&mut self, id: JobId, state: JobState, note: Option<String>, now: Moment) {
        let Some(mut job) = self.remove(id) else { return };
        job.state = state;
        job.finished = Some(now.wall);
        job.not_before = None;
        job.note = note;
        if job.kind == JobKind::Install
            && !self.rules.dry_run
            && let Some(machine) = self.machines.get_mut(&job.machine)
        {
            // A failure takes no protection away: what was installed before may still be in use.
            if state != JobState::Failed || machine.install.is_none() {
                machine.install = Some(state);
                machine.installed = Some(now.wall);
            }
            self.settle(&job, state, now);
            self.store_machine(job.machine);
        }
        self.changes.push(Change::Job(Box::new(job)));
    }

    fn store_job(&mut self, id: JobId) {
        if let Some(active) = self.active.get(&id) {
            self.changes.push(Change::Job(Box::new(active.job.clone())));
        }
    }

    fn store_machine(&mut self, id: MachineId) {
        if let Some(machine) = self.machines.get(&id) {
            self.changes.push(Change::Machine(Box::new(machine.clone())));
        }
    }
}

/// What an earlier version of the program has stored stands for the same machine as today.
fn restore_keys(machine: &mut Machine) {
    let normal = |key: String| {
        // The prefix that PXELINUX puts in front of a hardware address was taken for a part of it.
        let bare = (key.len() == 20).then(|| key.strip_prefix("01:")).flatten().and_then(normal_mac);
        bare.unwrap_or(key)
    };
    machine.keys = std::mem::take(&mut machine.keys).into_iter().map(normal).collect();
    machine.mac = machine.mac.take().map(normal);
    if machine.macs().count() == machine.keys.len() {
        machine.keys.extend(machine.facts.hardware());
    }
}

fn take<K: std::hash::Hash + Eq>(lists: &mut HashMap<K, Vec<JobId>>, key: &K, id: JobId) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| *other != id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

/// How long it is from `now` to `until`.
fn left(until: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}
