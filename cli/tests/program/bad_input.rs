//! What the user or the configuration gets wrong: exit status, one clear message, and no effect on other hosts.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::lab::{Ended, Lab, signal};

#[test]
fn wrong_usage_is_status_2() {
    let lab = Lab::new();
    for (words, text) in [
        (&["config", "--nonsense", "h"][..], "unexpected argument '--nonsense'"),
        (&["config", "-p", "0", "h"], "must be a number of at least 1"),
        (&["config", "-j", "x", "h"], "must be a number of at least 1"),
        (&["config", "-i"], "a value is required for '--initial-manifest"),
        (&["config", "--colors", "blue", "h"], "invalid value 'blue'"),
        (&["config", "-R", "zip", "h"], "invalid value 'zip'"),
        (&["config", "-l", "x", "h"], "invalid value 'x'"),
        (&["config", "-l", "-2", "h"], "must be a number of at least -1"),
        (&["config", "--local", "--chroot", "h"], "cannot be used with"),
        (&["config", "--chroot", "--remote-exec", "x", "h"], "cannot be used with"),
        (&["nonsense"], "unrecognized subcommand"),
    ] {
        let mut command = lab.program();
        command.args(words);
        Ended::of(command).expect(2, text);
    }
    let mut command = lab.program();
    command.args(["config", "--local"]).arg(OsStr::from_bytes(b"web\xff"));
    Ended::of(command).expect(2, "invalid UTF-8");
}

