//! A command that cannot print what it was asked for has failed: standard output on a full disk. A reader that goes away
//! early has read enough.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    process::{Command, Output, Stdio},
};

const KEEPS_HOSTS: &[&str] = &["-b", "-I", "inventory"];

fn cdist(dir: &Path, words: &[&str], stdout: impl Into<Stdio>) -> Output {
    let words = words.iter().map(OsString::from);
    Command::new(env!("CARGO_BIN_EXE_cdist"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([("HOME", dir), ("TMPDIR", dir), ("CDIST_PATH", Path::new(CONF))])
        .current_dir(dir)
        .args(words)
        .stdin(Stdio::null())
        .stdout(stdout)
        .output()
        .unwrap()
}

/// Every command that prints, with what it needs in a directory.
fn commands(dir: &Path) -> Vec<Vec<&'static str>> {
    fs::create_dir_all(dir.join("bad")).unwrap();
    fs::write(dir.join("nothing"), "").unwrap();
    fs::write(dir.join("file"), "echo x | __file /proc/none/x --source -\n").unwrap();
    let kept = |words: &[&'static str]| [words, KEEPS_HOSTS].concat();
    let added = cdist(dir, &kept(&["inventory", "add-host", "web1"]), Stdio::null());
    assert!(added.status.success(), "{added:?}");
    let work_dir: &'static str = Box::leak(dir.join("target").display().to_string().into_boxed_str());
    let on_itself =
        |words: &[&'static str]| [&["config", "--local", "-r", work_dir][..], words, &["localhost"]].concat();
    let mut all: Vec<Vec<&'static str>> = [
        "",
        "--help",
        "--version",
        "config --help",
        "trigger jobs --help",
        "preos --help",
        "preos -L",
        "preos -L --json",
        "plugin list",
        "plugin list --json",
        "plugin inspect file",
        "plugin inspect file --json",
        "plugin check --list",
        "plugin check --list --json",
        "plugin check file",
        "plugin check file --json",
        "info",
        "info -f",
        "banner",
        "check-type bad",
        "check-type bad --json",
    ]
    .iter()
    .map(|line| line.split_whitespace().collect())
    .collect();
    all.push(kept(&["inventory", "list"]));
    all.push(on_itself(&["-i", "nothing", "--json"]));
    all.push(on_itself(&["-i", "nothing", "-n"]));
    all.push(on_itself(&["-i", "file", "-n"]));
    all.push(on_itself(&["-i", "file", "-n", "--diff"]));
    all
}

const CONF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/conf");

#[test]
fn a_full_disk_is_a_failure_of_every_command_that_prints() {
    let dir = tempfile::tempdir().unwrap();
    for words in commands(dir.path()) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = cdist(dir.path(), &words, full);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert_eq!(
            said.matches("writing to standard output: No space left on device").count(),
            1,
            "{words:?}: {said}"
        );
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = cdist(dir.path(), &["new-type", "__own", "-d", "."], full);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    for words in commands(dir.path()) {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let gone = cdist(dir.path(), &words, writer);
        let (mut reader, writer) = io::pipe().unwrap();
        let reading = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()).unwrap());
        let read = cdist(dir.path(), &words, writer);
        assert!(reading.join().unwrap() > 0, "{words:?} prints nothing: {read:?}");
        assert_eq!(gone.status.code(), read.status.code(), "{words:?}: {gone:?}");
        let said = String::from_utf8_lossy(&gone.stderr);
        assert!(!said.contains("standard output") && !said.contains("roken pipe"), "{words:?}: {said}");
    }
}
