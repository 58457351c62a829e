//! What `cdist preos` refuses before it does anything: one clear sentence, and nothing left behind. Needs no root.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::Command,
};

use cdist_tests::{
    lab::process::{run, tool},
    outcome::{Outcome, assert_no_trace, outcome},
    preos::{debian, make_key, workspace},
};
use tempfile::TempDir;

/// Runs `cdist preos debian DIR/root ARGS…` and looks at what is in DIR afterwards.
fn refused(dir: &TempDir, args: &[&dyn AsRef<OsStr>]) -> Outcome {
    let mut command = debian(&dir.path().join("root"));
    command.env("HOME", dir.path().join("home"));
    for arg in args {
        command.arg(arg.as_ref());
    }
    let result = outcome(&mut command);
    assert!(!dir.path().join("root/etc").exists());
    assert!(!dir.path().join("pxe").exists());
    assert_no_trace(dir.path());
    result
}

#[test]
fn no_step_is_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    refused(&dir, &[]).assert_failed(2, &["nothing to do", "-b to bootstrap", "-C to configure", "-p DIR"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn options_that_do_not_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let both: [&dyn AsRef<OsStr>; 5] = [&"-C", &"-t", &"x", &"--trigger-url", &"http://x/"];
    refused(&dir, &both).assert_failed(2, &["--trigger-command", "cannot be used with", "--trigger-url"]);
    refused(&dir, &[&"-b", &"-S", &"sid"]).assert_failed(2, &["--mirror <URL>"]);
    refused(&dir, &[&"-b", &"-k", &"x.pub"]).assert_failed(2, &["--configure"]);
    refused(&dir, &[&"-b", &"--compress", &"gzip"]).assert_failed(2, &["--pxe-boot-dir"]);
    refused(&dir, &[&"-C", &"-e", &"x"]).assert_failed(2, &["--remote-copy"]);
    refused(&dir, &[&"-b", &"--no-such-option"]).assert_failed(2, &["--no-such-option"]);
    let token: [&dyn AsRef<OsStr>; 3] = [&"-C", &"--trigger-token-file", &"x"];
    refused(&dir, &token).assert_failed(2, &["--trigger-url <URL>"]);
    let command: [&dyn AsRef<OsStr>; 5] = [&"-C", &"-t", &"x", &"--trigger-token-file", &"x"];
    refused(&dir, &command).assert_failed(2, &["--trigger-token-file", "cannot be used with"]);
    let stdin: [&dyn AsRef<OsStr>; 5] = [&"-C", &"-P", &"-", &"-i", &"-"];
    refused(&dir, &stdin).assert_failed(2, &["-P - and -i - cannot both read standard input"]);
}

#[test]
fn a_target_that_is_not_empty_is_not_bootstrapped_into() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("root/precious"), "x").unwrap();
    refused(&dir, &[&"-b"])
        .assert_failed(1, &["/root is not empty", "absent or empty directory", "leave -b out"]);
    assert_eq!(fs::read_to_string(dir.path().join("root/precious")).unwrap(), "x");
}

#[test]
fn a_target_that_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("root"), "x").unwrap();
    refused(&dir, &[&"-b"]).assert_failed(1, &["/root is no directory"]);
}

#[test]
fn a_target_without_a_root_file_system() {
    let dir = tempfile::tempdir().unwrap();
    refused(&dir, &[&"-C"]).assert_failed(1, &["holds no root file system", "bootstrap it first with -b"]);
    fs::create_dir(dir.path().join("root")).unwrap();
    refused(&dir, &[&"-p", &dir.path().join("pxe")]).assert_failed(1, &["holds no root file system"]);
}