#[test]
fn what_cannot_begin_is_status_1_and_one_line() {
    let lab = Lab::new();
    lab.write("latin1", b"web\xe9\n");
    lab.write("file", "");
    fs::create_dir(lab.path("home/dir")).unwrap();
    let latin1 = lab.path("latin1");
    let (latin1, dir, file) = (latin1.to_str().unwrap(), lab.path("home"), lab.path("file"));
    let (dir, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    for (words, text) in [
        (&["install", "h"][..], "'install' command is beta"),
        (&["config", "-t", "tag"], "'tag' argument of 'config' command is beta"),
        (&["config", "-A"], "'all_tagged_hosts' argument"),
        (&["config", "-R", "tgz", "h"], "'use_archiving' argument"),
        (&["config"], "Target host(s) missing"),
        (&["config", "-b", "-t"], "Target host tag(s) missing"),
        (&["config", ""], "a host name must not be empty"),
        (&["config", "-i", "-", "-f", "-"], "Cannot read both, manifest and host file, from stdin"),
        (&["config", "-f", "/proc/none"], "/proc/none"),
        (&["config", "-f", dir], dir),
        (&["config", "-f", latin1], latin1),
        (&["config", "-I", file, "h"], file),
    ] {
        let mut command = lab.program();
        command.args(words);
        let ended = Ended::of(command).expect(1, text);
        assert!(ended.err.starts_with("ERROR: cdist: ") && ended.err.lines().count() == 1, "{}", ended.err);
        assert!(ended.out.is_empty());
    }
}

#[test]
fn settings_that_are_wrong_are_named() {
    let lab = Lab::new();
    for (text, error) in [
        ("[OTHER]\n", "Invalid section: OTHER."),
        ("[GLOBAL]\nnonsense = 1\n", "Invalid option: nonsense."),
        ("[GLOBAL]\nverbosity = loud\n", "Invalid verbosity value: loud"),
        ("[GLOBAL]\nbeta = perhaps\n", "Invalid beta boolean value: perhaps"),
        ("[GLOBAL]\njobs = -2\n", "Invalid jobs value: -2 < -1"),
        ("jobs = 1\n", "Invalid line: jobs = 1"),
    ] {
        lab.write("cfg", text);
        let ended = Ended::of(lab.config(["-g", lab.path("cfg").to_str().unwrap(), "h"])).expect(1, error);
        assert!(ended.err.contains(lab.path("cfg").to_str().unwrap()), "{}", ended.err);
    }
    let mut command = lab.config(["h"]);
    command.env("__cdist_log_level", "loud");
    Ended::of(command).expect(1, "Invalid __cdist_log_level value: loud");
    let mut command = lab.config(["h"]);
    command.env_remove("HOME");
    Ended::of(command).expect(1, "No homedir setup and no cache dir location given");
    let mut command = lab.program();
    command.args(["config", "--local", "-r", "/", "h"]);
    Ended::of(command).expect(1, "'/' cannot be the work directory on the target");
}

#[test]
fn an_initial_manifest_that_is_no_file_is_named() {
    let lab = Lab::new();
    Ended::of(lab.config(["web1"]))
        .expect(1, "Initial manifest missing: '")
        .expect(1, "hint: make this file");
    fs::create_dir(lab.path("conf/manifest/init")).unwrap();
    Ended::of(lab.config(["web1"])).expect(1, "conf/manifest/init' is no regular file");
    Ended::of(lab.config(["-i", "/dev/null", "web1"])).expect(1, "'/dev/null' is no regular file");
    symlink("/proc/none", lab.path("link")).unwrap();
    let link = lab.path("link");
    Ended::of(lab.config(["-i", link.to_str().unwrap(), "web1"])).expect(1, "link -> /proc/none'");
}

#[test]
fn a_script_that_fails_is_named_with_its_end_and_its_words() {
    let lab = Lab::new();
    lab.run("echo said; echo words >&2; exit 7")
        .expect(1, "exit status 7\n\nError processing initial manifest\n")
        .expect(1, "init:stdout\n-----------\nsaid\n")
        .expect(1, "web1: FAILED after ")
        .expect(1, "initial manifest: exit status 7: words\n");
    for (script, name) in
        [("manifest", "manifest"), ("gencode-local", "gencode-local"), ("gencode-remote", "gencode-remote")]
    {
        lab.write(format!("conf/type/__x/{script}"), "echo words >&2; exit 8");
        lab.run(":\n__x y\n")
            .expect(1, "Error processing object '__x/y'\n")
            .expect(1, &format!("type: {}\nline: 2\n", lab.path("conf/type/__x").display()))
            .expect(1, &format!("source: {}\n", lab.path("conf/manifest/init").display()))
            .expect(
                1,
                &format!(
                    "failed script: {name}, exit status 8\nfiles of the run: {}",
                    lab.path("tmp").display()
                ),
            )
            .expect(1, &format!("object '__x/y': {name}: exit status 8: words\n"));
        fs::remove_file(lab.path(format!("conf/type/__x/{script}"))).unwrap();
    }
    for place in ["local", "remote"] {
        lab.write(format!("conf/type/__x/gencode-{place}"), "echo 'echo words >&2; kill -9 $$'");
        lab.run("__x y\n")
            .expect(1, &format!("object '__x/y': code-{place}: "))
            .expect(1, "words\n")
            .expect(1, "hint: the code that failed is ");
        fs::remove_file(lab.path(format!("conf/type/__x/gencode-{place}"))).unwrap();
    }
    lab.write("conf/explorer/e", "echo words >&2; exit 9");
    lab.run("")
        .expect(1, "Error processing global explorer 'e'\n")
        .expect(1, "explorer 'e': exit status 9: words\n");
    fs::remove_file(lab.path("conf/explorer/e")).unwrap();
    lab.write("conf/type/__x/explorer/e", "echo words >&2; exit 9");
    lab.run("__x y\n").expect(1, "explorer 'e' of object '__x/y': exit status 9: words\n");
}

#[test]
fn a_target_that_cannot_be_reached_is_one_failed_host() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "");
    lab.write("conf/explorer/e", "");
    let run = |exec: &str, copy: &str| {
        let mut command = lab.program();
        command
            .args(["config", "--remote-exec", exec, "--remote-copy", copy, "-c"])
            .arg(lab.path("conf"))
            .arg("web1");
        Ended::of(command)
    };
    run("false", "false").expect(1, "web1: FAILED").expect(1, "exit status 1");
    run("/proc/none", "false")
        .expect(1, "starting /proc/none")
        .expect(1, "No such file or directory")
        .expect(1, "by hand");
    run("true", "false").expect(1, "exit status 1");
    lab.write("exec", "not a program");
    run(lab.path("exec").to_str().unwrap(), "false").expect(1, "Permission denied");
}

