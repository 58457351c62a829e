//! When machines call the trigger server: the real script of the PreOS, with a `sleep` that only writes down the pause. From
//! its sequences of pauses comes the timeline of a thousand machines, and what the server makes of it. Needs no root.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use cdist_core::trigger::{
    Facts,
    attempt::{AttemptReport, End, Ended},
    job::{JobId, JobKind, JobState},
    ledger::{Answer, Call, Ledger, Moment, Rules},
    policy::Refusal,
    store::{JobFilter, Memory, Reader, Store},
};
use cdist_tests::{
    lab::process::{run, tool},
    outcome::tell,
    preos::workspace,
};

const MACHINES: usize = 1000;
/// How long the server is away, in seconds.
const OUTAGE: f64 = 1800.0;
/// The longest number of the script, which a pause exceeds by half at most.
const LONGEST: f64 = 300.0;
/// Enough to get beyond the outage, even if most pauses are short.
const FAILURES: usize = 18;
/// Runs of the script. Machines draw their pauses from them.
const SEQUENCES: usize = 60;
/// How many jobs run at once.
const AT_ONCE: usize = 8;
/// How long each of them takes.
const JOB: Duration = Duration::from_secs(60);
/// How long a server lives that is killed again and again.
const LIFE: Duration = Duration::from_secs(300);

