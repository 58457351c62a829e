//! The shell types against our own engine: state reached, and a second run that changes nothing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::{require_root, tool},
    preos::{program, shared_build, workspace},
};

/// Runs those of the files of tests that are number `part` of `parts`: side by side they take less time.
fn run_type_tests(root: Option<&Path>, part: usize, parts: usize) {
    require_root("the target of the type tests is a chroot");
    let _ = tool("busybox", "busybox-static");
    let dir = workspace().join("core/conf/tests");
    let entries = std::fs::read_dir(&dir).expect("reading the directory of the type tests");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("reading it").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sh"));
    files.sort();
    let mut command = Command::new(dir.join("run"));
    command.args(files.iter().skip(part).step_by(parts));
    command.env("CDIST", program()).env_remove("ROOT").env_remove("CDIST_REMOTE_SHELL");
    if let Some(root) = root {
        command.env("ROOT", root);
    }
    let output = command.output().expect("starting core/conf/tests/run");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    let last = text.lines().rev().find(|line| line.contains(" passed")).unwrap_or_default();
    assert!(!last.is_empty() && !last.starts_with("0 "), "{text}");
}

fn in_debian(part: usize) {
    let copy = shared_build().copy_root();
    let root = copy.path().join("root");
    // The tests begin with a root without authorized keys.
    std::fs::remove_dir_all(root.join("root/.ssh")).expect("removing the keys");
    run_type_tests(Some(&root), part, 3);
}

#[test]
fn types_in_a_debian_root_first_part() {
    in_debian(0);
}

#[test]
fn types_in_a_debian_root_second_part() {
    in_debian(1);
}

#[test]
fn types_in_a_debian_root_third_part() {
    in_debian(2);
}

#[test]
fn types_in_a_busybox_root_first_part() {
    run_type_tests(None, 0, 2);
}

#[test]
fn types_in_a_busybox_root_second_part() {
    run_type_tests(None, 1, 2);
}
