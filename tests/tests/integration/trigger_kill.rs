//! `kill -9` at any point: no accepted job is lost, and nothing is installed twice.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cdist_tests::{count::count, lab::trigger::TriggerLab, outcome::tell};
use nix::sys::signal::Signal;

/// How often the server is killed, if `CDIST_TEST_KILLS` does not say it.
const KILLS: u64 = 60;
/// How many machines call; each of them again and again, as after a reboot.
const MACHINES: u64 = 300;
/// The longest life of a server, in microseconds.
const LIFE: u64 = 60_000;

fn address(machine: u64) -> IpAddr {
    let [.., high, low] = machine.to_be_bytes();
    Ipv4Addr::new(127, 9, high, low.max(1)).into()
}

/// What a machine was told: its number, what it wanted, and the job.
type Accepted = HashSet<(u64, bool, i64)>;

/// Machines call one after the other until the server is gone. Counts the answers.
fn call(
    machine: impl Fn(IpAddr) -> cdist_tests::lab::client::Client,
    seed: u64,
    gone: &AtomicBool,
    accepted: &Mutex<Accepted>,
) -> u64 {
    // The same in every run of the test; when a server dies is chance all the same.
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answers = 0;
    while !gone.load(Ordering::Relaxed) {
        let number = random.u64(..MACHINES);
        let install = random.bool();
        let path = if install { "/install/" } else { "/config/" };
        let client = machine(address(number)).limit(Duration::from_secs(5));
        // Killed before it could say anything: then nothing was accepted, whatever is stored.
        let Ok(answer) = client.ask("GET", path, &[("Accept", "application/json")], b"") else { continue };
        answers += 1;
        match answer.status {
            202 => {
                let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                accepted.lock().unwrap().insert((number, install, body["job"].as_i64().unwrap()));
            }
            409 => assert!(install, "{}", answer.text()),
            other => panic!("{other}: {}", answer.text()),
        }
    }
    answers
}

#[test]
fn no_accepted_job_is_lost_and_nothing_is_installed_twice() {
    let kills = count("kills", KILLS);
    let lab = TriggerLab::counting();
    let accepted = Mutex::new(Accepted::new());
    let mut random = fastrand::Rng::with_seed(1);
    let (mut answers, begin) = (0, Instant::now());
    for kill in 0..kills {
        let mut server = lab.start(&["-j", "2"]);
        let gone = AtomicBool::new(false);
        let machine = |address| server.machine(address);
        let callers = 2;
        answers += thread::scope(|scope| {
            let (gone, accepted, machine) = (&gone, &accepted, &machine);
            let callers: Vec<_> = (0..callers)
                .map(|i| scope.spawn(move || call(machine, kill * callers + i, gone, accepted)))
                .collect();
            thread::sleep(Duration::from_micros(random.u64(..LIFE)));
            let _ = nix::sys::signal::kill(server.pid(), Signal::SIGKILL);
            gone.store(true, Ordering::Relaxed);
            callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u64>()
        });
        assert_eq!(server.end(Signal::SIGKILL), None);
    }
    let accepted = accepted.into_inner().unwrap();
    tell(&format!(
        "{kills} kills in {:.0} s: {answers} answers, {} jobs accepted",
        begin.elapsed().as_secs_f64(),
        accepted.len()
    ));

    // The last server finishes what is there.
    let mut server = lab.start(&["-j", "8"]);
    let database = lab.state_dir().join("trigger.db");
    let open = || {
        rusqlite::Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    };
    let waiting = || -> i64 {
        let sql = "SELECT count(*) FROM job WHERE state IN ('queued', 'running')";
        open().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let limit = Instant::now() + Duration::from_secs(240);
    while waiting() > 0 {
        assert!(Instant::now() < limit, "{} jobs are still waiting:\n{}", waiting(), server.log());
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.end(Signal::SIGTERM), Some(0), "{}", server.log());

    let connection = open();
    let mut statement = connection.prepare("SELECT id, kind, state, address, attempts FROM job").unwrap();
    let rows = statement.query_map([], |row| {
        let words = (row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?);
        Ok((row.get::<_, i64>(0)?, words, row.get::<_, i64>(4)?))
    });
    let jobs: HashMap<i64, _> =
        rows.unwrap().map(|row| row.map(|(id, words, n)| (id, (words, n))).unwrap()).collect();
    for (machine, install, id) in &accepted {
        let Some(((kind, _, of), _)) = jobs.get(id) else { panic!("job {id} was accepted and is lost") };
        assert_eq!(
            (kind == "install", of.as_str()),
            (*install, address(*machine).to_string().as_str()),
            "job {id}"
        );
    }
    let mut installs: HashMap<&str, i64> = HashMap::new();
    let mut states: HashMap<(&str, &str), usize> = HashMap::new();
    for ((kind, state, of), attempts) in jobs.values() {
        *states.entry((kind, state)).or_default() += 1;
        if kind == "install" {
            assert!(*attempts <= 1, "an install was repeated");
            *installs.entry(of).or_default() += attempts;
        } else {
            // Done again after each kill until it was done. One may have been left to the next one of its machine.
            assert!(["succeeded", "interrupted"].contains(&state.as_str()), "a configuration has {state}");
        }
    }
    tell(&format!("jobs: {states:?}"));
    assert!(installs.values().all(|count| *count <= 1), "{installs:?}");
    let mut times: HashMap<String, usize> = HashMap::new();
    for machine in lab.installed() {
        *times.entry(machine).or_default() += 1;
    }
    assert!(times.values().all(|count| *count == 1), "installed twice: {times:?}");
    assert!(!times.is_empty() && !lab.configured().is_empty(), "the test is too short to tell anything");
    // About one kill in fifty hits an install at work.
    let interrupted = states.get(&("install", "interrupted")).copied().unwrap_or_default();
    assert!(u64::try_from(interrupted).unwrap() > kills / 100, "{states:?}");
}
