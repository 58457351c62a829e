//! `cdist install` works on a PreOS and nowhere else, unless it is told to.

use std::process::{Command, Output};

use crate::lab::Lab;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("conf/type/__x/install", "");
    lab.write("conf/type/__x/gencode-remote", format!("echo 'echo ran >>{}'", lab.path("ran").display()));
    lab.write("conf/manifest/init", "__x a\n");
    lab
}

fn install(lab: &Lab, words: &[&str]) -> Command {
    let mut command = lab.program();
    command.args(["install", "-b", "--local", "-c"]).arg(lab.path("conf"));
    command.arg("-r").arg(lab.path("remote")).args(words).arg("web1");
    command
}

fn refused(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("web1 is no PreOS: it"), "{stderr}");
    assert!(stderr.contains("; nothing was done there"), "{stderr}");
    assert!(stderr.contains("--any-target installs over what is there"), "{stderr}");
}

#[test]
fn this_machine_is_no_preos_and_nothing_is_done_on_it() {
    let lab = lab();
    refused(&install(&lab, &[]).output().unwrap());
    for no in ["", "no", "maybe"] {
        refused(&install(&lab, &[]).env("CDIST_INSTALL_ANY_TARGET", no).output().unwrap());
    }
    assert!(!lab.path("ran").exists() && !lab.path("remote").exists());

    // Nothing to refuse: a configuration, and a rehearsal, which says what would be.
    assert!(lab.config(["web1"]).output().unwrap().status.success());
    let rehearsal = install(&lab, &["-n"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&rehearsal.stderr);
    assert!(rehearsal.status.success(), "{stderr}");
    assert!(stderr.contains("An install would be refused: web1 is no PreOS: "), "{stderr}");
    assert!(!lab.path("ran").exists());
}

#[test]
fn any_target_is_said_by_an_option_or_in_the_environment() {
    let lab = lab();
    assert!(install(&lab, &["--any-target"]).output().unwrap().status.success());
    let mut command = install(&lab, &[]);
    assert!(command.env("CDIST_INSTALL_ANY_TARGET", "yes").output().unwrap().status.success());
    assert_eq!(std::fs::read_to_string(lab.path("ran")).unwrap(), "ran\nran\n");
}
