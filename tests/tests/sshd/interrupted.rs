//! Runs that are cut off, killed or stopped: what is said, what stays, and whether the next run works.

use std::{fs, time::Duration};

use cdist_tests::{
    lab::{
        admin::{Admin, TYPES},
        process::wait_until,
        sshd::Sshd,
    },
    outcome::outcome,
    running::Running,
};
use nix::sys::signal::{Signal, kill};

/// On the target, for minutes, with a process that does not listen to SIGTERM.
const SLOW: &str = "__run slow <<'EOF'\n: > /var/lib/started\ntrap '' TERM\nsleep 301\nsleep 301\nEOF\n";

fn one() -> (Admin, Sshd) {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    (admin, sshd)
}

/// A run that is in the middle of its code.
fn at_work(admin: &Admin, sshd: &Sshd) -> Running {
    let mut running = Running::start(admin.config(SLOW).arg("web1"), &admin.path("messages"));
    running.wait_until("code on the target", |_| sshd.path("/var/lib/started").exists());
    running
}

/// Nothing of a run is left there, and the next one does its work.
#[track_caller]
fn assert_ready(admin: &Admin, sshd: &Sshd) {
    let idle = wait_until(Duration::from_secs(15), || sshd.processes().is_empty().then_some(()));
    assert!(idle.is_some(), "still on the target: {:?}", sshd.processes());
    admin.assert_no_connection();
    admin.configure("__note next\n", "web1").assert_ok();
    assert_eq!(fs::read_to_string(sshd.path("/var/lib/notes")).unwrap(), "next\n");
    assert!(!sshd.path("/var/lib/cdist.lock").exists());
}

#[test]
fn a_connection_that_is_cut_names_object_and_host() {
    let (admin, sshd) = one();
    let mut running = at_work(&admin, &sshd);
    sshd.cut();
    let outcome = running.end();
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    for word in ["the connection to web1 was lost", "object '__run/slow'"] {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
    assert_ready(&admin, &sshd);
}

#[test]
fn a_connection_that_is_cut_between_two_commands_is_made_again() {
    let (admin, sshd) = one();
    let mark = admin.path("mark");
    let manifest = format!(
        "__run_here wait <<'EOF'\n: > '{0}'\nwhile [ -e '{0}' ]; do sleep 0.1; done\nEOF\nrequire=__run_here/wait __note after\n",
        mark.display()
    );
    let mut running = Running::start(admin.config(&manifest).arg("web1"), &admin.path("messages"));
    running.wait_until("code on this machine", |_| mark.exists());
    sshd.cut();
    fs::remove_file(&mark).unwrap();
    running.end().assert_ok();
    assert_eq!(fs::read_to_string(sshd.path("/var/lib/notes")).unwrap(), "after\n");
    admin.assert_no_connection();
    assert!(!sshd.path("/var/lib/cdist.lock").exists());
}

#[test]
fn the_second_run_is_refused_with_the_name_of_the_first() {
    let (admin, sshd) = one();
    let mut running = at_work(&admin, &sshd);
    let second = outcome(admin.config("__note never\n").arg("web1"));
    assert_eq!(second.status, Some(1), "{}", second.stderr);
    let process = format!("process {}, since ", running.pid());
    for word in ["another run is at work in /var/lib/cdist on web1: root@", &process, "-r DIR"] {
        assert!(second.stderr.contains(word), "{word}: {}", second.stderr);
    }
    assert!(sshd.path("/var/lib/cdist/object").exists(), "the first run's files are untouched");
    // A dry run has a directory of its own, and another work directory is another lock.
    outcome(admin.config("__note never\n").args(["-n", "web1"])).assert_ok();
    outcome(admin.config("__note other\n").args(["-r", "/var/lib/other", "web1"])).assert_ok();
    fs::remove_file(sshd.path("/var/lib/notes")).unwrap();
    running.signal_all(Signal::SIGINT);
    assert_eq!(running.end().status, Some(130));
    assert_ready(&admin, &sshd);
}

#[test]
fn a_killed_run_leaves_nothing_and_can_be_repeated_at_once() {
    let (admin, sshd) = one();
    let running = at_work(&admin, &sshd);
    kill(running.pid(), Signal::SIGKILL).unwrap();
    drop(running);
    // At once: the repeat waits until the target has cleaned up.
    outcome(admin.config("__note repeat\n").arg("web1")).assert_ok();
    fs::remove_file(sshd.path("/var/lib/notes")).unwrap();
    assert_ready(&admin, &sshd);
}

/// Its machine has told the target nothing, so there the old run still holds the lock.
#[test]
fn a_killed_run_whose_end_the_target_does_not_notice_is_pushed_aside() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "  ServerAliveInterval 1\n  ServerAliveCountMax 2");
    let running = at_work(&admin, &sshd);
    sshd.freeze();
    kill(running.pid(), Signal::SIGKILL).unwrap();
    drop(running);
    outcome(admin.config("__note next\n").arg("web1")).assert_ok();
    // What keeps the old connection is sshd's, and ends when that notices.
    assert_eq!(sshd.processes(), ["cat"]);
    assert!(!sshd.path("/var/lib/cdist.lock").exists());
    admin.assert_no_connection();
}

#[test]
fn a_stopped_run_ends_what_runs_on_the_target() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (admin, sshd) = one();
        let mut running = at_work(&admin, &sshd);
        kill(running.pid(), signal).unwrap();
        let outcome = running.end();
        assert_eq!(outcome.status, Some(status), "{}", outcome.stderr);
        assert_ready(&admin, &sshd);
    }
}

/// A service that code has started belongs to the machine, not to the run.
#[test]
fn a_service_outlives_a_killed_run() {
    let (admin, sshd) = one();
    let manifest = format!(
        "__run daemon <<'EOF'\nsetsid sleep 302 < /dev/null > /dev/null 2>&1 &\nEOF\nrequire=__run/daemon {SLOW}"
    );
    let mut running = Running::start(admin.config(&manifest).arg("web1"), &admin.path("messages"));
    running.wait_until("code on the target", |_| sshd.path("/var/lib/started").exists());
    kill(running.pid(), Signal::SIGKILL).unwrap();
    drop(running);
    let only_service = || sshd.processes() == ["sleep 302"];
    let alone = wait_until(Duration::from_secs(15), || only_service().then_some(()));
    assert!(alone.is_some(), "{:?}", sshd.processes());
    admin.assert_no_connection();
}

/// The target was switched off: the lock is there, its holder is not.
#[test]
fn a_lock_of_an_earlier_boot_is_taken_over() {
    let (admin, sshd) = one();
    fs::create_dir_all(sshd.path("/var/lib/cdist.lock")).unwrap();
    let holder =
        "1 1 11111111-2222-3333-4444-555555555555 elsewhere:1:1:0\nann@old, process 1, since long ago\n";
    fs::write(sshd.path("/var/lib/cdist.lock/holder"), holder).unwrap();
    fs::write(sshd.path("/var/lib/cdist.lock/running"), "1 1\n").unwrap();
    assert_ready(&admin, &sshd);
}
