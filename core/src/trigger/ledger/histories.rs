//! Random histories of machines, networks and administrators against an oracle that knows which machine stands where, and
//! nothing of the ledger's rules: no machine is installed that must not be.
//!
//! What the server could not know in any way is left out: a machine that lies does so from where it has called truly before.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    time::Duration,
};

use super::*;
use crate::trigger::{
    Facts,
    address::TargetAddress,
    attempt::{AttemptReport, End, Ended},
    store::{Memory, Store},
};

/// How many histories there are if `CDIST_TEST_HISTORIES` does not say it.
const FEW: u64 = 2000;
const EVENTS: usize = 90;
const MACHINES: usize = 6;
/// Addresses of each of the two networks; fewer than machines, so that they go from one to the other.
const ADDRESSES: usize = 3;

/// Numbers that are the same for the same history.
struct Random(fastrand::Rng);

impl Random {
    fn new(history: u64) -> Self {
        Self(fastrand::Rng::with_seed(history))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit.max(1))
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).cloned()
    }
}

/// A machine as it is.
#[derive(Debug, Default)]
struct Real {
    cards: Vec<String>,
    /// By which of them it is connected.
    card: usize,
    firmware: Option<(String, String)>,
    /// Behind a router: the kernel's table does not have it.
    routed: bool,
    address: Option<TargetAddress>,
    /// It has called truly with this card, from where it is.
    is_known: bool,
    /// It was installed, or may have been begun with.
    blocked: bool,
    /// The machines of the jobs that did it: one that lies is installed by more than one name.
    records: Vec<MachineId>,
}

/// A job that the server works on.
#[derive(Debug)]
struct Run {
    job: Job,
    /// What the server knew of the machine when the run began.
    machine: Machine,
    /// Another machine has called from the address.
    is_lost: bool,
    /// The machine that it has reached.
    reached: Option<usize>,
}

/// What happened, for the count at the end.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    lies: u64,
    moves: u64,
    installs: u64,
    again: u64,
    missed: u64,
    crashes: u64,
    merged: u64,
    refused: u64,
}

struct World {
    random: Random,
    rules: Rules,
    ledger: Ledger,
    store: Memory,
    now: Moment,
    real: Vec<Real>,
    runs: Vec<Run>,
    /// Machines that are known by another number now.
    aliases: HashMap<MachineId, MachineId>,
    /// An administrator wants an install of the machine of that number, whatever it was.
    permits: HashSet<MachineId>,
    /// Which of these went into a job when it was accepted.
    used: HashMap<JobId, Vec<MachineId>>,
    jobs: HashMap<JobId, Job>,
    /// Nothing was made up, and nothing broke, so far.
    is_honest: bool,
    log: String,
}

impl World {
    fn new(history: u64) -> Self {
        let mut random = Random::new(history);
        let policy = if random.chance(15) { InstallPolicy::Armed } else { InstallPolicy::Once };
        let rules =
            Rules { policy, at_once: 1 + random.below(4), machines_max: 60, retries: 1, ..Rules::default() };
        let now = Moment { wall: 1_000_000_000_000, mono: Duration::from_secs(5) };
        let real = (0..MACHINES).map(|i| {
            let cards = (0..2).map(|card| format!("52:54:00:00:{card:02x}:{i:02x}")).collect();
            let firmware = match i % 3 {
                0 => Some((format!("4c4c4544-0042-3510-8051-b4c04f3a1b{i:02x}"), format!("S{i}"))),
                1 => Some((format!("4C4C4544-0042-3510-8051-B4C04F3A1B{i:02X}"), format!(" s{i} "))),
                // All of these boards have the same.
                _ => Some(("03000200-0400-0500-0006-000700080009".into(), "To be filled by O.E.M.".into())),
            };
            Real { cards, firmware, routed: i >= MACHINES / 2, ..Real::default() }
        });
        let real = real.collect();
        let ledger = Ledger::load(rules.clone(), Stored::default(), now);
        let (store, runs, aliases, permits, used, jobs, log) = Default::default();
        Self {
            random,
            rules,
            ledger,
            store,
            now,
            real,
            runs,
            aliases,
            permits,
            used,
            jobs,
            is_honest: true,
            log,
        }
    }

