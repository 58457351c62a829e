//! `cdist plugin check`: good plugins pass, each misbehaviour is found by the checks that it is for, and the check itself
//! always ends well.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use cdist_tests::{
    lab::process::run,
    plugins::{
        Outcome, Site, aborting_dummies, dummies, finish, finish_within, hostile, install, install_bytes,
        patch_text, staged, status_number, wait, workspace,
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// A whole check of a plugin that uses up every time limit takes long.
const LONG: Duration = Duration::from_secs(300);
/// What every run of a plugin goes through.
const ALL_RUNS: &str = "help no-arguments bad-arguments extensions service-errors cancel exit-status leaks";

/// A file of the site that holds what the library does.
fn copied(site: &Site, library: &Path) -> PathBuf {
    let file = site.dir("built").join("plugin.so");
    install(library, &file);
    file
}

fn words(file: &Path, more: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["check".into(), file.into()];
    words.extend(more.iter().map(OsString::from));
    words
}

fn check(site: &Site, file: &Path, more: &[&str]) -> Outcome {
    finish_within(site.command_of("plugin").args(words(file, more)), LONG).expect("a check ends")
}

/// Builds a library from a file in C or C++.
fn compile(compiler: &str, source: &Path, file: &Path) {
    let include = workspace().join("plugin-api/include");
    run(Command::new(compiler).args(["-shared", "-fPIC", "-I"]).arg(include).arg("-o").arg(file).arg(source));
    fs::set_permissions(file, Permissions::from_mode(0o644)).expect("setting the mode of a plugin");
}

/// What each check said.
struct Verdicts(BTreeMap<String, (String, String)>);

impl Verdicts {
    fn of(outcome: &Outcome) -> Self {
        let value: Value =
            serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"));
        assert_eq!((value["status"].as_i64(), outcome.stderr.as_str()), (Some(outcome.status.into()), ""));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = value["checks"].as_array().expect("checks").iter();
        let verdicts =
            rows.map(|row| (text(&row["name"]), (text(&row["outcome"]), text(&row["reason"])))).collect();
        let all = Self(verdicts);
        for outcome in ["passed", "warning", "failed", "skipped"] {
            assert_eq!(value["counts"][outcome].as_u64(), Some(all.with(outcome).len() as u64));
        }
        assert_eq!(outcome.status, i32::from(!all.with("failed").is_empty()));
        all
    }

    /// The names of the checks with this outcome.
    fn with(&self, outcome: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, verdict)| verdict.0 == outcome).map(|(name, _)| name.as_str()).collect()
    }

    fn reason(&self, check: &str) -> &str {
        &self.0[check].1
    }

    /// Checks that exactly these have failed.
    #[track_caller]
    fn assert_failed(&self, whom: &str, expected: &str) {
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        expected.sort_unstable();
        let failed = self.with("failed");
        let reasons: Vec<&str> = failed.iter().map(|check| self.reason(check)).collect();
        assert_eq!(failed, expected, "{whom}: {reasons:#?}");
    }
}

fn verdicts(site: &Site, file: &Path, more: &[&str]) -> Verdicts {
    // A busy machine must not look like a plugin that hangs.
    Verdicts::of(&check(site, file, &[&["--json", "--seed", "1", "--limit", "60"], more].concat()))
}

/// The verdicts about one misbehaving PreOS.
fn hostile_verdicts(name: &str) -> Verdicts {
    let site = Site::new();
    let file = copied(&site, &hostile());
    // One that never ends uses up the limit in every check.
    let limit = if name == "floods" { "2" } else { "60" };
    verdicts(&site, &file, &["--preos", name, "--limit", limit])
}

