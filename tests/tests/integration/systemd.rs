//! The staged units of the trigger server, as systemd reads them. Nothing is started, and no root is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cdist_tests::{
    lab::process::{run, tool},
    plugins::staged,
};
use tempfile::TempDir;

/// Exposure of the service in tenths, as `systemd-analyze security` counts; 110 is that of a unit without any setting.
/// What is left: the host's network, its root directory (read-only), Unix and netlink sockets, `/proc`.
const EXPOSURE: &str = "11";

fn staged_file(name: &str) -> PathBuf {
    let path = staged().join("share/cdist/systemd").join(name);
    assert!(path.is_file(), "{} is missing; run make build", path.display());
    path
}

/// The program of the service, where `make install` puts it.
fn program(unit: &str) -> &str {
    unit.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next()).unwrap()
}

/// The units in a directory of their own, with the staged program in place of the installed one.
fn units() -> (TempDir, [PathBuf; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let units = ["cdist-trigger.service", "cdist-trigger.socket"].map(|name| {
        let text = fs::read_to_string(staged_file(name)).unwrap();
        let path = dir.path().join(name);
        let here = staged().join("bin/cdist").canonicalize().unwrap();
        let text = if name.ends_with(".service") {
            text.replace(program(&text), here.to_str().unwrap())
        } else {
            text
        };
        fs::write(&path, text).unwrap();
        path
    });
    (dir, units)
}

fn analyze() -> Command {
    let mut command = Command::new(tool("systemd-analyze", "systemd"));
    command.stdin(Stdio::null()).env("SYSTEMD_COLORS", "0").env("LC_ALL", "C");
    command
}

#[test]
fn systemd_understands_the_units() {
    let (_dir, units) = units();
    let output = analyze().args(["verify", "--man=no"]).args(&units).output().unwrap();
    // A setting that it does not know is a warning only.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn the_service_can_do_little_besides_its_work() {
    let (_dir, [service, _]) = units();
    let threshold = format!("--threshold={EXPOSURE}");
    run(analyze().args(["security", "--offline=true", "--no-pager", &threshold]).arg(service));
}

#[test]
fn the_units_name_the_installed_program_and_fit_together() {
    let service = fs::read_to_string(staged_file("cdist-trigger.service")).unwrap();
    let socket = fs::read_to_string(staged_file("cdist-trigger.socket")).unwrap();
    let users = fs::read_to_string(staged_file("cdist.conf")).unwrap();
    for text in [&service, &socket, &users] {
        assert!(!text.contains("@bindir@"), "{text}");
    }
    let program = Path::new(program(&service));
    assert!(program.is_absolute() && program.ends_with("bin/cdist"), "{}", program.display());
    let value = |text: &str, key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).unwrap()
    };
    // The server's own default for running jobs.
    assert!(value(&service, "TimeoutStopSec").parse::<u32>().unwrap() > 60);
    let user = value(&service, "User");
    let home = value(&service, "WorkingDirectory");
    assert!(users.lines().any(|line| line.starts_with(&format!("u {user} ")) && line.ends_with(&home)));
    assert_eq!(home, format!("/var/lib/{}", value(&service, "StateDirectory")));
    assert_eq!(value(&socket, "ListenStream"), "3000");
}

#[test]
fn the_user_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(tool("systemd-sysusers", "systemd"));
    command.env("LC_ALL", "C").arg("--dry-run").arg(format!("--root={}", dir.path().display()));
    let output = command.arg(staged_file("cdist.conf")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("Creating user 'cdist'"), "{text}");
}