    fn note(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.log, "{text}");
    }

    /// Stores what was decided, and looks at it.
    fn keep(&mut self, tally: &mut Tally) {
        let changes = self.ledger.take_changes();
        for change in &changes {
            match change {
                Change::Merged { from, into } => {
                    tally.merged += 1;
                    self.aliases.insert(*from, *into);
                }
                Change::Job(job) => {
                    // A job that was cancelled before its first attempt has used no permit.
                    if job.state == JobState::Cancelled && job.attempts == 0 {
                        self.permits.extend(self.used.remove(&job.id).unwrap_or_default());
                    }
                    self.jobs.insert(job.id, Job::clone(job));
                }
                _ => {}
            }
        }
        self.store.commit(&changes).unwrap();
        for job in self.ledger.take_strangers() {
            for run in self.runs.iter_mut().filter(|run| run.job.id == job) {
                run.is_lost = true;
            }
        }
        let mut waiting = HashSet::new();
        let mut running = (HashSet::new(), HashSet::new());
        for job in self.store.load().unwrap().jobs {
            if job.state == JobState::Queued {
                assert!(waiting.insert((job.kind, job.address.clone())), "two wait for {}", job.address);
            } else {
                assert!(running.0.insert(job.machine) && running.1.insert(job.address.clone()), "{job:?}");
            }
        }
    }

    fn real_name(&self, mut id: MachineId) -> MachineId {
        while let Some(other) = self.aliases.get(&id) {
            id = *other;
        }
        id
    }

    /// All numbers by which an administrator may mean a machine that a job of `machine` is for.
    fn names(&self, machine: MachineId, real: usize) -> Vec<MachineId> {
        let records = self.real[real].records.iter().copied();
        records.chain([machine]).map(|id| self.real_name(id)).collect()
    }

    fn owner(&self, address: &TargetAddress) -> Option<usize> {
        self.real.iter().position(|real| real.address.as_ref() == Some(address))
    }

    /// What the kernel's table has.
    fn neighbour(&self, address: &TargetAddress) -> Option<String> {
        let real = self.real.get(self.owner(address)?)?;
        (!real.routed).then(|| real.cards[real.card].clone())
    }

    /// A machine gets an address, by a card, and another one may lose it by that.
    fn move_machine(&mut self, tally: &mut Tally) {
        let who = self.random.below(MACHINES);
        let network = if self.real[who].routed { 9 } else { 0 };
        let address = TargetAddress::unchecked(format!("10.{network}.0.{}", self.random.below(ADDRESSES)));
        for real in &mut self.real {
            if real.address.as_ref() == Some(&address) {
                (real.address, real.is_known) = (None, false);
            }
        }
        let has_firmware = self.real[who].firmware.as_ref().is_some_and(|(_, serial)| serial.len() < 6);
        let real = &mut self.real[who];
        if has_firmware && self.random.chance(30) {
            real.card = 1 - real.card;
        }
        (real.address, real.is_known) = (Some(address.clone()), false);
        let card = real.card;
        tally.moves += 1;
        self.note(format_args!("machine {who} has {address} by card {card}"));
        // Behind a router nothing but a call tells that.
        if self.real[who].routed || self.random.chance(50) {
            self.call(who, false, tally);
        }
    }

    /// What it says, and whether the kernel knows better.
    fn facts(&mut self, who: usize, lies: bool) -> Facts {
        let real = &self.real[who];
        if lies {
            let other = self.random.below(MACHINES);
            let firmware = self.real[other].firmware.clone().filter(|_| self.random.chance(60));
            let card = self.random.below(2);
            let mac = match self.random.below(4) {
                0 => None,
                1 => Some(format!("02:66:00:00:00:{:02x}", self.random.below(8))),
                _ => Some(self.real[other].cards[card].clone()),
            };
            let (uuid, serial) = firmware.unzip();
            return Facts { mac, uuid, serial, ssh_host_keys: Vec::new() };
        }
        let mac = Some(real.cards[real.card].clone());
        // What is known of it already need not be told again.
        let tells = !real.is_known || self.random.chance(50);
        let (uuid, serial) = real.firmware.clone().filter(|_| tells).unzip();
        let mac = mac.filter(|_| !real.is_known || self.random.chance(70));
        Facts { mac, uuid, serial, ssh_host_keys: Vec::new() }
    }

    fn call(&mut self, who: usize, lies: bool, tally: &mut Tally) {
        let Some(address) = self.real[who].address.clone() else { return };
        // Behind a router, a machine whose facts were always false is unknown to the server.
        let may_install = !lies || !self.real[who].routed || self.real[who].blocked;
        let kind = if may_install && self.random.chance(70) { JobKind::Install } else { JobKind::Config };
        let facts = self.facts(who, lies);
        let neighbour = self.neighbour(&address);
        tally.calls += 1;
        tally.lies += u64::from(lies);
        self.is_honest &= !lies;
        let is_new = !self.real[who].blocked && self.rules.policy == InstallPolicy::Once;
        let call = Call { kind, address, neighbour, facts: facts.clone(), path: String::new() };
        let answer = self.ledger.call(call, self.now);
        self.note(format_args!("machine {who} calls for {kind} with {facts:?}: {answer:?}"));
        // Behind a router it would be known by what it made up, if it told nothing after that.
        let keeps_its_name = !lies || !self.real[who].routed || self.real[who].blocked;
        self.real[who].is_known &= keeps_its_name;
        // First what has ended by that, and gives back what it had used.
        self.keep(tally);
        match answer {
            Answer::Refused(..) => {
                tally.refused += 1;
                let real = &self.real[who];
                assert!(
                    !(self.is_honest && is_new && !real.routed),
                    "a new machine is refused, and nothing was made up"
                );
                self.real[who].is_known |= !lies;
            }
            Answer::Queued(job) => {
                self.real[who].is_known |= !lies;
                let machine = self.ledger.job(job).unwrap().machine;
                if kind == JobKind::Install {
                    self.use_permits(job, machine, who);
                }
            }
            // It has told where it is, which is kept of an installed machine only.
            Answer::Elsewhere(_) | Answer::Moved(_) | Answer::Taken(_) if !self.real[who].blocked => {}
            Answer::Astray(_) | Answer::MachinesFull => {}
            _ => self.real[who].is_known |= !lies,
        }
    }

    /// What an administrator wanted is done by this job, and by no other one.
    fn use_permits(&mut self, job: JobId, machine: MachineId, who: usize) {
        let names = self.names(machine, who);
        let (used, left) = std::mem::take(&mut self.permits)
            .into_iter()
            .partition::<Vec<_>, _>(|permit| names.contains(&self.real_name(*permit)));
        self.permits = left.into_iter().collect();
        self.used.insert(job, used);
    }

    fn start(&mut self, tally: &mut Tally) {
        for job in self.ledger.start(self.now) {
            let machine = self.ledger.machine(job.machine).unwrap().clone();
            self.note(format_args!("job {} begins at {}", job.id, job.address));
            self.runs.push(Run { job, machine, is_lost: false, reached: None });
        }
        self.keep(tally);
    }

    /// A run gets to the machine that has its address now, or sees that it is another one.
    fn reach(&mut self, tally: &mut Tally) {
        let open: Vec<usize> = (0..self.runs.len()).filter(|at| self.runs[*at].reached.is_none()).collect();
        let Some(at) = self.random.pick(&open) else { return };
        let run = &self.runs[at];
        let neighbour = self.neighbour(&run.job.address);
        if run.is_lost || !is_one_of(neighbour.as_deref(), &run.machine) {
            tally.missed += 1;
            return self.end(at, End::Missed, tally);
        }
        let (id, kind, machine) = (run.job.id, run.job.kind, run.job.machine);
        let Some(owner) = self.owner(&run.job.address) else { return self.end(at, End::Failed, tally) };
        self.runs[at].reached = Some(owner);
        self.note(format_args!("job {id} reaches machine {owner}"));
        if kind != JobKind::Install || self.rules.dry_run {
            return;
        }
        tally.installs += 1;
        let names = self.names(machine, owner);
        let used = self.used.get(&id).into_iter().flatten();
        let permitted = used.copied().any(|permit| names.contains(&self.real_name(permit)));
        let needed = self.real[owner].blocked || self.rules.policy == InstallPolicy::Armed;
        assert!(!needed || permitted, "machine {owner} is installed by job {id}, and must not be");
        tally.again += u64::from(self.real[owner].blocked);
    }

    fn end(&mut self, at: usize, end: End, tally: &mut Tally) {
        let run = self.runs.swap_remove(at);
        self.note(format_args!("job {} ends: {end:?}", run.job.id));
        self.is_honest &= end == End::Succeeded;
        self.ledger.finish(run.job.id, Ended { end, report: AttemptReport::default() }, self.now, 0.5);
        self.keep(tally);
        let ended = &self.jobs[&run.job.id];
        if end == End::Missed {
            assert!(ended.attempts < run.job.attempts && ended.state == JobState::Cancelled, "{ended:?}");
        } else if end != End::Failed {
            self.block(&run);
        }
    }

    /// The machine that a run has reached is another one from now on.
    fn block(&mut self, run: &Run) {
        if let Some(owner) = run.reached
            && run.job.kind == JobKind::Install
            && !self.rules.dry_run
        {
            let record = self.jobs[&run.job.id].machine;
            self.real[owner].blocked = true;
            self.real[owner].records.push(record);
        }
    }

    fn finish(&mut self, tally: &mut Tally) {
        let reached: Vec<usize> =
            (0..self.runs.len()).filter(|at| self.runs[*at].reached.is_some()).collect();
        let Some(at) = self.random.pick(&reached) else { return };
        let end = if self.random.chance(75) { End::Succeeded } else { End::Failed };
        self.end(at, end, tally);
    }

    /// The server is killed. It may change nothing from now on, or change something again (`-n`).
    fn crash(&mut self, tally: &mut Tally) {
        tally.crashes += 1;
        self.is_honest = false;
        for run in std::mem::take(&mut self.runs) {
            self.block(&run);
        }
        // What ran under the rules before counts as they were.
        self.ledger = Ledger::load(self.rules.clone(), self.store.load().unwrap(), self.now);
        self.ledger.recover(self.now);
        self.keep(tally);
        self.rules.dry_run = self.random.chance(20);
        self.ledger = Ledger::load(self.rules.clone(), self.store.load().unwrap(), self.now);
        let dry = self.rules.dry_run;
        self.note(format_args!("the server begins anew; dry run: {dry}"));
    }

    fn order(&mut self, tally: &mut Tally) {
        let machines: Vec<MachineId> =
            (1..=self.ledger.last_machine).filter(|id| self.ledger.machine(*id).is_some()).collect();
        let mut jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.sort_unstable();
        match (self.random.below(10), self.random.pick(&machines), self.random.pick(&jobs)) {
            (0..=4, Some(machine), _) => {
                let seconds = u64::try_from(1 + self.random.below(600)).unwrap();
                self.ledger.arm(machine, Duration::from_secs(seconds), self.now).unwrap();
                self.permits.insert(machine);
                self.note(format_args!("armed: {machine}"));
            }
            (5, Some(machine), _) => {
                self.ledger.take_arm_back(machine).unwrap();
                self.permits.remove(&machine);
                self.note(format_args!("not armed: {machine}"));
            }
            // Not while a run is open: it may be one under a false name, which nothing but what is forgotten could tell.
            (6, Some(machine), _) if self.runs.is_empty() && self.ledger.forget(machine).is_ok() => {
                // To forget a machine takes its protection away on purpose.
                self.is_honest = false;
                for at in 0..MACHINES {
                    let is_meant = self.real[at].records.iter().any(|id| self.real_name(*id) == machine);
                    self.real[at].blocked &= !is_meant;
                    self.real[at].is_known = false;
                }
                self.note(format_args!("forgotten: {machine}"));
            }
            (7..=8, _, Some(job)) => {
                let old = self.jobs[&job].clone();
                let machine = self.real_name(old.machine);
                let old = Job { machine, ..old };
                let address = self.ledger.machine(machine).map(|machine| machine.address.clone());
                let neighbour = address.and_then(|address| self.neighbour(&address));
                let done = self.ledger.retry(&old, Vec::new(), neighbour.as_deref(), self.now);
                if let Ok(new) = done
                    && old.kind == JobKind::Install
                    && !self.jobs.contains_key(&new)
                {
                    let mut used: Vec<MachineId> = vec![machine];
                    // Where an armed machine may be, its arm is used up.
                    let armed = self.ledger.job(new).unwrap().armed.iter().map(|(machine, _)| *machine);
                    used.extend(armed);
                    self.used.insert(new, used);
                }
                self.is_honest = false;
                self.note(format_args!("job {job} of machine {machine} again: {done:?}"));
            }
            (_, _, Some(job)) => {
                let done = self.ledger.cancel(job, self.now);
                self.is_honest = false;
                self.note(format_args!("job {job} is stopped: {done:?}"));
            }
            _ => {}
        }
        self.keep(tally);
    }

    fn event(&mut self, tally: &mut Tally) {
        match self.random.below(100) {
            0..=13 => self.move_machine(tally),
            14..=33 => {
                let who = self.random.below(MACHINES);
                self.call(who, false, tally);
            }
            34..=43 => {
                // A program on a machine that the server knows.
                let known: Vec<usize> = (0..MACHINES).filter(|who| self.real[*who].is_known).collect();
                if let Some(who) = self.random.pick(&known) {
                    self.call(who, true, tally);
                }
            }
            44..=60 => self.start(tally),
            61..=75 => self.reach(tally),
            76..=87 => self.finish(tally),
            88..=95 => self.order(tally),
            96..=97 => {
                let seconds = u64::try_from(self.random.below(700)).unwrap();
                self.now.mono += Duration::from_secs(seconds);
                self.now.wall += i64::try_from(seconds).unwrap() * 1000;
                self.ledger.expire(self.now);
                self.keep(tally);
            }
            _ => self.crash(tally),
        }
    }
}

/// Prints what has happened if a history breaks a rule.
struct Told<'a>(u64, &'a mut World);

impl Drop for Told<'_> {
    #[allow(clippy::print_stderr, reason = "a test tells what has failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("history {}:\n{}", self.0, self.1.log);
        }
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "a soak collects what was covered")]
fn in_random_histories_no_machine_is_installed_that_must_not_be() {
    let asked = std::env::var("CDIST_TEST_HISTORIES").ok();
    let count = asked.map_or(FEW, |count| count.parse().expect("CDIST_TEST_HISTORIES is a number"));
    let mut tally = Tally::default();
    for history in 0..count {
        let mut world = World::new(history);
        let told = Told(history, &mut world);
        for _ in 0..EVENTS {
            told.1.event(&mut tally);
        }
    }
    eprintln!("covered: {count} histories: {tally:?}");
    for (what, number) in [
        ("lies", tally.lies),
        ("installs", tally.installs),
        ("installs again", tally.again),
        ("runs that missed their machine", tally.missed),
        ("crashes", tally.crashes),
        ("machines that were one", tally.merged),
        ("refusals", tally.refused),
    ] {
        assert!(number * 20 >= count, "{what}: only {number} in {count} histories");
    }
}
