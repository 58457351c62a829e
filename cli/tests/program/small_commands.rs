//! The commands that need no target: info, shell, banner, new-type, check-type. With a home and a configuration of the test.

use std::{
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(lab.path("tmp")).unwrap();
        lab.write("home/.cdist/type/__own/manifest", "");
        lab.write("home/.cdist/explorer/own", "");
        for place in ["path", "file", "option"] {
            lab.write(&format!("{place}/type/__{place}/parameter/optional"), "text\n");
            lab.write(&format!("{place}/type/__same/parameter/optional"), &format!("from-{place}\n"));
        }
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cdist(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path("home"));
        command.env("TMPDIR", self.path("tmp")).current_dir(self.dir.path()).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.cdist(words).output().unwrap().into()
    }

    /// Runs `cdist shell` with these words, and `script` as what is typed.
    fn shell(&self, command: &mut Command, script: &str) -> Outcome {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A shell that never starts reads nothing.
        let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
        let outcome = child.wait_with_output().unwrap().into();
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0, "the tree is still there");
        outcome
    }
}

/// How a run ended.
#[derive(Debug)]
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Outcome {
    fn done(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// One sentence with `part` on standard error, nothing on the other.
    fn refused(self, status: i32, part: &str) {
        assert_eq!((self.status, self.stdout.as_str()), (status, ""), "{}", self.stderr);
        assert!(self.stderr.contains(part), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
    }
}

#[test]
fn info_lists_all_conf_dirs() {
    let lab = Lab::new();
    let dir = lab.dir.path().to_str().unwrap();
    lab.write("named.cfg", &format!("[GLOBAL]\nconf_dir = {dir}/file\n"));
    let list = |words: &[&str]| lab.run(&[&["info"], words].concat()).done().replace(dir, "");
    assert_eq!(list(&[]), "/home/.cdist/explorer/own\n/home/.cdist/type/__own\n");
    assert_eq!(
        list(&["-t", "-c", "option", "-g", "named.cfg"]),
        "/file/type/__file\n/file/type/__same\n/home/.cdist/type/__own\noption/type/__option\noption/type/__same\n"
    );
    assert_eq!(list(&["-e"]), "/home/.cdist/explorer/own\n");
    assert_eq!(list(&["-a", "-e", "ow"]), "/home/.cdist/explorer/own\n/home/.cdist/type/__own\n");
    assert_eq!(
        list(&["-fc", "option", "__[a-s]*e"]),
        "option/type/__same\n\tconfig, parallel\n\toptional parameters:\n\t\tfrom-option\n"
    );
    assert_eq!(list(&["-F", "__ow"]), "");
    let path = format!("{dir}/path:{dir}/file");
    let output = lab.cdist(&["info", "-F", "__path"]).env("CDIST_PATH", path).output().unwrap();
    assert_eq!(Outcome::from(output).done(), format!("{dir}/path/type/__path\n"));
}

#[test]
fn the_shell_knows_the_types_of_all_conf_dirs() {
    let lab = Lab::new();
    lab.write("named.cfg", &format!("[GLOBAL]\nconf_dir = {}\n", lab.path("file").display()));
    let mut command = lab.cdist(&["shell", "-s", "/bin/sh", "-c", "option", "-g", "named.cfg"]);
    let script = "\
        __own o </dev/null; __file f --text x </dev/null; require=__own/o __option x </dev/null\n\
        __same s --from-option y </dev/null; __path p </dev/null\n\
        cat \"$__global/object/__option/x/$__cdist_object_marker/require\" \"$__global/object/__same/s/$__cdist_object_marker/source\"\n\
        echo \"$__target_host ${__remote_exec-none}\"\n";
    let outcome = lab.shell(&mut command, script);
    assert_eq!(outcome.stdout, "__own/o\ncdist shell\ncdist-shell-no-target-host none\n");
    // The status is that of the last command; the type of a directory that was not given is not there.
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("__path: not found"), "{}", outcome.stderr);

    let mut command = lab.cdist(&["shell"]);
    command.env("CDIST_PATH", lab.path("path")).env("SHELL", "/bin/sh").env("__object_name", "__outer/x");
    lab.shell(&mut command, "__path p </dev/null; echo ${__object_name-none}").done();
}

#[test]
fn how_the_shell_ends_is_told() {
    let lab = Lab::new();
    let sh = || lab.cdist(&["shell", "-s", "sh"]);
    lab.shell(&mut sh(), "exit 3").refused(1, "the shell sh ended with failure: exit status 3");
    lab.shell(&mut sh(), "kill -9 $$").refused(1, "the shell sh ended with failure: killed by SIGKILL");
    let outcome = lab.shell(&mut sh(), "__own\n");
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("__own: error: "), "{}", outcome.stderr);
    lab.shell(&mut lab.cdist(&["shell", "-s", "/proc/none/sh"]), "").refused(1, "choose another one with -s");
    lab.shell(&mut lab.cdist(&["shell", "-s", ""]), "").refused(1, "the name of the shell is empty");
    lab.shell(lab.cdist(&["shell", "-q", "-s", "sh"]).env("SHELL", "x"), "exit 1").quiet(1);
}

impl Outcome {
    fn quiet(self, status: i32) {
        assert_eq!((self.status, self.stdout.as_str(), self.stderr.as_str()), (status, "", ""));
    }
}