/// The pauses of `count` runs of the script by `shell`, each with a command that fails `failures` times and asks for
/// a pause of `after` seconds each time.
fn sequences(shell: &[&str], count: usize, failures: usize, after: &str) -> Vec<Vec<f64>> {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    file("sleep", "#!/bin/sh\necho \"$1\" >>\"$SLEPT\"\n");
    let command = file(
        "command",
        "echo x >>\"$TRIES\"\necho \"$AFTER\" >\"$PREOS_RETRY_AFTER\"\nread -r left <\"$LEFT\"\n\
         echo $((left - 1)) >\"$LEFT\"\ntest \"$left\" -le 0\n",
    );
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let one = |number: usize| {
        let of = |name: &str| dir.path().join(format!("{name}-{number}"));
        fs::write(of("left"), format!("{failures}\n")).unwrap();
        let mut command_line = Command::new(tool(shell[0], shell[0]));
        command_line.args(&shell[1..]).arg("-e");
        command_line.arg(workspace().join("core/conf/type/__preos_trigger/files/retry")).arg(&command);
        command_line.env_clear().env("PATH", &path).env("AFTER", after);
        for (variable, name) in
            [("SLEPT", "slept"), ("LEFT", "left"), ("PREOS_RETRY_AFTER", "after"), ("TRIES", "tries")]
        {
            command_line.env(variable, of(name));
        }
        run(&mut command_line);
        assert_eq!(fs::read_to_string(of("tries")).unwrap().lines().count(), failures + 1);
        pauses(&of("slept"))
    };
    // Two at a time: starting programs is all there is to do.
    let next = AtomicUsize::new(0);
    let worker = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers.take_while(|number| *number < count).map(one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn pauses(file: &Path) -> Vec<f64> {
    fs::read_to_string(file).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

/// The first call at `from` or later of a machine that booted at `boot`. Each of its pauses is one that the script has made
/// at that place.
fn first_call(from: f64, boot: f64, sequences: &[Vec<f64>], random: &mut fastrand::Rng) -> f64 {
    let mut now = boot;
    for place in 0..=FAILURES {
        let pauses = &sequences[random.usize(..sequences.len())];
        now += pauses[place];
        if now >= from {
            return now;
        }
    }
    panic!("{FAILURES} failures are not enough: {now} s");
}

/// The share of `calls` in the second that has the most.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "seconds of a day, and machines"
)]
fn peak(calls: &[f64]) -> f64 {
    let mut seconds: HashMap<i64, usize> = HashMap::new();
    for call in calls {
        *seconds.entry(call.floor() as i64).or_default() += 1;
    }
    seconds.into_values().max().unwrap_or_default() as f64 / calls.len() as f64
}

#[test]
fn a_thousand_machines_come_back_after_an_outage_one_by_one() {
    let sequences = sequences(&["dash"], SEQUENCES, FAILURES, "");
    let mut random = fastrand::Rng::with_seed(1);
    // How long before the outage they booted: some time, or all in the second that the power came back.
    for spread in [300.0, 60.0, 0.0] {
        let calls: Vec<f64> = (0..MACHINES)
            .map(|_| {
                let boot = -spread * random.f64();
                first_call(OUTAGE, boot, &sequences, &mut random)
            })
            .collect();
        let last = calls.iter().copied().fold(0.0, f64::max) - OUTAGE;
        let peak = peak(&calls);
        tell(&format!(
            "booted within {spread} s: the last after {last:.0} s, {:.1} % in a second",
            peak * 100.0
        ));
        assert!(last <= LONGEST * 1.5, "the last machine calls {last} s after the server is back");
        assert!(peak <= 0.02, "{peak} of the machines in one second");
    }
}

#[test]
fn a_thousand_machines_that_are_switched_on_together_are_spread() {
    // Each real; 400 show more of chance than 1,000, hence the larger share.
    let firsts: Vec<f64> = sequences(&["dash"], 400, 0, "").into_iter().map(|pauses| pauses[0]).collect();
    let peak = peak(&firsts);
    tell(&format!("switched on together: {:.1} % in a second", peak * 100.0));
    assert!(peak <= 0.08, "{peak} of the machines in one second");
    let (least, most) =
        (firsts.iter().copied().fold(99.0, f64::min), firsts.iter().copied().fold(0.0, f64::max));
    assert!((0.0..2.0).contains(&least) && most > 28.0 && most <= 30.0, "{least} to {most}");
}

#[test]
fn a_thousand_machines_that_are_told_to_wait_do_not_come_back_together() {
    let asked = 60.0;
    let sequences = sequences(&["dash"], 80, 2, "60");
    // All have got the answer in one second; early ones have a short pause of their own.
    let seconds: Vec<f64> = sequences.iter().flat_map(|pauses| [pauses[1], pauses[2]]).collect();
    let peak = peak(&seconds);
    tell(&format!("told to wait: {:.1} % in a second", peak * 100.0));
    assert!(seconds.iter().all(|pause| (asked..=asked * 2.0).contains(pause)), "{seconds:?}");
    // 61 seconds for 160 pauses: some chance again.
    assert!(peak <= 0.1, "{peak} of the machines in one second");
}

#[test]
fn every_shell_makes_the_same_pauses() {
    // Not busybox, whose sleep is part of its shell.
    let bounds =
        [(0.0, 30.0), (2.0, 7.0), (5.0, 15.0), (10.0, 30.0), (20.0, 60.0), (40.0, 120.0), (80.0, 240.0)];
    for shell in [&["dash"][..], &["bash", "--posix"]] {
        for pauses in sequences(shell, 3, FAILURES, "") {
            assert_eq!(pauses.len(), FAILURES + 1);
            let bounds = bounds.into_iter().chain(std::iter::repeat((150.0, 450.0)));
            for (place, (pause, (least, most))) in pauses.iter().zip(bounds).enumerate() {
                assert!(
                    (least..=most).contains(pause),
                    "{shell:?}: {pause} s is pause {place} of {pauses:?}"
                );
            }
        }
    }
}

/// When machines call that booted within `spread` seconds before the outage: time and address, in order.
fn calls_after_the_outage(spread: f64) -> Vec<(Duration, String)> {
    let sequences = sequences(&["dash"], SEQUENCES, FAILURES, "");
    let mut random = fastrand::Rng::with_seed(7);
    let one = |number: usize| {
        let boot = -spread * random.f64();
        let at = Duration::from_secs_f64(first_call(OUTAGE, boot, &sequences, &mut random));
        (at, format!("10.0.{}.{}", number / 250, number % 250 + 1))
    };
    let mut calls: Vec<_> = (0..MACHINES).map(one).collect();
    calls.sort();
    calls
}

/// A server by the clock of the simulation: the real ledger, a store that outlives it, jobs that only take their time.
struct Server {
    memory: Memory,
    ledger: Ledger,
    now: Duration,
    born: Duration,
    /// When jobs end that run.
    ends: BTreeSet<(Duration, JobId)>,
    /// How often a job was begun for an address.
    begun: HashMap<String, usize>,
    /// The most that ran at once.
    most: usize,
}

impl Server {
    fn new(now: Duration) -> Self {
        let rules = Rules { at_once: AT_ONCE, ..Rules::default() };
        let mut memory = Memory::default();
        let born = Moment { wall: 0, mono: Duration::ZERO };
        let ledger = Ledger::load(rules, memory.load().unwrap(), born);
        let (ends, begun) = (BTreeSet::new(), HashMap::new());
        Self { memory, ledger, now, born: now, ends, begun, most: 0 }
    }

    fn moment(&self) -> Moment {
        Moment { wall: self.now.as_millis().try_into().unwrap(), mono: self.now - self.born }
    }

    fn store(&mut self) {
        let changes = self.ledger.take_changes();
        self.memory.commit(&changes).unwrap();
    }

    /// `kill -9`, and the next one finds what was stored.
    fn restart(&mut self) {
        self.born = self.now;
        self.ends.clear();
        let now = self.moment();
        self.ledger = Ledger::load(self.ledger.rules().clone(), self.memory.load().unwrap(), now);
        self.ledger.recover(now);
        self.store();
    }

    fn call(&mut self, kind: JobKind, address: &str) -> Answer {
        let (address, path, now) = (address.parse().unwrap(), String::new(), self.moment());
        self.ledger.call(Call { kind, address, neighbour: None, facts: Facts::default(), path }, now)
    }

    /// Everything that is due, in the order of the dispatcher; then what may begin.
    fn turn(&mut self) {
        while let Some((_, job)) = self.ends.first().copied().filter(|(at, _)| *at <= self.now) {
            self.ends.pop_first();
            let ended = Ended { end: End::Succeeded, report: AttemptReport::default() };
            self.ledger.finish(job, ended, self.moment(), 0.5);
        }
        let jobs = self.ledger.start(self.moment());
        self.store();
        for job in jobs {
            *self.begun.entry(job.address.to_string()).or_default() += 1;
            self.ends.insert((self.now + JOB, job.id));
        }
        assert_eq!(self.ledger.running(), self.ends.len());
        self.most = self.most.max(self.ends.len());
    }

    /// Takes these calls, each of which must be queued, and goes on until nothing waits or runs. With `life` the server is
    /// killed each time that it has lived for so long.
    fn work(&mut self, kind: JobKind, calls: &[(Duration, String)], life: Option<Duration>) {
        let mut calls = calls.iter().peekable();
        loop {
            let killed = life.map(|life| self.born + life);
            let end = self.ends.first().map(|(at, _)| *at);
            let called = calls.peek().map(|(at, _)| *at);
            if end.is_none() && called.is_none() {
                break;
            }
            self.now = [killed, end, called].into_iter().flatten().min().unwrap();
            // First of all: what would have ended in the same moment is lost, too.
            if killed == Some(self.now) {
                self.restart();
            }
            while let Some((_, address)) = calls.next_if(|(at, _)| *at <= self.now) {
                let answer = self.call(kind, address);
                assert!(matches!(answer, Answer::Queued(_)), "{address}: {answer:?}");
            }
            self.turn();
        }
        assert_eq!((self.ledger.waiting(), self.ledger.running()), (0, 0));
    }

    /// How many jobs have come to their end in this way.
    fn count(&mut self, state: JobState) -> usize {
        let filter = JobFilter { state: Some(state), limit: 10 * MACHINES, ..JobFilter::default() };
        self.memory.jobs(&filter).unwrap().len()
    }

    fn minutes(&self) -> f64 {
        (self.now.as_secs_f64() - OUTAGE) / 60.0
    }
}

/// The least that the work of all machines takes.
fn least() -> f64 {
    let jobs = u32::try_from(MACHINES.div_ceil(AT_ONCE)).unwrap();
    (JOB * jobs).as_secs_f64() / 60.0
}

#[test]
fn a_server_that_comes_back_works_on_a_thousand_machines() {
    let calls = calls_after_the_outage(0.0);
    for kind in [JobKind::Config, JobKind::Install] {
        let mut server = Server::new(Duration::from_secs_f64(OUTAGE));
        server.work(kind, &calls, None);
        assert_eq!(server.count(JobState::Succeeded), MACHINES);
        assert_eq!(server.most, AT_ONCE);
        assert!(server.begun.len() == MACHINES && server.begun.values().all(|times| *times == 1));
        tell(&format!("{kind} of {MACHINES} machines after the outage: {:.1} min", server.minutes()));
        // No slot is idle while a machine waits, but for the first machines and the last ones.
        assert!((least()..least() + 4.0).contains(&server.minutes()), "{} min", server.minutes());
    }
}

#[test]
fn a_server_that_is_killed_every_five_minutes_configures_a_thousand_machines() {
    let calls = calls_after_the_outage(0.0);
    let mut server = Server::new(Duration::from_secs_f64(OUTAGE));
    server.work(JobKind::Config, &calls, Some(LIFE));
    assert_eq!(server.count(JobState::Succeeded), MACHINES);
    assert_eq!((server.begun.len(), server.most), (MACHINES, AT_ONCE));
    let again: usize = server.begun.values().map(|times| times - 1).sum();
    tell(&format!("killed every 5 min: {:.1} min, {again} configurations begun again", server.minutes()));
    assert!(again >= AT_ONCE, "{again}");
    // A kill costs what runs, which is a minute of five at most.
    assert!(server.minutes() < least() * 5.0 / 4.0 + 5.0, "{} min", server.minutes());
}

#[test]
fn a_server_that_is_killed_every_five_minutes_installs_no_machine_twice() {
    let calls = calls_after_the_outage(0.0);
    let mut server = Server::new(Duration::from_secs_f64(OUTAGE));
    server.work(JobKind::Install, &calls, Some(LIFE));
    let (good, interrupted) = (server.count(JobState::Succeeded), server.count(JobState::Interrupted));
    tell(&format!("killed every 5 min: {good} installed, {interrupted} interrupted"));
    assert_eq!(good + interrupted, MACHINES);
    assert!(interrupted >= AT_ONCE, "{interrupted}");
    assert!(server.begun.len() == MACHINES && server.begun.values().all(|times| *times == 1));
    // All boot again and ask again: no machine is installed without the administrator.
    let mut wait = Vec::new();
    for (_, address) in &calls {
        match server.call(JobKind::Install, address) {
            Answer::Refused(Refusal::Installed, _) => {}
            Answer::Refused(Refusal::Interrupted, machine) => wait.push((machine, address.clone())),
            other => panic!("{address}: {other:?}"),
        }
    }
    assert_eq!(wait.len(), interrupted);
    server.turn();
    assert_eq!(server.ledger.running(), 0);
    let now = server.moment();
    for (machine, _) in &wait {
        server.ledger.arm(*machine, Duration::from_secs(3600), now).unwrap();
    }
    let calls: Vec<_> = wait.iter().map(|(_, address)| (server.now, address.clone())).collect();
    server.work(JobKind::Install, &calls, None);
    assert_eq!(server.count(JobState::Succeeded), MACHINES);
    let twice = server.begun.values().filter(|times| **times == 2).count();
    assert_eq!((twice, server.begun.values().sum()), (interrupted, MACHINES + interrupted));
}