#[test]
fn the_dummies_pass() {
    let site = Site::new();
    let outcome = check(&site, &copied(&site, &dummies()), &["--seed", "7"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:#?}");
    insta::assert_snapshot!(site.filtered(&outcome.stdout));
}

#[test]
fn the_distributions_plugins_pass() {
    let site = Site::new();
    for name in ["debian", "ubuntu"] {
        let file = staged().join(format!("lib/cdist/preos/{name}.so"));
        let more = ["--", "target", "--bootstrap", "-s", "stable", "-m", "http://mirror.example/debian"];
        let verdicts = verdicts(&site, &file, &more);
        assert_eq!(verdicts.with("skipped"), ["listing", "record"], "{name}: {:#?}", verdicts.0);
        assert_eq!(
            (verdicts.with("failed").len(), verdicts.with("warning").len()),
            (0, 0),
            "{:#?}",
            verdicts.0
        );
    }
}

#[test]
fn the_examples_in_c_and_cpp_pass() {
    let site = Site::new();
    for (compiler, source) in [("cc", "c-hello/hello.c"), ("c++", "cpp-hello/tiny.cpp")] {
        let file = site.dir("built").join("plugin.so");
        compile(compiler, &workspace().join("examples").join(source), &file);
        let verdicts = verdicts(&site, &file, &[]);
        verdicts.assert_failed(source, "");
        assert_eq!(verdicts.reason("panic-strategy"), "not for libraries in C");
        assert_eq!(verdicts.with("skipped"), ["listing", "panic-strategy", "record"], "{:#?}", verdicts.0);
    }
}

#[test]
fn constructors_run_in_a_check_too() {
    let site = Site::new();
    for (constructor, reason) in [
        ("abort()", "it died: SIGABRT"),
        ("_exit(0)", "it ended the process with exit status 0 before its work was done"),
        ("for (;;) pause()", "it does not end within 2 s"),
    ] {
        let file = site.dir("built").join("plugin.so");
        let source = site.root().join("plugin.c");
        let text = format!(
            "#include <stdlib.h>\n#include <unistd.h>\n#include \"cdist_preos.h\"\n\
             static int run(int c, const char *const *v, const cdist_preos_host *h) {{ return c && v && h; }}\n\
             #define PREOSES(X) X(\"early\", run, \"runs too early\")\nCDIST_EXPORT_PREOSES(PREOSES)\n\
             __attribute__((constructor)) static void early(void) {{ {constructor}; }}\n"
        );
        fs::write(&source, text).unwrap();
        compile("cc", &source, &file);
        let verdicts = verdicts(&site, &file, &["--limit", "2"]);
        verdicts.assert_failed(constructor, "libraries");
        assert!(verdicts.reason("libraries").ends_with(reason), "{}", verdicts.reason("libraries"));
    }
}

#[test]
fn one_mistake_fails_one_check() {
    for (name, failed, reason) in [
        ("behaves", "", ""),
        ("dropserrors", "service-errors", "it ends with 0 though `build` failed"),
        ("zeroaftercancel", "cancel", "it ends with 0 though `build` was cancelled"),
        ("status300", "exit-status", "it returns 300"),
        ("nohelp", "help", "\"-h\": it ends with 2 instead of 0"),
        ("silenthelp", "help", "it prints nothing"),
        ("needsarguments", "no-arguments", "it panics at src/lib.rs:"),
        ("cutsarguments", "bad-arguments", "it panics at src/lib.rs:"),
    ] {
        let verdicts = hostile_verdicts(name);
        verdicts.assert_failed(name, failed);
        if !failed.is_empty() {
            assert!(verdicts.reason(failed).starts_with(name), "{}", verdicts.reason(failed));
            assert!(verdicts.reason(failed).contains(reason), "{}", verdicts.reason(failed));
        }
    }
}

#[test]
fn what_does_not_end_after_a_cancel() {
    for name in ["goesonaftercancel", "ignoressigterm"] {
        let verdicts = hostile_verdicts(name);
        verdicts.assert_failed(name, "cancel");
        assert!(
            verdicts.reason("cancel").contains("does not end within 5 s after SIGTERM"),
            "{:#?}",
            verdicts.0
        );
    }
}

#[test]
fn an_error_of_the_host_that_is_unwrapped() {
    let verdicts = hostile_verdicts("unwrapserrors");
    // One of the random lists is a target directory by chance.
    verdicts.assert_failed("unwrapserrors", "bad-arguments service-errors cancel");
    let reason = verdicts.reason("service-errors");
    assert!(
        reason.contains("called `Result::unwrap()`") && reason.contains("refused, because this is a check")
    );
}

#[test]
fn a_panic_in_a_thread_is_seen() {
    let verdicts = hostile_verdicts("panicsinthread");
    verdicts.assert_failed("panicsinthread", "extensions exit-status leaks");
    assert!(verdicts.reason("leaks").ends_with("in a thread"), "{:#?}", verdicts.0);
}

#[test]
fn what_is_left_behind() {
    let verdicts = hostile_verdicts("leaksprocess");
    verdicts.assert_failed("leaksprocess", "leaks");
    assert_eq!(verdicts.reason("leaks"), "leaksprocess: it leaves the process sleep");
    for (name, when) in
        [("leaksaftererror", "after an error of the host"), ("leaksaftercancel", "after SIGTERM")]
    {
        let verdicts = hostile_verdicts(name);
        verdicts.assert_failed(name, "leaks");
        assert_eq!(verdicts.reason("leaks"), format!("{name}: it leaves the process sleep {when}"));
    }
}

#[test]
fn a_plugin_cannot_take_all_of_the_machine() {
    let site = Site::new();
    let verdicts =
        verdicts(&site, &copied(&site, &hostile()), &["--preos", "hungry", "--only", "extensions"]);
    let reason = verdicts.reason("extensions");
    assert!(reason.ends_with("memory false, file 1073741824, core 0"), "{reason}");
}

#[test]
fn deaths_fail_every_run() {
    for (name, reason) in [
        ("panics", "it panics at src/lib.rs"),
        ("aborts", "it died: SIGABRT"),
        ("crashes", "it died: SIGSEGV"),
        ("exits", "it ended the process with exit status 0 before its work was done"),
    ] {
        let verdicts = hostile_verdicts(name);
        verdicts.assert_failed(name, ALL_RUNS);
        assert!(
            verdicts.reason("help").starts_with(&format!("{name} \"-h\": {reason}")),
            "{:#?}",
            verdicts.0
        );
    }
}

#[test]
fn a_flood_of_output_ends_with_its_time() {
    let verdicts = hostile_verdicts("floods");
    verdicts.assert_failed("floods", ALL_RUNS);
    assert_eq!(verdicts.reason("no-arguments"), "floods: it does not end within 2 s");
}

#[test]
fn a_file_that_is_no_good_fails_where_it_is_looked_at() {
    let site = Site::new();
    let good = fs::read(dummies()).unwrap();
    let file = copied(&site, &dummies());
    let only = |bytes: &[u8], failed: &str, reason: &str| {
        install_bytes(bytes, &file);
        let verdicts = verdicts(&site, &file, &[]);
        verdicts.assert_failed(failed, failed);
        assert!(verdicts.reason(failed).contains(reason), "{}", verdicts.reason(failed));
        assert_eq!(verdicts.reason("help"), format!("the check {failed} has failed"));
    };
    only(&good[..good.len() / 2], "elf", "truncated or damaged");
    only(b"#!/bin/sh\n", "elf", "no 64-bit little-endian ELF");
    only(&patch_text(&good, "cdist-preos 1.", "cdist-preos 7."), "text", "built for plugin API 7.0");
    only(&patch_text(&good, "\tFreeBSD\t", "\tToolBox\t"), "text", "two PreOSes with the name toolbox");
    only(&patch_text(&good, "NetBSD dummy", "NetBSD dammy"), "names", "exports other PreOSes");
    only(&renamed(&good, b"libc.so.6\0", b"libz.so.6\0"), "libraries", "libz.so.6");

    install_bytes(&good, &file);
    fs::write(site.dir("built").join("plugins.sha256"), format!("{}  plugin.so\n", "0".repeat(64))).unwrap();
    fs::set_permissions(site.dir("built").join("plugins.sha256"), Permissions::from_mode(0o644)).unwrap();
    let other = verdicts(&site, &file, &[]);
    other.assert_failed("record", "record");
    assert!(other.reason("record").contains("install it again"));
    fs::set_permissions(site.dir("built"), Permissions::from_mode(0o775)).unwrap();
    let writable = verdicts(&site, &file, &[]);
    writable.assert_failed("file", "file");
    let fix = format!("chmod go-w {}", site.dir("built").canonicalize().unwrap().display());
    assert!(writable.reason("file").ends_with(&fix), "{}", writable.reason("file"));
    // Where the check that fails is not to be done, the one that needs it says why it cannot be.
    let help = verdicts(&site, &file, &["--only", "help"]);
    help.assert_failed("help", "help");
    assert!(help.reason("help").starts_with("it needs file: "), "{}", help.reason("help"));
}

/// All of `from` replaced, which has the same length.
fn renamed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn a_missing_summary_and_an_aborting_panic_are_warnings() {
    let site = Site::new();
    let file = copied(&site, &aborting_dummies());
    let aborting = verdicts(&site, &file, &[]);
    aborting.assert_failed("aborting", "");
    assert!(aborting.with("warning").contains(&"panic-strategy"), "{:#?}", aborting.0);
    let blank = patch_text(&fs::read(dummies()).unwrap(), "NetBSD dummy PreOS", "                  ");
    install_bytes(&blank, &file);
    let verdicts = verdicts(&site, &file, &["--only", "text"]);
    assert_eq!(verdicts.with("warning"), ["text"]);
    assert!(verdicts.reason("text").starts_with("netbsd: it has no summary"));
}

/// A Python file with a PreOS whose `commandline` is this.
fn python(site: &Site, body: &str) -> PathBuf {
    let file = site.dir("built").join("plain.py");
    let text =
        format!("\"\"\"a plain PreOS\"\"\"\nimport os, subprocess, sys, time\n_cdist_preos = True\n{body}");
    install_bytes(text.as_bytes(), &file);
    file
}

const GOOD_PYTHON: &str = "
def commandline(cls, args):
    if '-h' in args or '--help' in args:
        print('usage: TARGET_DIR')
        return 0
    if len(args) != 1 or args[0].startswith('-'):
        return 2
    WORK
    return 0
";

#[test]
fn python_files() {
    let site = Site::new();
    for (work, failed, reason) in [
        ("pass", "", ""),
        ("{}[args[0]]", "bad-arguments exit-status leaks cancel", "it does not catch KeyError"),
        ("raise RuntimeError('no mirror')", "", ""),
        ("os.abort()", "bad-arguments exit-status leaks cancel", "SIGABRT"),
        ("subprocess.Popen(['sleep', '600'], start_new_session=True)", "leaks", "the process sleep"),
    ] {
        let verdicts = verdicts(&site, &python(&site, &GOOD_PYTHON.replace("WORK", work)), &[]);
        verdicts.assert_failed(work, failed);
        assert_eq!(verdicts.reason("layout"), "not for Python files");
        assert!(failed.is_empty() || verdicts.reason("leaks").contains(reason), "{:#?}", verdicts.0);
    }
    let stubborn = "if args[0].endswith('/target'):
        while True:
            try:
                import signal
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(60)
            except KeyboardInterrupt:
                pass";
    let file = python(&site, &GOOD_PYTHON.replace("WORK", stubborn));
    verdicts(&site, &file, &["--only", "cancel"]).assert_failed("stubborn", "cancel");
    let file = python(&site, &GOOD_PYTHON.replace("WORK", "time.sleep(60)"));
    let verdicts_of = verdicts(&site, &file, &["--only", "cancel"]);
    assert_eq!(verdicts_of.with("passed"), ["cancel"], "{:#?}", verdicts_of.0);
    // What it imports from beside it is there in every check; another plugin that is no good does not matter.
    install_bytes(b"USAGE = 2\n", &site.dir("built").join("_common.py"));
    install_bytes(b"raise RuntimeError('another one')\n", &site.dir("built").join("another.py"));
    let file = python(&site, &format!("import _common\n{}", GOOD_PYTHON.replace("WORK", "pass")));
    let verdicts_of = verdicts(&site, &file, &["--skip", "bad-arguments"]);
    verdicts_of.assert_failed("imports", "");
    assert!(verdicts_of.with("passed").contains(&"non-utf8"), "{:#?}", verdicts_of.0);
    // Without arguments of a user it gets an empty directory.
    let file = python(&site, &GOOD_PYTHON.replace("WORK", "assert os.listdir(args[0]) == []"));
    let verdicts_of = verdicts(&site, &file, &["--only", "leaks"]);
    assert_eq!(verdicts_of.with("passed"), ["leaks"], "{:#?}", verdicts_of.0);
    let file = python(&site, &GOOD_PYTHON.replace("WORK", "assert not os.path.isdir(args[0])"));
    verdicts(&site, &file, &["--only", "leaks"]).assert_failed("a directory", "leaks");
    for (text, reason) in [("1 / 0", "ZeroDivisionError"), ("sys.exit(3)", "it ends the program")] {
        let verdicts = verdicts(&site, &python(&site, text), &[]);
        verdicts.assert_failed(text, "listing");
        assert!(verdicts.reason("listing").contains(reason), "{}", verdicts.reason("listing"));
    }
}

#[test]
fn checks_are_listed_chosen_and_left_out() {
    let site = Site::new();
    let file = copied(&site, &dummies());
    let list = site.plugin(["check", "--list"]);
    assert_eq!((list.status, list.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(list.stdout);
    let names: Vec<&str> = list.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let of_json: Value = serde_json::from_str(&site.plugin(["check", "--list", "--json"]).stdout).unwrap();
    assert_eq!(of_json.as_array().unwrap().len(), names.len());
    for name in &names {
        assert_eq!(verdicts(&site, &file, &["--only", name]).0.keys().collect::<Vec<_>>(), [name]);
    }
    let rest = verdicts(&site, &file, &["--skip", "bad-arguments", "--skip", "leaks"]);
    assert_eq!(rest.0.len(), names.len() - 2);
    assert!(!rest.0.contains_key("leaks"));
    let mut errors = String::new();
    for more in [
        &["--only", "layot"][..],
        &["--skip", "\u{1b}[31m"],
        &["--preos", "openbsd"],
        &["--seed", "x"],
        &["--limit", "0"],
        &["--only", "leaks", "--skip", "leaks"],
    ] {
        let outcome = check(&site, &file, more);
        assert_eq!(outcome.status, 2, "{more:?} {outcome:#?}");
        errors.push_str(&format!("{more:?}\n{}\n", site.filtered(&outcome.stderr)));
    }
    errors.push_str(&site.plugin(["check"]).stderr);
    insta::assert_snapshot!(errors);
}

#[test]
fn a_seed_repeats_what_was_random() {
    let site = Site::new();
    let file = copied(&site, &hostile());
    let run = |seed: &str| {
        let more = ["--json", "--preos", "cutsarguments", "--only", "bad-arguments", "--seed", seed];
        check(&site, &file, &more).stdout
    };
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5").replace("\"seed\": 5", ""), run("6").replace("\"seed\": 6", ""));
    let random = check(&site, &file, &["--only", "file"]).stdout;
    let last = random.lines().last().unwrap();
    let seed = last.split("seed ").nth(1).unwrap().split(';').next().unwrap();
    assert!(seed.parse::<u64>().is_ok() && last.ends_with(&format!("--only NAME --seed {seed}")), "{last}");
}

#[test]
fn the_last_line_repeats_the_check() {
    let site = Site::new();
    let file = site.dir("it's built").join("plugin $1.so");
    install(&hostile(), &file);
    // It says which of its arguments it could write to.
    let more =
        ["--preos", "vandal", "--only", "extensions", "--limit", "30", "--", "/dev/null", "it's; two  words"];
    let first = check(&site, &file, &more);
    let (_, again) = first.stdout.trim_end().rsplit_once("one check again: ").unwrap();
    assert!(again.ends_with(" --limit 30 -- /dev/null 'it'\\''s; two  words'"), "{again}");
    let script = again.replacen("cdist ", "\"$0\" ", 1).replace("NAME", "extensions");
    let own = site.command_of("plugin");
    let mut shell = Command::new("sh");
    let second = finish(shell.args(["-c", &script]).arg(own.get_program()).current_dir(site.root()));
    let said = |outcome: &Outcome| outcome.stdout.split_once("; holds: ").unwrap().0.to_owned();
    assert_eq!(said(&second), said(&first));
    assert!(second.stdout.trim_end().ends_with(again), "{second:#?}");
}

#[test]
fn what_a_plugin_says_gives_no_orders_to_the_terminal() {
    let site = Site::new();
    let file = python(&site, "raise RuntimeError('\\x1b[2J' + 'x' * 100000)\n");
    let outcome = check(&site, &file, &[]);
    assert_eq!(outcome.status, 1);
    for line in outcome.stdout.lines() {
        assert!(!line.contains(char::is_control) && line.len() < 1000, "{line:?}");
    }
}

#[test]
fn damaged_libraries_always_get_an_answer() {
    let site = Site::new();
    let good = fs::read(dummies()).unwrap();
    let file = copied(&site, &dummies());
    // The same damage every time.
    let mut random = fastrand::Rng::with_seed(1);
    let mut next = |end: usize| random.usize(..end);
    let mut statuses = [0; 2];
    for turn in 0..200 {
        let mut bytes = good.clone();
        for _ in 0..=next(40) {
            // Headers, anywhere, or the section headers at the end.
            let at = match turn % 3 {
                0 => next(4096),
                1 => next(bytes.len()),
                _ => bytes.len() - 1 - next(4096),
            };
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        if turn % 10 == 9 {
            bytes.truncate(next(good.len()));
        }
        install_bytes(&bytes, &file);
        // Every tenth one in all ways, the others in those that load it and call it once.
        let few = ["--only", "names", "--only", "help", "--only", "no-arguments"];
        let more = if turn % 10 == 0 { &["--skip", "bad-arguments"][..] } else { &few };
        let outcome = check(&site, &file, &[&["--limit", "5", "--json"], more].concat());
        assert!(matches!(outcome.status, 0 | 1), "turn {turn}: {outcome:#?}");
        Verdicts::of(&outcome);
        statuses[usize::try_from(outcome.status).unwrap()] += 1;
    }
    assert!(statuses[0] > 0 && statuses[1] > 0, "{statuses:?}");
}

#[test]
fn an_ordinary_user_sees_the_same() {
    let site = Site::new();
    let file = copied(&site, &hostile());
    for (name, failed) in [
        ("behaves", ""),
        ("panics", ALL_RUNS),
        ("leaksprocess", "leaks"),
        ("ignoressigterm", "cancel"),
        ("floods", ALL_RUNS),
    ] {
        let mut command = site.command_without_root_of("plugin");
        let limit = if name == "floods" { "2" } else { "60" };
        let more = ["--json", "--seed", "1", "--preos", name, "--limit", limit];
        let outcome = finish_within(command.args(words(&file, &more)), LONG).expect("a check ends");
        Verdicts::of(&outcome).assert_failed(name, failed);
    }
}

#[test]
fn a_signal_stops_the_check() {
    let site = Site::new();
    let file = python(&site, "def commandline(cls, args):\n    while True:\n        print('y' * 8000)\n");
    let temporary = site.dir("temporary");
    let mut command = site.command_of("plugin");
    command.args(words(&file, &["--only", "no-arguments", "--limit", "60"]));
    let mut child =
        command.env("TMPDIR", &temporary).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs = || {
        let dirs = fs::read_dir(&temporary).unwrap().flatten();
        dirs.filter(|dir| dir.path().join("3.events").is_file()).count()
    };
    // The first three look at the file, at the record and at the list; the fourth one floods.
    wait("the plugin runs", Duration::from_secs(30), || runs() == 1);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(status_number(child.wait().unwrap()), 143);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn completions_know_the_options() {
    let site = Site::new();
    let outcome = finish(site.command_of("plugin").args(["check", "--help"]));
    assert_eq!(outcome.status, 0);
    for word in ["--list", "--only", "--skip", "--preos", "--seed", "--limit", "--json", "[-- <ARGS>...]"] {
        assert!(outcome.stdout.contains(word), "{word} {outcome:#?}");
    }
}