#[test]
fn key_files() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    make_key(&key);
    let with = |file: &Path| refused(&dir, &[&"-b", &"-C", &"-k", &file]);
    with(&dir.path().join("absent.pub"))
        .assert_failed(1, &["reading the key file", "absent.pub", "No such file"]);
    with(&key).assert_failed(1, &["is a private key", "must not leave this machine", "/key.pub"]);
    let nonsense = dir.path().join("nonsense.pub");
    fs::write(&nonsense, "# a comment\nssh-ed25519 AAAA nonsense\n").unwrap();
    with(&nonsense).assert_failed(1, &["line 2 of", "nonsense.pub is no ssh public key"]);
    fs::write(&nonsense, b"\xff\x00\x01").unwrap();
    with(&nonsense).assert_failed(1, &["line 1 of", "is no ssh public key"]);
    fs::write(&nonsense, "").unwrap();
    with(&nonsense).assert_failed(1, &["nonsense.pub holds no ssh public key"]);
    with(dir.path()).assert_failed(1, &["reading the key file", "no regular file"]);
}

#[test]
fn token_files() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let with = |text: &str, mode: u32| {
        fs::write(&token, text).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let url = "http://192.0.2.5:3000/install/";
        refused(&dir, &[&"-b", &"-C", &"--trigger-url", &url, &"--trigger-token-file", &token])
    };
    with("do-not-show-that", 0o640).assert_failed(1, &["/token can be read by others", "chmod 600"]);
    with("", 0o600).assert_failed(1, &["/token holds no token"]);
    with("do-not-show", 0o600).assert_failed(1, &["/token holds less than 16"]);
    let result = with("do not show", 0o600);
    result.assert_failed(1, &["/token holds something else than one token"]);
    assert!(!result.stderr.contains("not show"), "{}", result.stderr);
}

#[test]
fn values_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let pxe = dir.path().join("pxe");
    refused(&dir, &[&"-b", &"-p", &pxe, &"--compress", &"lzma"])
        .assert_failed(1, &["--compress: unknown compression 'lzma'; known are zstd, gzip, xz and none"]);
    refused(&dir, &[&"-b", &"-C", &"-t", &"one\ntwo"])
        .assert_failed(1, &["the trigger command must be one line"]);
    refused(&dir, &[&"-b", &"-C", &"--trigger-url", &"ftp://x"])
        .assert_failed(1, &["trigger URL", "http://"]);
    refused(&dir, &[&"-b", &"--suite=--hook=x"]).assert_failed(1, &["\"--hook=x\" is no name"]);
    refused(&dir, &[&"-b", &"--keyring", &"/absent.gpg"])
        .assert_failed(1, &["the keyring /absent.gpg is missing"]);
    refused(&dir, &[&"-C", &"-i", &"/absent"]).assert_failed(1, &["reading the initial manifest /absent"]);
    refused(&dir, &[&"-b", &"-D", &"/dev/null"]).assert_failed(2, &["-D is not there yet", "use -p"]);
}

#[test]
fn an_argument_that_is_not_utf8() {
    let dir = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"/tmp/\xff");
    refused(&dir, &[&"-b", &"-p", &odd])
        .assert_failed(2, &["\"/tmp/\\xFF\" is not UTF-8", "use another path"]);
}

#[test]
fn a_pxe_directory_in_the_target_would_pack_itself() {
    let dir = tempfile::tempdir().unwrap();
    let within = dir.path().join("root/srv/pxe");
    refused(&dir, &[&"-b", &"-p", &within])
        .assert_failed(1, &["one within the other", "choose another directory"]);
    // Through a link to the directory where the target will be.
    std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
    let linked = dir.path().join("link/root/srv/pxe");
    refused(&dir, &[&"-b", &"-p", &linked]).assert_failed(1, &["one within the other"]);
    refused(&dir, &[&"-b", &"-p", &dir.path()]).assert_failed(1, &["one within the other"]);
}

#[test]
fn without_root_nothing_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The workspace may lie in a directory that is closed to other users.
    let staged = dir.path().join("dist");
    run(Command::new("cp").arg("-rL").arg(workspace().join("target/dist")).arg(&staged));
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new(tool("setpriv", "util-linux"));
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(staged.join("bin/cdist"));
        command
    } else {
        Command::new(staged.join("bin/cdist"))
    };
    command.env("HOME", "/proc/none").args(["preos", "debian"]);
    let result = outcome(command.arg(dir.path().join("root")).args(["-b", "-m", "http://127.0.0.1:1"]));
    result.assert_failed(1, &["needs root's rights", "run it as root"]);
    assert!(!dir.path().join("root").exists());
    assert_no_trace(dir.path());
}
