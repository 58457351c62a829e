//! A dry run shows what would run and leaves the target as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::lab::{Lab, signal};

/// A target directory and a configuration whose objects would change it.
fn new_lab() -> Lab {
    let lab = Lab::new();
    fs::create_dir_all(lab.path("target/etc")).unwrap();
    lab.write("conf/explorer/name", "echo explored");
    lab.write("conf/type/__set/parameter/required", "text\n");
    lab.write("conf/type/__set/explorer/is", "cat \"$__object/parameter/text\"");
    let etc = lab.path("target/etc");
    let gencode = format!(r#"echo "cp \"\$__object/parameter/text\" '{}/$__object_id'""#, etc.display());
    lab.write("conf/type/__set/gencode-remote", gencode);
    lab.write("conf/type/__here/gencode-local", "echo 'echo local >&2'; echo 'echo more >&2'");
    lab.write("conf/manifest/init", "__set a --text one\n__set b --text two\n__here x\n");
    lab
}

fn command(lab: &Lab, words: &[&str]) -> Command {
    lab.config_in("target/lib/cdist", [words, &["host"]].concat())
}

fn run(lab: &Lab, words: &[&str]) -> Output {
    command(lab, words).output().unwrap()
}

/// A target with nothing but busybox, in which not even the parents of the work directory are there.
#[test]
fn privileged_a_bare_root_stays_as_it_was() {
    let lab = new_lab();
    let root = lab.path("root it's");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = ["sh", "rm", "rmdir", "mkdir", "chmod", "cat", "od", "ls", "cp"];
    for applet in applets {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::create_dir(root.join("dev")).unwrap();
    let made = Command::new("mknod").arg(root.join("dev/null")).args(["c", "1", "3"]).status().unwrap();
    assert!(made.success());
    let before = tree(&root);
    for exists in [false, true] {
        for words in [&["-n"][..], &["-n", "--diff", "-j", "3"]] {
            let mut command = lab.program();
            command.args(["config", "--chroot", "-c"]).arg(lab.path("conf")).args(words).arg(&root);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("__set/a, on the target:"));
            if !exists {
                assert_eq!(tree(&root), before, "{words:?}");
            }
        }
        fs::create_dir_all(root.join("var/lib/cdist/of/an/earlier/run")).unwrap();
    }
    for entry in fs::read_dir(root.join("var/lib")).unwrap() {
        assert_eq!(entry.unwrap().file_name(), "cdist");
    }
    assert!(root.join("var/lib/cdist/of/an/earlier/run").is_dir());
}

/// Two programs of the user as the way to the target.
#[test]
fn custom_commands_leave_the_target_as_it_was() {
    let lab = new_lab();
    lab.write("exec", "#!/bin/sh\nshift\nexec /bin/sh -c \"$*\"\n");
    lab.write("copy", "#!/bin/sh\nfor last; do :; done\nwhile [ $# -gt 1 ]; do cp -R \"$1\" \"${last#*:}\" || exit; shift; done\n");
    for program in ["exec", "copy"] {
        fs::set_permissions(lab.path(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let before = tree(&lab.path("target"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
    command
        .args(["config", "-n", "--diff", "-c"])
        .arg(lab.path("conf"))
        .arg("-r")
        .arg(lab.path("target/new/cdist"));
    command.arg("--remote-exec").arg(lab.path("exec")).arg("--remote-copy").arg(lab.path("copy")).arg("web1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("__set/a, on the target:"));
    assert_eq!(tree(&lab.path("target")), before);
}

/// Every path below a directory with its mode, owner and content; of files the time of the last change too.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = path.symlink_metadata().unwrap();
        let (content, time) = if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            (Vec::new(), 0)
        } else if meta.is_symlink() {
            (fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(), 0)
        } else if meta.is_file() {
            (fs::read(&path).unwrap(), meta.mtime_nsec() + meta.mtime())
        } else {
            (Vec::new(), 0)
        };
        all.insert(path, (meta.permissions().mode(), meta.uid(), time, content));
    }
    all
}

#[test]
fn the_target_stays_as_it_was() {
    let lab = new_lab();
    // First without, then with the work directory of a real run.
    for real_run_first in [false, true] {
        if real_run_first {
            assert!(run(&lab, &[]).status.success());
            assert!(lab.path("target/lib/cdist/conf").is_dir());
            lab.write("conf/manifest/init", "__set a --text other\n__set new --text one\n");
        }
        let before = tree(&lab.path("target"));
        for jobs in [&["-n"][..], &["-n", "-j", "2"], &["-n", "--diff"], &["-n", "--json"]] {
            let output = run(&lab, jobs);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("__set/a"));
            assert_eq!(tree(&lab.path("target")), before, "{jobs:?}");
        }
    }
}

#[test]
fn after_a_failure_and_a_signal_too_the_target_is_as_it_was() {
    let lab = new_lab();
    let before = tree(&lab.path("target"));
    lab.write("conf/type/__set/gencode-remote", "exit 9");
    assert_eq!(run(&lab, &["-n"]).status.code(), Some(1));
    assert_eq!(tree(&lab.path("target")), before);

    lab.write("conf/type/__set/gencode-remote", format!("touch {}; sleep 60", lab.path("reached").display()));
    let mut child = command(&lab, &["-n"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    lab.wait_for("reached");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(tree(&lab.path("target")), before);
    assert_eq!(fs::read_dir(lab.path("tmp")).unwrap().count(), 1, "only the files of the failed run");
}

#[test]
fn the_code_is_printed_with_object_and_machine() {
    let lab = new_lab();
    let output = run(&lab, &["-n"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let etc = lab.path("target/etc");
    let expected = format!(
        "# host: __set/a, on the target:\ncp \"$__object/parameter/text\" '{0}/a'\n\n\
         # host: __set/b, on the target:\ncp \"$__object/parameter/text\" '{0}/b'\n\n\
         # host: __here/x, on this machine:\necho local >&2\necho more >&2\n\n",
        etc.display()
    );
    assert_eq!(text, expected);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));

    lab.write("conf/manifest/init", "");
    assert_eq!(run(&lab, &["-n"]).stdout, b"# host: nothing would run\n");
}

#[test]
fn secrets_are_shown_only_if_asked_for() {
    let lab = new_lab();
    lab.write("conf/type/__here/gencode-local", "echo 'echo xyzzy'; : >\"$__object/secret\"");
    for words in [&["-n"][..], &["-n", "--json"]] {
        let text = String::from_utf8(run(&lab, words).stdout).unwrap();
        assert!(text.contains("__here/x") && !text.contains("xyzzy"), "{text}");
        let revealed = [words, &["--reveal-secrets"]].concat();
        assert!(String::from_utf8(run(&lab, &revealed).stdout).unwrap().contains("xyzzy"));
    }
    lab.write("conf/type/__here/gencode-local", "echo 'echo xyzzy'");
    lab.write("conf/type/__here/secret", "");
    assert!(!String::from_utf8(run(&lab, &["-n"]).stdout).unwrap().contains("xyzzy"));
}
