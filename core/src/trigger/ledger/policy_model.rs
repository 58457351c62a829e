//! Random events against a model that knows nothing but the rules.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::trigger::{
    Facts,
    attempt::{AttemptReport, End, Ended},
    store::{Memory, Store},
};

const MACHINES: usize = 4;

#[derive(Clone, Debug)]
enum Event {
    Call {
        machine: usize,
        install: bool,
        with_mac: bool,
    },
    Start,
    Finish {
        nth: usize,
        end: usize,
    },
    Cancel {
        nth: usize,
    },
    Retry {
        nth: usize,
    },
    Arm {
        machine: usize,
        seconds: u64,
    },
    Pass {
        seconds: u64,
    },
    SetClock {
        seconds: i64,
    },
    Crash,
    /// Storing fails: what was decided since the last time is taken back.
    DiskFull,
}

fn event() -> impl Strategy<Value = Event> {
    let machine = 0..MACHINES;
    prop_oneof![
        8 => (machine.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(machine, install, with_mac)| Event::Call { machine, install, with_mac }),
        6 => Just(Event::Start),
        6 => (0usize..4, 0usize..3).prop_map(|(nth, end)| Event::Finish { nth, end }),
        1 => (0usize..8).prop_map(|nth| Event::Cancel { nth }),
        1 => (0usize..8).prop_map(|nth| Event::Retry { nth }),
        2 => (machine, 1u64..4000).prop_map(|(machine, seconds)| Event::Arm { machine, seconds }),
        2 => (1u64..2000).prop_map(|seconds| Event::Pass { seconds }),
        1 => (-100_000i64..100_000).prop_map(|seconds| Event::SetClock { seconds }),
        2 => Just(Event::Crash),
        1 => Just(Event::DiskFull),
    ]
}

/// What the model knows of a machine.
#[derive(Debug, Default)]
struct Known {
    /// An install has come to an end that only an administrator overrules.
    blocked: bool,
    /// Until when it is armed, on the monotonic clock.
    armed: Option<Duration>,
    /// Installs that may begin: each accepted request and each retry is one.
    permits: usize,
}

