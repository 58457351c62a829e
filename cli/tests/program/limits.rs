//! What runs out: memory, disk space, permission.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Stdio},
};

use crate::lab::{Ended, Lab};
use nix::sys::resource::{UsageWho, getrusage};

/// What the scripts of a run say, in bytes.
const OUTPUT: u64 = 1 << 28;
/// The most memory of any process of the run, in KiB.
const MEMORY_MAX: i64 = 128 * 1024;

/// Each test is a process of its own, so its children are those of one run.
fn run_with_much_output(lab: &Lab, script: &str) -> Ended {
    lab.write(
        format!("conf/type/__x/{script}"),
        format!("echo 'head -c {OUTPUT} /dev/zero | tr \"\\\\0\" x; exit 5'"),
    );
    lab.write("conf/manifest/init", "__x y\n");
    let ended = Ended::of(lab.config(["--output-max", "1G", "web1"])).expect(1, "exit status 5");
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(used < MEMORY_MAX, "{used} KiB of memory");
    ended
}

fn expect_the_end_of_it(lab: &Lab, ended: &Ended, code: &str) {
    let left_out = OUTPUT - 64 * 1024;
    assert!(ended.err.len() < 80_000, "{} bytes", ended.err.len());
    let note = format!("\n[{left_out} bytes before this are in {}", lab.path("tmp").display());
    assert!(ended.err.contains(&note), "{}", ended.err.get(..2000).unwrap_or(&ended.err));
    let path =
        ended.err.split(" bytes before this are in ").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    assert!(path.ends_with(&format!("stdout/{code}")), "{path}");
    assert_eq!(fs::metadata(path).unwrap().len(), OUTPUT);
}

#[test]
fn much_output_of_code_on_the_target_is_kept_on_disk() {
    let lab = Lab::new();
    let ended = run_with_much_output(&lab, "gencode-remote");
    expect_the_end_of_it(&lab, &ended, "code-remote");
}

#[test]
fn much_output_of_code_on_this_machine_is_kept_on_disk() {
    let lab = Lab::new();
    let ended = run_with_much_output(&lab, "gencode-local");
    expect_the_end_of_it(&lab, &ended, "code-local");
}

#[test]
fn much_code_is_shown_by_a_dry_run_without_much_memory() {
    let lab = Lab::new();
    lab.write("conf/type/__x/gencode-local", "echo :; head -c 300000000 /dev/zero | tr '\\0' '#'");
    lab.write("conf/manifest/init", "__x y\n");
    let mut child = lab.config(["-n", "--output-max", "1G", "web1"]).stdout(Stdio::piped()).spawn().unwrap();
    let length = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(length > 300_000_000);
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(used < MEMORY_MAX, "{used} KiB of memory");
}

#[test]
fn a_script_that_prints_without_end_is_stopped() {
    for (file, script, what) in [
        ("conf/explorer/e", "exec yes", "global explorer"),
        ("conf/explorer/e", "exec yes >&2", "global explorer"),
        ("conf/manifest/init", "yes", "initial manifest"),
        ("conf/type/__x/gencode-local", "yes", "object '__x/y'"),
        ("conf/type/__x/gencode-remote", "echo 'yes; :'", "object '__x/y'"),
        ("conf/type/__x/gencode-local", "echo 'yes >&2; :'", "object '__x/y'"),
    ] {
        let lab = Lab::new();
        lab.write("conf/manifest/init", "__x y\n");
        lab.write(file, script);
        let ended = Ended::of(lab.config(["--output-max", "100K", "web1"]));
        let ended =
            ended.expect(1, "it printed more than 102400 bytes, which is what --output-max allows a script");
        assert!(ended.err.contains(what), "{what}:\n{}", ended.err);
    }
}

#[test]
fn what_a_killed_run_left_is_waited_for_and_goes() {
    let lab = Lab::new();
    let (began, trace) = (lab.path("began"), lab.path("trace"));
    lab.write(
        "conf/manifest/init",
        format!(
            "echo begin >>'{1}'; : >'{0}'; while [ ! -e '{2}' ]; do sleep 0.05; done; echo end >>'{1}'\n",
            began.display(),
            trace.display(),
            lab.path("go").display()
        ),
    );
    let mut killed = lab.config(["web1"]).spawn().unwrap();
    lab.wait_for("began");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_ne!(fs::read_dir(lab.path("tmp")).unwrap().count(), 0);
    let mut next = lab.config(["web1"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(next.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("Waiting for the scripts that a killed cdist left"), "{line}");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "begin\n");
    lab.write("go", "");
    said.read_to_string(&mut line).unwrap();
    assert!(next.wait().unwrap().success(), "{line}");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "begin\nend\nbegin\nend\n", "{line}");
    assert_eq!(fs::read_dir(lab.path("tmp")).unwrap().count(), 0);
}

#[test]
fn nobody_reads_the_printed_code() {
    let lab = Lab::new();
    lab.write("conf/type/__x/gencode-local", "echo :; head -c 3000000 /dev/zero | tr '\\0' '#'");
    lab.write("conf/manifest/init", "__x y\n");
    let mut child = lab.config(["-n", "web1"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""));
}

/// A file system of 256 KiB in a mount name space of its own.
#[test]
fn privileged_a_full_disk_is_named() {
    for place in ["tmp", "home", "remote"] {
        let lab = Lab::new();
        fs::create_dir_all(lab.path(place)).unwrap();
        lab.write("conf/explorer/e", "head -c 400000 /dev/zero | tr '\\0' x");
        lab.write("conf/type/__x/parameter/optional", "v\n");
        lab.write("conf/type/__x/gencode-remote", "echo :");
        lab.write(
            "conf/manifest/init",
            "head -c 400000 /dev/zero | __x big\n__x y --v \"$(head -c 90000 /dev/zero | tr '\\0' x)\"\n",
        );
        if place == "remote" {
            let values = (0..5).map(|i| format!("__x {i} --v \"$(head -c 90000 /dev/zero | tr '\\0' x)\"\n"));
            lab.write("conf/manifest/init", values.collect::<String>());
            fs::remove_file(lab.path("conf/explorer/e")).unwrap();
        }
        // The work directory cannot be what is mounted upon, for it is made anew.
        let program = lab.config_in("remote/dir", ["web1"]);
        let mut command = Command::new("unshare");
        command
            .args(["-m", "/bin/sh", "-c", "mount -t tmpfs -o size=256k none \"$0\" && exec \"$@\""])
            .arg(lab.path(place));
        command.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let ended = Ended::of(command).expect(1, "No space left on device").expect(1, "web1: FAILED after ");
        assert!(place == "remote" || ended.err.contains("hint: make room there"), "{place}: {}", ended.err);
    }
}

#[test]
fn privileged_a_script_that_may_not_be_read_is_named() {
    let lab = Lab::new();
    let nobody = 65534;
    lab.write("conf/manifest/init", "__x y\n");
    lab.write("conf/type/__x/manifest", ":\n");
    fs::set_permissions(lab.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    for dir in ["home", "tmp", "conf", "conf/manifest", "conf/type", "conf/type/__x"] {
        fs::set_permissions(lab.path(dir), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(lab.path(dir), Some(nobody), Some(nobody)).unwrap();
    }
    for file in ["conf/manifest/init", "conf/type/__x/manifest"] {
        fs::set_permissions(lab.path(file), fs::Permissions::from_mode(0o000)).unwrap();
        let mut command = lab.config_in("home/remote", ["web1"]);
        command.uid(nobody).gid(nobody);
        Ended::of(command).expect(1, "Permission denied").expect(1, file);
        fs::set_permissions(lab.path(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
}
