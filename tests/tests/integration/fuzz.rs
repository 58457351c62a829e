//! The fuzz targets without a fuzzer: their seeds, and mutations of them that are the same each time. `make fuzz` looks for
//! more, guided by what the code does.

use std::fs;

use cdist_core::{
    config::fuzzing::{emulator_args, framed_stream, object_name, settings},
    install::fuzzing::install_plan,
    inventory::fuzzing::inventory,
    trigger::fuzzing::trigger_request,
};
use cdist_tests::{count::count, plugins::workspace};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("emulator_args", emulator_args),
    ("framed_stream", framed_stream),
    ("install_plan", install_plan),
    ("inventory", inventory),
    ("object_name", object_name),
    ("settings", settings),
    ("trigger_request", trigger_request),
];

/// How many mutations of seeds each target gets.
const MUTATIONS: u64 = 5000;
/// The longest input, as of `make fuzz`.
const LENGTH_MAX: usize = 4096;

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let dir = workspace().join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed with a few changes: other bytes, fewer bytes, a part of another seed.
fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = random.choice(seeds).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..8)).min(bytes.len());
        match random.u8(..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.insert(at, *random.choice(&[0, b'\n', b'\r', b' ', b':', b'=', b'/', 0xff]).unwrap()),
            3 => drop(bytes.drain(at..end)),
            _ => {
                let other = random.choice(seeds).cloned().unwrap_or_default();
                let from = random.usize(..=other.len());
                bytes.splice(at..end, other[from..].iter().copied());
            }
        }
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

#[test]
fn seeds_and_their_mutations_break_no_rule() {
    let mutations = count("mutations", MUTATIONS);
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| target(seed));
        let mut random = fastrand::Rng::with_seed(1);
        for number in 0..mutations {
            let input = mutated(&seeds, &mut random);
            let done = std::panic::catch_unwind(|| target(&input));
            assert!(done.is_ok(), "{name}, mutation {number}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn every_target_of_the_fuzzer_is_tried() {
    let dir = workspace().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}
