//! `cdist install plan` of the staged program: exit statuses, and that a host may be called `plan`. What it decides is tested
//! in the crates.

use std::{fs, process::Command};

use cdist_tests::{
    lab::process::run,
    outcome::outcome,
    preos::{cdist, workspace},
};
use tempfile::TempDir;

/// The machine of the page.
fn facts() -> TempDir {
    let page = fs::read_to_string(workspace().join("docs/install-layouts.md")).unwrap();
    let (_, facts) = page.split_once("```json\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("web1.json"), facts.split_once("```").unwrap().0).unwrap();
    dir
}

fn plan(dir: &TempDir, words: &str) -> Command {
    let mut command = cdist();
    command.current_dir(dir.path()).args(["install", "plan"]).args(words.split_whitespace());
    command
}

#[test]
fn a_plan_is_printed() {
    let dir = facts();
    let text = run(&mut plan(&dir, "--facts web1.json --layout plain --disk ssd"));
    assert!(text.starts_with("Layout plain on one disk with GPT"), "{text}");
    let json = run(&mut plan(&dir, "--layout luks --disk ssd --json --facts=web1.json"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["layout"], &value["disks"][0]["device"]), (&"luks".into(), &"/dev/nvme0n1".into()));
    let script = run(&mut plan(&dir, "--facts web1.json --layout plain --disk ssd --script"));
    assert!(script.starts_with("#!/bin/sh\nset -eu\n"), "{script}");
}

#[test]
fn refusals_and_wrong_usage() {
    let dir = facts();
    let refused = |words: &str| outcome(&mut plan(&dir, words));
    refused("--facts web1.json --layout plain")
        .assert_failed(1, &["finds 2 disks", "hint: ", "\n  sda, 3.6 TiB"]);
    refused("--facts web1.json --layout plain --disk rotational")
        .assert_failed(1, &["is not blank", "--wipe WD-1"]);
    refused("--facts web1.json --layout ./none").assert_failed(1, &["reading ./none: No such file"]);
    refused("--facts none.json --layout plain").assert_failed(1, &["reading none.json: No such file"]);
    refused("--facts web1.json --layout plainn")
        .assert_failed(2, &["there is no layout `plainn`", "did you mean plain?"]);
    refused("--facts web1.json").assert_failed(2, &["--layout <NAME|FILE>"]);
    refused("--facts web1.json --layout plain --disk smalest")
        .assert_failed(2, &["did you mean `smallest`?"]);
}

/// Without facts it is a host, and what is said of it is what is said of any.
#[test]
fn a_host_may_be_called_plan() {
    let dir = facts();
    let told = outcome(&mut plan(&dir, ""));
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("'install' command is beta"), "{}", told.stderr);
}
