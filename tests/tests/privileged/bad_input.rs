//! Bootstraps that cannot work: one clear sentence, the target absent, nothing left behind.

use std::{fs, path::Path};

use cdist_tests::{
    lab::{http::FileServer, mirror, process::require_root},
    mounted::Mounted,
    outcome::{Outcome, assert_no_trace, outcome},
    preos::{SUITE, bootstrap, debian, scratch},
};

/// Bootstraps into `dir/root`, which must not be there afterwards.
fn fails(dir: &Path, args: &[&str]) -> Outcome {
    require_root("a bootstrap");
    let root = dir.join("root");
    let result = outcome(debian(&root).arg("-b").args(args));
    assert!(!root.exists(), "{} is there", root.display());
    assert_no_trace(dir);
    result
}

#[test]
fn a_suite_that_the_mirror_does_not_have() {
    let dir = scratch();
    let mirror = mirror::debian(SUITE);
    let failed = fails(dir.path(), &["-s", "bokworm", "-m", &mirror]);
    failed.assert_failed(1, &["has no suite bokworm", "check the spelling of -s"]);
}

#[test]
fn a_mirror_that_is_down() {
    let dir = scratch();
    let failed = fails(dir.path(), &["-s", SUITE, "-m", "http://127.0.0.1:1/debian"]);
    failed.assert_failed(1, &["http://127.0.0.1:1/debian cannot be reached", "another one with -m"]);
}

#[test]
fn a_mirror_whose_files_are_damaged() {
    let dir = scratch();
    let served = tempfile::tempdir().unwrap();
    let suite = served.path().join("dists/bookworm");
    fs::create_dir_all(&suite).unwrap();
    fs::write(suite.join("InRelease"), "garbage\n").unwrap();
    let server = FileServer::start(served.path());
    fails(dir.path(), &["-s", SUITE, "-m", &server.url()])
        .assert_failed(1, &["signature", "cannot be verified"]);
}

#[test]
fn a_keyring_that_did_not_sign_the_archive() {
    let dir = scratch();
    let keyring = dir.path().join("other.gpg");
    fs::write(&keyring, "no keys in here\n").unwrap();
    let (mirror, keyring) = (mirror::debian(SUITE), keyring.to_string_lossy().into_owned());
    let failed = fails(dir.path(), &["-s", SUITE, "-m", &mirror, "--keyring", &keyring]);
    failed.assert_failed(1, &["the signature of the archive cannot be verified", "--keyring"]);
}

#[test]
fn a_failing_command_is_named_with_its_last_words_and_the_log() {
    let dir = scratch();
    // An architecture that the archive does not have makes the bootstrap program itself fail.
    let failed = fails(dir.path(), &["-s", SUITE, "-m", &mirror::debian(SUITE), "-a", "pdp11"]);
    failed.assert_failed(1, &["mmdebstrap", "pdp11", "\nlog: "]);
    let log = failed.stderr.lines().find_map(|line| line.strip_prefix("log: ")).unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("pdp11"));
}

#[test]
fn a_disk_that_becomes_full_while_bootstrapping() {
    let dir = scratch();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let _mounted = Mounted::memory(&disk, "100m");
    let root = disk.join("root");
    let failed = outcome(&mut bootstrap(&root));
    failed.assert_failed(1, &["the disk that holds the target is full"]);
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0, "the half-made tree is left");
    assert_no_trace(&disk);
}