struct World {
    rules: Rules,
    ledger: Ledger,
    store: Memory,
    now: Moment,
    known: HashMap<usize, Known>,
    /// Machine and kind of each job that was accepted.
    accepted: HashMap<JobId, (usize, JobKind)>,
    /// Jobs that were cancelled.
    stopped: HashSet<JobId>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let now = Moment { wall: 1_000_000_000_000, mono: Duration::from_secs(5) };
        let ledger = Ledger::load(rules.clone(), Stored::default(), now);
        let (known, accepted, stopped) = Default::default();
        Self { rules, ledger, store: Memory::default(), now, known, accepted, stopped }
    }

    fn store(&mut self) {
        let changes = self.ledger.take_changes();
        self.store.commit(&changes).unwrap();
    }

    fn load(&mut self) {
        self.ledger = Ledger::load(self.rules.clone(), self.store.load().unwrap(), self.now);
        self.store();
        // Time that has passed while no server ran counts.
        for (machine, known) in &mut self.known {
            let Ok(id) = self.ledger.resolve(&format!("10.0.0.{machine}")) else { continue };
            let until = self.ledger.machine(id).and_then(|machine| machine.armed_until);
            known.armed = until.map(|until| self.now.mono + left(until, self.now.wall));
        }
    }

    fn active(&mut self, nth: usize) -> Option<Job> {
        let mut jobs = self.store.load().unwrap().jobs;
        jobs.sort_by_key(|job| job.id);
        jobs.get(nth).cloned()
    }

    fn call(&mut self, machine: usize, kind: JobKind, with_mac: bool) {
        let mac = with_mac.then(|| format!("52:54:00:00:00:{machine:02x}"));
        let facts = Facts { mac, ..Facts::default() };
        let address = format!("10.0.0.{machine}").parse().unwrap();
        let call = Call { kind, address, neighbour: None, facts, path: String::new() };
        let known = self.known.entry(machine).or_default();
        match self.ledger.call(call, self.now) {
            Answer::Queued(id) => {
                assert!(!self.accepted.contains_key(&id), "number {id} was given twice");
                self.accepted.insert(id, (machine, kind));
                if kind == JobKind::Install {
                    let armed = known.armed.is_some_and(|until| self.now.mono < until);
                    let allowed = match self.rules.policy {
                        InstallPolicy::Always => true,
                        InstallPolicy::Once => !known.blocked || armed,
                        InstallPolicy::Armed => armed,
                    };
                    assert!(allowed, "install of machine {machine} was accepted: {known:?}");
                    known.armed = None;
                    known.permits += 1;
                }
            }
            Answer::Joined(id) | Answer::Running(id) => assert_eq!(self.accepted[&id], (machine, kind)),
            Answer::Rebooted(_)
            | Answer::Moved(_)
            | Answer::Taken(_)
            | Answer::Elsewhere(_)
            | Answer::Astray(_) => panic!("no machine has moved or told keys"),
            Answer::Refused(..) => {
                assert_eq!(kind, JobKind::Install);
                assert_ne!(self.rules.policy, InstallPolicy::Always);
                if self.rules.policy == InstallPolicy::Once {
                    assert!(known.blocked, "a machine that was never installed is refused");
                }
            }
            Answer::QueueFull => assert!(self.ledger.waiting() >= self.rules.queue_max),
            Answer::MachinesFull => panic!("there are not so many machines"),
        }
        self.store();
    }

    fn start(&mut self) {
        for job in self.ledger.start(self.now) {
            let (machine, kind) = self.accepted[&job.id];
            assert_eq!(job.state, JobState::Running);
            if kind == JobKind::Install {
                assert_eq!(job.attempts, 1, "an install is never repeated by itself");
                let known = self.known.get_mut(&machine).unwrap();
                assert!(known.permits > 0, "an install that nobody asked for");
                known.permits -= 1;
            }
        }
        self.store();
    }

    fn finish(&mut self, nth: usize, end: usize) {
        let mut jobs = self.ledger.running_jobs();
        jobs.sort_unstable();
        let Some(id) = jobs.get(nth).copied() else { return };
        let end = [End::Succeeded, End::Failed, End::Cancelled][end];
        self.ledger.finish(id, Ended { end, report: AttemptReport::default() }, self.now, 0.5);
        self.store();
        let (machine, kind) = self.accepted[&id];
        if kind == JobKind::Install {
            let state = self.store.reader().unwrap().job(id).unwrap().unwrap().state;
            assert!(state.is_final(), "{state}");
            self.known.get_mut(&machine).unwrap().blocked |= state != JobState::Failed;
        }
    }

    fn cancel(&mut self, nth: usize) {
        let Some(job) = self.active(nth) else { return };
        let ended = self.ledger.cancel(job.id, self.now).unwrap();
        self.store();
        self.stopped.insert(job.id);
        let (machine, kind) = self.accepted[&job.id];
        if ended && kind == JobKind::Install {
            let known = self.known.get_mut(&machine).unwrap();
            known.permits -= 1;
            known.blocked = true;
        }
    }

    fn retry(&mut self, nth: usize) {
        let mut ids: Vec<JobId> = self.accepted.keys().copied().collect();
        ids.sort_unstable();
        let Some(id) = ids.get(nth % ids.len().max(1)).copied() else { return };
        let old = self.store.reader().unwrap().job(id).unwrap().unwrap();
        let Ok(new) = self.ledger.retry(&old, Vec::new(), None, self.now) else {
            assert!(!old.state.is_final());
            return;
        };
        self.store();
        let (machine, kind) = self.accepted[&id];
        if self.accepted.insert(new, (machine, kind)).is_none() && kind == JobKind::Install {
            let known = self.known.get_mut(&machine).unwrap();
            known.permits += 1;
            known.armed = None;
        }
    }

    fn arm(&mut self, machine: usize, seconds: u64) {
        let Ok(id) = self.ledger.resolve(&format!("10.0.0.{machine}")) else { return };
        self.ledger.arm(id, Duration::from_secs(seconds), self.now).unwrap();
        self.store();
        let until = self.now.mono + Duration::from_secs(seconds);
        self.known.entry(machine).or_default().armed = Some(until);
    }

    fn crash(&mut self) {
        let running = self.ledger.running_jobs();
        self.load();
        self.ledger.recover(self.now);
        self.store();
        assert_eq!(self.ledger.running(), 0);
        for id in running {
            let (machine, kind) = self.accepted[&id];
            let state = self.store.reader().unwrap().job(id).unwrap().unwrap().state;
            let stopped = self.stopped.contains(&id);
            match kind {
                _ if stopped => assert_eq!(state, JobState::Cancelled, "somebody has stopped it"),
                JobKind::Install => assert_eq!(state, JobState::Interrupted),
                JobKind::Config => {
                    assert!(matches!(state, JobState::Queued | JobState::Interrupted), "{state}");
                }
            }
            if kind == JobKind::Install {
                self.known.get_mut(&machine).unwrap().blocked = true;
            }
        }
    }

    fn check(&mut self) {
        let mut stored = self.store.load().unwrap().jobs;
        stored.sort_by_key(|job| job.id);
        let running: Vec<&Job> = stored.iter().filter(|job| job.state == JobState::Running).collect();
        assert!(running.len() <= self.rules.at_once);
        for (at, job) in running.iter().enumerate() {
            assert!(running.iter().skip(at + 1).all(|other| other.machine != job.machine), "{running:?}");
        }
        let waiting: Vec<&Job> = stored.iter().filter(|job| job.state == JobState::Queued).collect();
        assert_eq!(waiting.len(), self.ledger.waiting());
        for (at, job) in waiting.iter().enumerate() {
            let same = |other: &&&Job| other.machine == job.machine && other.kind == job.kind;
            assert!(
                !waiting.iter().skip(at + 1).any(|other| same(&other)),
                "two of a kind wait: {waiting:?}"
            );
        }
        let mut reader = self.store.reader().unwrap();
        for id in self.accepted.keys() {
            assert!(reader.job(*id).unwrap().is_some(), "job {id} was accepted and is lost");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_install_policy_holds_in_any_order_of_events(
        events in prop::collection::vec(event(), 1..80),
        policy in prop_oneof![
            3 => Just(InstallPolicy::Once), 1 => Just(InstallPolicy::Armed), 1 => Just(InstallPolicy::Always)
        ],
        at_once in 1usize..4,
        queue_max in 2usize..10,
    ) {
        let mut world =
            World::new(Rules { policy, at_once, queue_max, machines_max: MACHINES, retries: 2, dry_run: false });
        for event in events {
            match event {
                Event::Call { machine, install, with_mac } => {
                    let kind = if install { JobKind::Install } else { JobKind::Config };
                    world.call(machine, kind, with_mac);
                }
                Event::Start => world.start(),
                Event::Finish { nth, end } => world.finish(nth, end),
                Event::Cancel { nth } => world.cancel(nth),
                Event::Retry { nth } => world.retry(nth),
                Event::Arm { machine, seconds } => world.arm(machine, seconds),
                Event::Pass { seconds } => {
                    world.now.mono += Duration::from_secs(seconds);
                    world.now.wall += i64::try_from(seconds).unwrap() * 1000;
                    world.ledger.expire(world.now);
                    world.store();
                }
                Event::SetClock { seconds } => world.now.wall += seconds * 1000,
                Event::Crash => world.crash(),
                Event::DiskFull => {
                    let running = world.ledger.running_jobs();
                    let address = "10.0.0.0".parse().unwrap();
                    let facts = Facts::default();
                    let (kind, path) = (JobKind::Install, String::new());
                    let call = Call { kind, address, neighbour: None, facts, path };
                    let _ = world.ledger.call(call, world.now);
                    world.load();
                    let mut now_running = world.ledger.running_jobs();
                    now_running.sort_unstable();
                    let mut running = running;
                    running.sort_unstable();
                    prop_assert_eq!(running, now_running);
                }
            }
            world.check();
        }
    }
}
