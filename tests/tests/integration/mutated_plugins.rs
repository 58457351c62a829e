//! Damaged libraries by the thousand: cdist always answers, whatever the damaged one does, and never dies.
//!
//! Half of them come from a small library in C, where most of the bytes are headers; half from one in Rust. The same
//! in each run.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use cdist_tests::{
    count::count,
    plugins::{Site, finish_within, install_bytes, museum},
};

/// How many libraries there are, if `CDIST_TEST_MUTANTS` does not say it.
const MUTANTS: u64 = 1000;
/// How many lie in one directory when they are listed.
const BATCH: usize = 500;

/// How many libraries there are of each of the two sources.
fn each() -> usize {
    usize::try_from(count("mutants", MUTANTS)).expect("a count fits").div_ceil(2)
}

/// One way of damage, at a place that is among the headers in half of all cases.
fn damaged(whole: &[u8], number: usize) -> Vec<u8> {
    let mut numbers = fastrand::Rng::with_seed(number as u64);
    let mut bytes = whole.to_vec();
    let limit = if number.is_multiple_of(2) { bytes.len().min(4096) } else { bytes.len() };
    let at = numbers.usize(..limit);
    let end = (at + 1 + numbers.usize(..64)).min(bytes.len());
    match number % 7 {
        0 | 1 => bytes[at] ^= 1 << numbers.usize(..8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.usize(..5)],
        3 => bytes[at..end].fill(if numbers.bool() { 0 } else { 0xff }),
        4 => bytes[at..end].iter_mut().for_each(|byte| *byte = numbers.u8(..)),
        5 => {
            let from = numbers.usize(..bytes.len() - (end - at));
            bytes.copy_within(from..from + (end - at), at);
        }
        _ => bytes.truncate(at),
    }
    bytes
}

fn sources() -> [Vec<u8>; 2] {
    ["gcc-12.so", "rustc-1.63.so"].map(|name| {
        let file = museum("1.0.0").join(name);
        fs::read(&file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display()))
    })
}

#[test]
fn lists_of_damaged_libraries() {
    let each = each();
    for source in sources() {
        for first in (0..each).step_by(BATCH) {
            let site = Site::new();
            let dir = site.home_plugins();
            for number in first..each.min(first + BATCH) {
                install_bytes(&damaged(&source, number), &dir.join(format!("{number:04}.so")));
            }
            let outcome = site.preos(["-L"]);
            assert_eq!(outcome.status, 0, "{first}: {outcome:#?}");
            assert!(outcome.stdout.contains("    - debian "), "{first}: {outcome:#?}");
            for line in outcome.stderr.lines() {
                let known = line.starts_with("skipped /") || line.starts_with("note: PreOS ");
                assert!(known && line.len() < 1000 && !line.contains(char::is_control), "{first}: {line:?}");
            }
            assert!(outcome.skipped().len() < BATCH, "{first}: nothing was left of {BATCH}");
        }
    }
}

/// Runs the PreOS of each of the damaged libraries with these numbers. Not as root: damaged code may do anything.
fn runs(site: &Site, command: &Command, source: &[u8], numbers: impl Iterator<Item = usize>, name: &str) {
    let mut late = 0;
    for number in numbers {
        let dir = site.dir(name);
        install_bytes(&damaged(source, number), &dir.join("damaged.so"));
        // What waits for ever is stopped as a user would; then cdist has to end, whatever the plugin does.
        let mut command = stopped_after(command, "20");
        command.arg("--plugin-dir").arg(&dir).args(["exhibit", "word"]);
        let outcome = finish_within(&mut command, Duration::from_secs(80));
        let outcome = outcome.unwrap_or_else(|| panic!("{number}: cdist does not end after SIGTERM"));
        assert_eq!(outcome.signal, None, "{number}: {outcome:#?}");
        late += usize::from(outcome.status == 124);
        if outcome.status == 1 || outcome.status == 2 {
            let answers = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).count();
            assert!(answers == 1 && outcome.stderr.len() < 4000, "{number}: {outcome:#?}");
        }
    }
    assert!(late < 20, "{late} of the damaged libraries wait for ever: that is not the damage");
}

/// The command below timeout(1), whose exit status is 124 if it had to send SIGTERM.
fn stopped_after(command: &Command, seconds: &str) -> Command {
    let mut copy = Command::new("timeout");
    copy.arg(seconds).arg(command.get_program()).args(command.get_args());
    copy.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    for (name, value) in command.get_envs() {
        let _ = match value {
            Some(value) => copy.env(name, value),
            None => copy.env_remove(name),
        };
    }
    copy.stdin(std::process::Stdio::null());
    copy
}

#[test]
fn runs_of_damaged_libraries() {
    let each = each();
    for source in sources() {
        let site = Site::new();
        let command = site.command_without_root();
        thread::scope(|scope| {
            for first in 0..2 {
                let (site, command, source) = (&site, &command, &source);
                let numbers = (first..each).step_by(2);
                let _ = scope.spawn(move || runs(site, command, source, numbers, ["even", "odd"][first]));
            }
        });
    }
}