#[test]
fn one_host_that_fails_leaves_the_others_alone() {
    let lab = Lab::new();
    lab.write("conf/manifest/init", "[ \"$__target_host\" != bad ] || { echo no >&2; exit 3; }\n");
    // A dry run has a directory of its own for each host on this one target.
    for parallel in [&["-n"][..], &["-n", "-p", "3"]] {
        let words = [parallel, &["one", "bad", "two"]].concat();
        let ended = Ended::of(lab.config(&words))
            .expect(1, "bad: FAILED after ")
            .expect(1, "initial manifest: exit status 3: no\nERROR: cdist: Failed to configure the following hosts: bad\n");
        assert!(!ended.err.contains("\none: "), "{}", ended.err);
        let words = [parallel, &["--json", "-q", "one", "bad", "two"]].concat();
        let ended = Ended::of(lab.config(&words));
        let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let states: Vec<&str> =
            report["hosts"].as_array().unwrap().iter().map(|h| h["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["done", "failed", "done"]);
        assert_eq!(report["exit_status"], 1);
        assert_eq!(report["hosts"][1]["error"]["exit_status"], 3);
        assert_eq!(ended.err, "", "-q");
    }
}

#[test]
fn a_cycle_and_what_never_comes_are_named() {
    let lab = Lab::new();
    lab.run("require=__x/b __x a\nrequire=__x/a __x b\n")
        .expect(1, "Cycle detected in object dependencies:\n__x/a -> __x/b -> __x/a!")
        .expect(1, "hint: take one of these requirements back");
    lab.run("require=__x/none __x a\n")
        .expect(1, "could not be resolved:\n__x/a requires:\n        __x/none\n")
        .expect(1, "hint: declare the objects");
}

#[test]
fn a_place_in_the_cache_that_cannot_be_taken_fails_the_host() {
    let lab = Lab::new();
    lab.write("home/.cdist/cache", "a file");
    lab.run("").expect(1, "home/.cdist/cache").expect(1, "web1: FAILED");
}

#[test]
fn a_type_call_that_is_wrong_says_why() {
    let lab = Lab::new();
    lab.write("conf/type/__p/parameter/required", "need\n");
    lab.write("conf/type/__p/parameter/optional", "other\nreq\nreq2\n");
    lab.write("conf/type/__p/parameter/boolean", "flag\n");
    lab.write("conf/type/__s/singleton", "");
    let long = "x".repeat(256);
    let deep = "y/".repeat(3000);
    for (call, text) in [
        ("__p a --need 1 --nonsense", "__p: error: unrecognized arguments: --nonsense"),
        ("__p a", "__p: error: the following arguments are required: --need"),
        ("__p a --need", "argument --need: expected one argument"),
        ("__p a b --need 1", "unrecognized arguments: b"),
        ("__p --need 1", "the following arguments are required: object_id"),
        ("__p a --need 1 --re 2", "ambiguous option: --re could match --req, --req2"),
        ("__p a --need 1 --flag=1", "argument --flag: ignored explicit argument '1'"),
        ("__s x", "__s: error: unrecognized arguments: x"),
        ("__nonsense x", "__nonsense: not found"),
        ("__x a//b", "object_id may not contain //: a//b"),
        ("__x .", "object_id may not be a .: ."),
        ("__x /", "object_id may not be a /: /"),
        ("__x ''", "Type __x requires object id (is not a singleton type)"),
        ("__x ../y", "'..'"),
        ("__x \"a/$__cdist_object_marker\"", "object_id may not contain '.cdist-"),
        (&format!("__x {long}"), "object_id has a part longer than 255 bytes"),
        (&format!("__x {deep}z"), "Error creating directories for cdist object"),
        (
            "require=__none/y __x a",
            "__x/a requires object __none/y, but type __none does not exist. Defined at ",
        ),
        ("require=__x __x a", "__x/a requires object __x, but "),
        ("require=__s/y __x a", "singleton objects can't have an object_id"),
        ("__p a --need 1\n__p a --need 2", "Object __p/a already exists with conflicting parameters:\n"),
        ("__x a </", "Failed to read from stdin: Is a directory"),
        ("unset __global; __x a", "Emulator requires the environment variable __global to be setup"),
    ] {
        lab.run(format!("{call}\n")).expect(1, text).expect(1, "Error processing initial manifest");
    }
}

/// Bytes that are no text, line ends and everything that shells are fond of.
#[test]
fn any_bytes_go_through_names_values_and_output() {
    let lab = Lab::new();
    let odd = b"a b'\"$(touch x)`\\\n;\xff\xc3\xa9*";
    lab.write(
        std::path::Path::new("conf/type").join(OsStr::from_bytes(b"__\xe9")).join("manifest"),
        "__x from-odd\n",
    );
    lab.write("conf/type/__x/parameter/optional", "v\n");
    lab.write("conf/type/__x/explorer/e", "cat \"$__object/parameter/v\" 2>/dev/null || :");
    lab.write("conf/type/__x/gencode-remote", "echo 'printf \"\\377 words\" >&2; exit 3'");
    lab.write("conf/explorer/raw", "printf '\\377\\000\\n'");
    lab.write("conf/type/__x/manifest", "printf '\\377\\n' >>\"$__messages_out\"");
    let mut manifest = b"__\xe9 odd\nv='".to_vec();
    manifest.extend_from_slice(&odd.map(|b| if b == b'\'' { b'"' } else { b }));
    manifest.extend_from_slice(b"'\n__x \"$v\" --v \"$v\"\n");
    let ended = lab.run(&manifest).expect(1, "\u{fffd} words").expect(1, "code-remote: exit status 3");
    // A name with a line end must not make two lines of one.
    let last = ended.err.lines().find(|line| line.starts_with("web1: FAILED")).unwrap();
    assert!(last.ends_with("\u{fffd} words"), "{last}");
    let ended = Ended::of(lab.config(["--json", "web1"]));
    assert!(serde_json::from_str::<serde_json::Value>(&ended.out).is_ok(), "{}", ended.out);
    assert!(!lab.path("x").exists() && !std::path::Path::new("x").exists());

    // A configuration directory and a manifest whose names are no text.
    let dir = lab.path(OsStr::from_bytes(b"conf\xff"));
    fs::create_dir_all(dir.join("type/__y")).unwrap();
    fs::write(dir.join(OsStr::from_bytes(b"m\xfe")), "__y z\n").unwrap();
    let mut command = lab.config(["-c"]);
    command.arg(&dir).arg("-i").arg(dir.join(OsStr::from_bytes(b"m\xfe"))).arg("-v").arg("web1");
    Ended::of(command).expect(0, "web1: 1 object, 0 changed");
}

#[test]
fn a_type_that_declares_itself_ends() {
    let lab = Lab::new();
    // The same object: it waits for itself.
    lab.write("conf/type/__x/manifest", "__x same\n");
    lab.run("__x same\n").expect(1, "Cycle detected in object dependencies:\n__x/same -> __x/same!");
    // Another one each time.
    lab.write("conf/type/__x/manifest", "__x \"$__object_id/x\"\n");
    lab.run("__x 0\n")
        .expect(1, "is declared below 100 other objects")
        .expect(1, "does the manifest of __x declare another __x");
    // By way of another type.
    lab.write("conf/type/__x/manifest", "__y \"$__object_id/y\"\n");
    lab.write("conf/type/__y/manifest", "__x \"$__object_id/x\"\n");
    lab.run("__x 0\n").expect(1, "is declared below 100 other objects");
}

/// Deep, but not endless: it must go on working.
#[test]
fn fifty_levels_are_fine() {
    let lab = Lab::new();
    lab.write("conf/type/__x/manifest", "[ \"$__object_id\" -eq 0 ] || __x $((__object_id - 1))\n");
    lab.write("conf/manifest/init", "__x 50\n");
    Ended::of(lab.config(["-v", "web1"])).expect(0, "web1: 51 objects");
}

#[test]
fn a_type_whose_manifest_is_no_file_is_warned_of() {
    let lab = Lab::new();
    fs::create_dir(lab.path("conf/type/__x/manifest")).unwrap();
    lab.run("__x y\n").expect(0, "conf/type/__x/manifest: it is no regular file");
}

#[test]
fn an_explorer_that_is_a_directory_is_warned_of() {
    let lab = Lab::new();
    lab.write("conf/explorer/sub/file", "");
    lab.write("conf/type/__x/explorer/sub/file", "");
    lab.run("__x y\n").expect(0, "Ignoring invalid explorer 'sub' at ");
}

#[test]
fn parts_of_a_configuration_that_are_no_directories() {
    let lab = Lab::new();
    // Types that are none are left out, with a word about it.
    lab.write("conf/type/README", "");
    lab.run("").expect(0, "README");
    fs::remove_dir_all(lab.path("conf/type")).unwrap();
    lab.write("conf/type", "a file");
    let ended = lab.run("");
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

#[test]
fn a_value_that_the_kernel_does_not_take_is_explained() {
    let lab = Lab::new();
    lab.write("conf/type/__x/parameter/optional", "v\n");
    let call = |length: usize| format!("v=$(head -c {length} /dev/zero | tr '\\0' x)\n__x y --v \"$v\"\n");
    lab.run(call(100 * 1024)).expect(0, "");
    // 128 KiB is what Linux takes as one argument.
    lab.run(call(128 * 1024)).expect(1, "Argument list too long").expect(1, "hint: 126 and 127 are");
    // Standard input has no such limit.
    lab.write("conf/type/__x/gencode-local", "wc -c <\"$__object/stdin\" >&2; exit 1");
    lab.run("head -c 3000000 /dev/zero | __x y\n").expect(1, "3000000");
}

/// No script reads the list of hosts from standard input, and none that reads it hangs.
#[test]
fn scripts_that_read_their_input_end() {
    let lab = Lab::new();
    lab.write("conf/explorer/e", "cat");
    lab.write("conf/type/__x/explorer/e", "cat");
    lab.write("conf/type/__x/manifest", "cat");
    lab.write("conf/type/__x/gencode-local", "cat; echo 'cat; read -r line || :'");
    lab.write("conf/type/__x/gencode-remote", "cat; echo 'cat; read -r line || :'");
    lab.write("conf/manifest/init", "__x y\ncat\n");
    let mut command = lab.config(["-v", "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"one\ntwo\n").unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    ended.expect(0, "one: 1 object, 1 changed").expect(0, "two: 1 object, 1 changed");
}

#[test]
fn signals_have_their_exit_statuses_and_end_everything() {
    for (name, status) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        for place in ["gencode-remote", "code"] {
            let lab = Lab::new();
            // As many processes as a run that has got out of hand, but not without an end.
            let bomb = format!(
                "echo $$ >'{0}/pid'; i=0; while [ $i -lt 100 ]; do sleep 300 & i=$((i + 1)); done; : >'{0}/reached'; wait",
                lab.path("tmp").display()
            );
            let script = if place == "code" { format!("cat <<'EOF'\n{bomb}\nEOF\n") } else { bomb };
            lab.write("conf/type/__x/gencode-remote", script);
            lab.write("conf/manifest/init", "__x y\n");
            let mut command = lab.config(["--json", "one", "two"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            lab.wait_for("tmp/reached");
            let begin = Instant::now();
            signal(&child, name);
            let ended = Ended::from(child.wait_with_output().unwrap());
            assert!(begin.elapsed() < Duration::from_secs(10));
            let ended = ended.expect(status, "one: stopped");
            let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
            assert_eq!(report["exit_status"], status);
            assert_eq!(report["hosts"][1]["state"], "cancelled");
            let group = fs::read_to_string(lab.path("tmp/pid")).unwrap().trim().to_owned();
            assert!(is_empty_group(&group), "processes of group {group} are left after {name} in {place}");
        }
    }
}

/// True if no process of the group is left, soon.
fn is_empty_group(group: &str) -> bool {
    for _ in 0..50 {
        let alive = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the name in parentheses: state, parent, group. A zombie is gone as far as it can.
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            let fields: Vec<&str> = rest.split(' ').collect();
            fields.get(2) == Some(&group) && fields.first() != Some(&"Z")
        });
        if !alive {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}
