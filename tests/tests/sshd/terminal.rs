//! Runs on a terminal: ssh may ask there, and Ctrl-C reaches everybody at once.

use std::{
    fs,
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use cdist_tests::lab::{
    admin::{Admin, TYPES},
    process::{run, tool, wait_until},
    sshd::Sshd,
};

/// A run on a terminal of its own, whose screen is the file `screen`.
fn on_a_terminal(admin: &Admin, manifest: &str) -> Child {
    let command = admin.config(manifest);
    let words =
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join("' '");
    let line = format!("'{}' '{words}' web1", command.get_program().display());
    let screen = fs::File::create(admin.path("screen")).unwrap();
    let mut script = Command::new(tool("script", "bsdutils"));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(screen).spawn().unwrap()
}

fn screen(admin: &Admin) -> String {
    fs::read_to_string(admin.path("screen")).unwrap_or_default()
}

#[track_caller]
fn wait(what: &str, admin: &Admin, mut there: impl FnMut() -> bool) {
    let come = wait_until(Duration::from_secs(20), || there().then_some(()));
    assert!(come.is_some(), "{what} did not come:\n{}", screen(admin));
}

#[test]
fn a_passphrase_is_asked_for_once() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    run(Command::new(tool("ssh-keygen", "openssh-client"))
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"])
        .arg(admin.key().private_file()));
    let mut child = on_a_terminal(&admin, "__note asked\n__note again\n");
    wait("the question", &admin, || screen(&admin).contains("Enter passphrase"));
    child.stdin.as_mut().unwrap().write_all(b"open sesame\n").unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{}", screen(&admin));
    assert_eq!(fs::read_to_string(sshd.path("/var/lib/notes")).unwrap(), "asked\nagain\n");
    assert_eq!(screen(&admin).matches("Enter passphrase").count(), 1, "{}", screen(&admin));
    admin.assert_no_connection();
}

#[test]
fn ctrl_c_ends_what_runs_on_the_target() {
    let admin = Admin::new(TYPES);
    let sshd = Sshd::start(admin.key());
    admin.knows(&[("web1", &sshd)], "");
    let slow = "__run slow <<'EOF'\n: > /var/lib/started\nsleep 303\nEOF\n";
    let mut child = on_a_terminal(&admin, slow);
    wait("code on the target", &admin, || sshd.path("/var/lib/started").exists());
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", screen(&admin));
    wait("the end of all commands", &admin, || sshd.processes().is_empty());
    admin.assert_no_connection();
    assert!(!sshd.path("/var/lib/cdist.lock").exists());
}
