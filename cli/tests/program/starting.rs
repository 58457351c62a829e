//! Scripts that cannot be started, or not by what their first line says: the reason is told.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::lab::{Ended, Lab};

/// Runs a configuration with this file in place of an empty one.
fn run(file: &str, content: &[u8], mode: u32) -> Ended {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "__x a\n");
    lab.write(file, content);
    fs::set_permissions(lab.path(file), fs::Permissions::from_mode(mode)).unwrap();
    Ended::of(lab.config(["web1"]))
}

#[test]
fn a_local_script_that_cannot_be_started_says_why() {
    let foreign: &[u8] = if cfg!(target_arch = "s390x") {
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"
    } else {
        b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16"
    };
    let cases: [(&[u8], u32, &str); 8] = [
        (b"#!/bin/sh\r\necho\r\n", 0o755, "carriage return"),
        (b"#!/bin/sh -e\r\necho\r\n", 0o755, "carriage return"),
        (b"#!/usr/bin/env sh\r\necho\r\n", 0o755, "carriage return"),
        (b"cd /proc/none/at/all\r\n", 0o644, "carriage return"),
        (b"#!/no/such/interpreter\n", 0o755, "/no/such/interpreter"),
        (foreign, 0o755, "and this machine is"),
        (b"no first line\n", 0o755, "does not begin with #!"),
        (b"#!/usr/bin/python3\nimport nothing\n", 0o644, "names python3"),
    ];
    for (content, mode, reason) in cases {
        for file in ["conf/manifest/init", "conf/type/__x/manifest", "conf/type/__x/gencode-local"] {
            let ended = run(file, content, mode);
            assert_eq!(ended.status, Some(1), "{file}: {}", ended.err);
            assert!(ended.err.contains(reason), "{file}: {reason}: {}", ended.err);
            // Also where only the line of the summary is read.
            let last = ended.err.lines().find(|line| line.contains("FAILED")).unwrap_or_default();
            assert!(last.contains(reason), "{file}: {reason}: {last}");
        }
    }
}

#[test]
fn a_script_for_the_target_that_cannot_be_run_says_why() {
    for (content, reason) in [
        (&b"#!/bin/sh\r\ncd /proc/none\r\n"[..], "carriage return"),
        (b"#!/usr/bin/env python3\nimport os\n", "names python3"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0", "it is a program"),
    ] {
        for file in ["conf/explorer/own", "conf/type/__x/explorer/own"] {
            let ended = run(file, content, 0o755);
            assert_eq!(ended.status, Some(1), "{file}: {}", ended.err);
            assert!(ended.err.contains(reason), "{file}: {reason}: {}", ended.err);
        }
    }
}

#[test]
fn programs_that_lead_to_a_target_say_why_they_cannot_be_started() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "");
    lab.write("exec", "#!/bin/sh\r\n");
    fs::set_permissions(lab.path("exec"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = lab.program();
    command.args(["config", "--remote-copy", "cp", "-c"]).arg(lab.path("conf"));
    command.arg("--remote-exec").arg(lab.path("exec")).arg("web1");
    let ended = Ended::of(command);
    assert_eq!(ended.status, Some(1));
    assert!(ended.err.contains("carriage return"), "{}", ended.err);
}

/// What is started gets the limit that this program was started with.
#[test]
fn the_limit_of_open_files_is_raised_and_not_passed_on() {
    let lab = Lab::new();
    // The limit is set from outside, once the script has started.
    lab.write(
        "conf/manifest/init",
        "tries=0\nwhile [ \"$(ulimit -Sn)\" != 200 ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.05; done\n\
         ulimit -Sn >&2\ngrep 'open files' /proc/$PPID/limits >&2\n",
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 200 && exec \"$@\"", "sh"]).arg(env!("CARGO_BIN_EXE_cdist"));
    command.args(["config", "--local", "-c"]).arg(lab.path("conf"));
    command.arg("-r").arg(lab.path("remote")).arg("web1");
    command.env("TMPDIR", lab.path("tmp")).env("HOME", lab.path("home"));
    let ended = Ended::of(command);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let hard = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().1;
    let mut saved = String::new();
    for path in walk(&lab.path("home")) {
        if path.ends_with("stderr/init") {
            saved = fs::read_to_string(path).unwrap();
        }
    }
    let words: Vec<&str> = saved.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"200"), "{saved}");
    assert_eq!(words.iter().filter(|word| **word == hard.to_string()).count(), 2, "{saved}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(walk(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all
}