#[test]
fn a_signal_ends_the_shell_and_removes_the_tree() {
    let lab = Lab::new();
    let ready = lab.path("ready");
    let mut command = lab.cdist(&["shell", "-s", "sh"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut typed = child.stdin.take().unwrap();
    writeln!(typed, "touch '{}'", ready.display()).unwrap();
    let started = Instant::now();
    while !ready.exists() {
        assert!(started.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(lab.path("tmp")).unwrap().count(), 1);
    let pid = Pid::from_raw(child.id().cast_signed());
    // What is typed at the terminal is for the shell.
    kill(pid, Signal::SIGINT).unwrap();
    writeln!(typed, "touch '{}.again'", ready.display()).unwrap();
    while !lab.path("ready.again").exists() {
        assert!(started.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(fs::read_dir(lab.path("tmp")).unwrap().count(), 0);
}

#[test]
fn a_new_type_works_and_has_no_mistakes() {
    for form in ["--dir", "--manifest"] {
        let lab = Lab::new();
        let dir = if form == "--dir" { "new" } else { "home/.cdist" };
        let words: &[&str] = if form == "--dir" {
            &["new-type", "__mine", "--dir", "new"]
        } else {
            &["new-type", "__mine", "-m"]
        };
        let made = lab.run(words).done();
        assert!(made.ends_with(&format!("{dir}/type/__mine\n")), "{made}");
        let path = lab.path(dir).join("type/__mine");
        assert_eq!(lab.run(&["check-type", "--strict", path.to_str().unwrap()]).done(), "");
        // What the manifest is made of, as small as it can be.
        lab.write(&format!("{dir}/type/__file/parameter/required"), "state\n");
        lab.write(
            &format!("{dir}/type/__file/explorer/there"),
            "[ -e \"/$__object_id\" ] && echo present || echo absent",
        );
        lab.write(
            &format!("{dir}/type/__file/gencode-remote"),
            "state=$(cat \"$__object/parameter/state\"); [ $state = \"$(cat \"$__object/explorer/there\")\" ] && exit 0\n\
             [ $state = present ] && echo 'touch \"/$__object_id\"' || echo 'rm \"/$__object_id\"'\n",
        );
        let test =
            Command::new(path.join("test")).env("CDIST", env!("CARGO_BIN_EXE_cdist")).output().unwrap();
        let text = String::from_utf8_lossy(&test.stdout);
        assert!(test.status.success(), "{form}: {text}{}", String::from_utf8_lossy(&test.stderr));
        assert_eq!(text.lines().filter(|line| line.starts_with("ok: ")).count(), 6, "{text}");
    }
}

#[test]
fn check_type_tells_and_fails() {
    let lab = Lab::new();
    let outcome = lab.run(&["check-type", "option/type/__option"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert!(
        outcome
            .stdout
            .lines()
            .all(|line| line.starts_with("option/type/__option") && line.contains(": warning: "))
    );
    assert!(outcome.stdout.contains("has no man page"), "{}", outcome.stdout);
    assert_eq!(lab.run(&["check-type", "--strict", "option/type/__option"]).status, 1);
    let outcome = lab.run(&["check-type", "none", "home/.cdist/type/__own"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stdout.starts_with("none: error: does not exist; give the directory of a type\n"),
        "{}",
        outcome.stdout
    );
    let json = lab.run(&["check-type", "--json", "none"]);
    let all: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.status, &all[0]["path"], &all[0]["severity"]), (1, &"none".into(), &"error".into()));
    // The type in the working directory.
    let here =
        lab.cdist(&["check-type", "."]).current_dir(lab.path("home/.cdist/type/__own")).output().unwrap();
    assert_eq!(here.status.code(), Some(0), "{}", String::from_utf8_lossy(&here.stdout));
}

#[test]
fn bad_input_is_one_sentence() {
    let lab = Lab::new();
    lab.write("bad.cfg", "[GLOBAL]\njobs = many\n");
    lab.run(&["info", "[a"]).refused(1, "the pattern '[a' is none: ");
    lab.run(&["info", "-g", "bad.cfg"]).refused(1, "Invalid jobs value: many");
    lab.run(&["info", "-g", "home"]).refused(1, "reading configuration file home");
    lab.run(&["shell", "-g", "bad.cfg"]).refused(1, "Invalid jobs value: many");
    lab.run(&["inventory", "list", "-b", "-g", "bad.cfg"]).refused(1, "Invalid jobs value: many");
    lab.run(&["new-type", "mine"])
        .refused(1, "'mine' does not work as the name of a type; take two underscores");
    lab.run(&["new-type", "__own"]).refused(1, "type/__own exists; choose another name or directory");
    lab.run(&["new-type", "__x", "--dir", "bad.cfg"]).refused(1, "writing bad.cfg/type");
    let homeless = lab.cdist(&["new-type", "__x"]).env_remove("HOME").output().unwrap();
    Outcome::from(homeless).refused(1, "there is no home directory for the type; use --dir");
    let level = lab.cdist(&["shell"]).env("__cdist_log_level", "x").output().unwrap();
    Outcome::from(level).refused(1, "Invalid __cdist_log_level value: x");
    let odd = lab.cdist(&["info"]).arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&odd.stderr).starts_with("error: invalid UTF-8"));
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(lab.path("option/type"), fs::Permissions::from_mode(0o000)).unwrap();
        lab.run(&["info", "-c", "option"]).refused(1, "reading option/type");
        fs::set_permissions(lab.path("option/type"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_banner_is_printed() {
    let text = Lab::new().run(&["banner", "-q"]).done();
    assert!(text.starts_with('\n') && text.lines().count() > 3, "{text}");
}

/// A reader such as `head` may go away early; that is no error, and no message tells it.
#[test]
fn a_closed_pipe_is_no_failure() {
    let lab = Lab::new();
    for words in [&["info"][..], &["banner"], &["check-type", "home/.cdist/type/__own"]] {
        let mut child = lab.cdist(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{words:?}");
    }
}
