//! Builds that are stopped or killed: no process and no mount stays, no result is half made, and the next build works.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    mini,
    outcome::{assert_no_mount_or_process, assert_no_trace, outcome},
    preos::{TRIGGER, bootstrap, debian, scratch, shared_build},
    running::Running,
    tree::Tree,
};
use nix::sys::signal::{Signal, kill};

/// Starts a bootstrap of `root` and waits until packages are being unpacked.
fn in_mid_bootstrap(root: &Path, messages: &Path) -> Running {
    let mut running = Running::start(&mut bootstrap(root), messages);
    let partial = partial(root);
    running.wait_until("the first packages", |_| partial.join("usr/bin/dpkg").exists());
    running
}

/// Where the tree of `root` grows.
fn partial(root: &Path) -> PathBuf {
    let name = root.file_name().unwrap().to_string_lossy().into_owned();
    root.with_file_name(format!(".{name}.cdist-partial"))
}

#[test]
fn ctrl_c_while_bootstrapping_leaves_nothing() {
    let dir = scratch();
    let root = dir.path().join("root");
    let mut running = in_mid_bootstrap(&root, &dir.path().join("messages"));
    running.signal_all(Signal::SIGINT);
    running.end().assert_failed(130, &["cancelled"]);
    assert!(!root.exists());
    assert_no_trace(dir.path());
}

#[test]
fn ctrl_c_while_configuring_leaves_a_root_that_can_be_configured() {
    let build = shared_build();
    let copy = build.copy_root();
    let root = copy.path().join("root");
    let pxe = copy.path().join("pxe");
    // Something to do, which takes long enough.
    fs::remove_file(root.join("etc/systemd/network/80-preos-wired.network")).unwrap();
    let mut command = debian(&root);
    command.args(["-C", "-t", TRIGGER]).arg("-p").arg(&pxe);
    let mut running = Running::start(&mut command, &copy.path().join("messages"));
    running.wait_until("the configuration", |said| said.contains("configuring "));
    kill(running.pid(), Signal::SIGINT).unwrap();
    running.end().assert_failed(130, &["cancelled"]);
    assert!(!pxe.exists());
    assert_no_trace(copy.path());
    assert_eq!(fs::read_dir(root.join("run")).unwrap().count(), 0);

    // The engine goes on from where it was, and the result is as if nothing had happened.
    let mut again = debian(&root);
    outcome(again.arg("-C").args(["-t", TRIGGER]).arg("-k").arg(build.key().with_extension("pub")))
        .assert_ok();
    assert_eq!(Tree::read(&root).differences(&Tree::read(&build.root())), [""; 0]);
}

#[test]
fn ctrl_c_while_packing_leaves_the_old_image() {
    let build = shared_build();
    let dir = scratch();
    let pxe = dir.path().join("pxe");
    mini::make_root(&dir.path().join("mini"));
    outcome(debian(&dir.path().join("mini")).arg("-p").arg(&pxe)).assert_ok();
    let old = Tree::read(&pxe);
    // Slow enough to be met in the middle.
    let mut command = debian(&build.root());
    command.arg("-p").arg(&pxe).args(["--compress", "zstd:19"]);
    let mut running = Running::start(&mut command, &dir.path().join("messages"));
    running.wait_until("packing", |said| said.contains("pack the initramfs"));
    kill(running.pid(), Signal::SIGINT).unwrap();
    running.end().assert_failed(130, &["cancelled"]);
    assert_eq!(Tree::read(&pxe).differences(&old), [""; 0]);
    assert_no_trace(dir.path());
}

/// Both kills, then the build that makes good: step by step, and with the same bytes as the shared one, which was made
/// in one call.
#[test]
fn after_killed_builds_one_in_separate_steps_gives_the_same_bytes_as_one_in_a_single_call() {
    let build = shared_build();
    let dir = scratch();
    let (root, pxe) = (dir.path().join("root"), dir.path().join("pxe"));
    let messages = dir.path().join("messages");

    let mut running = in_mid_bootstrap(&root, &messages);
    kill(running.worker(), Signal::SIGKILL).unwrap();
    running.end().assert_failed(
        1,
        &["the plugin debian died: SIGKILL", "hint: nothing it started or mounted is left"],
    );
    assert_no_mount_or_process(dir.path());
    assert!(!root.exists());

    let mut running = in_mid_bootstrap(&root, &messages);
    kill(running.pid(), Signal::SIGKILL).unwrap();
    assert_eq!(running.end().status, None);
    assert_no_mount_or_process(dir.path());
    assert!(!root.exists() && partial(&root).exists());

    outcome(&mut bootstrap(&root)).assert_ok();
    assert!(!partial(&root).exists(), "the tree of the killed build is still there");
    let mut configure = debian(&root);
    outcome(configure.arg("-C").arg("-k").arg(build.key().with_extension("pub")).args(["-t", TRIGGER]))
        .assert_ok();
    outcome(debian(&root).arg("-p").arg(&pxe)).assert_ok();
    assert_no_trace(dir.path());

    assert_eq!(Tree::read(&root).differences(&Tree::read(&build.root())), [""; 0]);
    for name in ["initramfs", "kernel", "pxelinux.0", "ldlinux.c32", "pxelinux.cfg/default"] {
        let same = Command::new("cmp").arg(pxe.join(name)).arg(build.pxe().join(name)).output().unwrap();
        assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    }
}
