//! The shell types against our own engine: state reached, and a second run that changes nothing.

use std::{path::Path, process::Command};

use cdist_tests::{
    lab::process::{require_root, tool},
    preos::{program, shared_build, workspace},
};

fn run_type_tests(root: Option<&Path>, remote_shell: Option<&str>) {
    require_root("the target of the type tests is a chroot");
    let _ = tool("busybox", "busybox-static");
    let mut command = Command::new(workspace().join("core/conf/tests/run"));
    command.env("CDIST", program()).env_remove("ROOT").env_remove("CDIST_REMOTE_SHELL");
    if let Some(root) = root {
        command.env("ROOT", root);
    }
    if let Some(shell) = remote_shell {
        command.env("CDIST_REMOTE_SHELL", shell);
    }
    let output = command.output().expect("starting core/conf/tests/run");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    let last = text.lines().rev().find(|line| line.contains(" passed")).unwrap_or_default();
    assert!(!last.starts_with("0 "), "{text}");
}

#[test]
fn types_in_a_debian_root() {
    let copy = shared_build().copy_root();
    let root = copy.path().join("root");
    // The tests begin with a root that nobody may log in to.
    std::fs::remove_dir_all(root.join("root/.ssh")).expect("removing the keys");
    run_type_tests(Some(&root), None);
}

#[test]
fn types_in_a_busybox_root() {
    run_type_tests(None, None);
}
