//! `cdist plugin`: inspecting, listing, installing and removing plugins, and the record of their sums.

use std::{
    fs::{self, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use cdist_tests::{
    lab::process::run,
    plugins::{
        Outcome, Site, aborting_dummies, dummies, finish, hostile, install, install_bytes, patch_text,
        staged, wait,
    },
};
use serde_json::Value;

/// Both streams and the status, for a snapshot.
fn shown(site: &Site, outcome: &Outcome) -> String {
    let text = format!("status {}\n{}--\n{}\n", outcome.status, outcome.stdout, outcome.stderr);
    let text = site.filtered(&text).replace("-endian, x86-64", "-endian, [MACHINE]");
    let text = text.replace("-endian, aarch64", "-endian, [MACHINE]");
    let digits = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    // Sums, sizes, versions of libraries and the user differ from machine to machine.
    text.lines().fold(String::new(), |mut all, line| {
        let words = line.split(' ').map(|word| {
            let bare = word.trim_end_matches([',', ';']);
            if bare.len() == 64 && bare.chars().all(digits) {
                word.replace(bare, "[SUM]")
            } else {
                word.to_owned()
            }
        });
        let line = words.collect::<Vec<_>>().join(" ");
        let label = line.split(' ').next().unwrap_or_default();
        all.push_str(match label {
            "Size:" => "Size:       [SIZE]",
            "Owner:" => "Owner:      [USER]",
            "Needs:" => "Needs:      [LIBRARIES]",
            "glibc:" => "glibc:      [VERSION] or later",
            _ => &line,
        });
        all.push('\n');
        all
    })
}

fn inspect(site: &Site, file: &Path) -> Outcome {
    site.plugin(["inspect".as_ref(), file.as_os_str()])
}

fn inspect_json(site: &Site, file: &Path) -> (i32, Value) {
    let outcome = site.plugin(["inspect".as_ref(), "--json".as_ref(), file.as_os_str()]);
    let value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"));
    (outcome.status, value)
}

fn install_words(site: &Site, file: &Path, more: &[&str]) -> Outcome {
    let mut command = site.command_of("plugin");
    finish(command.arg("install").arg(file).args(more))
}

/// A file of the site with changed text of the dummies.
fn patched(site: &Site, name: &str, from: &str, to: &str) -> PathBuf {
    let file = site.dir("built").join(name);
    install_bytes(&patch_text(&fs::read(dummies()).unwrap(), from, to), &file);
    file
}

fn built(site: &Site, name: &str) -> PathBuf {
    let file = site.dir("built").join(name);
    install(&dummies(), &file);
    file
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn inspect_tells_what_a_plugin_is() {
    let site = Site::new();
    let file = built(&site, "dummies.so");
    insta::assert_snapshot!(shown(&site, &inspect(&site, &file)));
    let (status, value) = inspect_json(&site, &file);
    assert_eq!((status, &value["loadable"], &value["reason"]), (0, &Value::Bool(true), &Value::Null));
    let sum = run(Command::new("sha256sum").arg(&file));
    assert_eq!(value["sha256"], sum.split(' ').next().unwrap());
    assert_eq!(
        (&value["mode"], &value["size"]),
        (&"0644".into(), &fs::metadata(&file).unwrap().len().into())
    );
    assert_eq!((&value["elf"]["stripped"], &value["elf"]["panic"]), (&true.into(), &"unwind".into()));
    let needed: Vec<&str> =
        value["elf"]["needed"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(needed.contains(&"libc.so.6"), "{needed:?}");
    assert_eq!(value["preoses"][0]["type"], "NetBsdModule");
    assert!(value["built_with"].as_str().unwrap().starts_with("rustc 1."));
}

#[test]
fn inspect_agrees_with_the_binary_utilities() {
    let Ok(output) = Command::new("readelf").args(["-dVW"]).arg(dummies()).output() else {
        panic!("readelf is missing: install the package binutils");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, value) = inspect_json(&Site::new(), &dummies());
    let expected: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(value["elf"]["needed"], serde_json::json!(expected));
    let versions = text.split("GLIBC_").skip(1).filter_map(|rest| rest.split([' ', ')', '\n']).next());
    let numbers = |version: &str| version.split('.').map(|n| n.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let highest = versions.max_by_key(|version| numbers(version)).unwrap();
    assert_eq!(value["elf"]["glibc"], highest);
}

#[test]
fn inspect_sees_the_panic_strategy() {
    let site = Site::new();
    for (library, expected) in [(dummies(), "unwind"), (hostile(), "unwind"), (aborting_dummies(), "abort")] {
        assert_eq!(inspect_json(&site, &library).1["elf"]["panic"], expected, "{}", library.display());
    }
    for name in ["debian.so", "ubuntu.so"] {
        let (status, value) = inspect_json(&site, &staged().join("lib/cdist/preos").join(name));
        assert_eq!(
            (status, &value["elf"]["panic"], &value["kind"]),
            (0, &"unwind".into(), &"Rust library".into())
        );
    }
}

#[test]
fn inspect_tells_why_a_file_would_not_be_loaded() {
    let site = Site::new();
    let mut all = String::new();
    let mut check = |what: &str, file: &Path| {
        let outcome = inspect(&site, file);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (1, ""), "{what}: {outcome:#?}");
        assert!(!outcome.stdout.trim_end().contains(|c: char| c.is_control() && c != '\n'), "{outcome:#?}");
        let shown =
            shown(&site, &outcome).replace(&*dummies().parent().unwrap().to_string_lossy(), "[BUILT]");
        all.push_str(&format!("# {what}\n{shown}"));
    };
    check("other major", &patched(&site, "major.so", "cdist-preos 1.0", "cdist-preos 2.0"));
    check("slash", &patched(&site, "slash.so", "netbsd", "net/sd"));
    check("escape sequence", &patched(&site, "escape.so", "netbsd", "\x1b[31m!"));
    let mut bytes = fs::read(dummies()).unwrap();
    bytes[18..20].copy_from_slice(&[22, 0]);
    let other = site.dir("built").join("s390.so");
    install_bytes(&bytes, &other);
    check("other processor", &other);
    check("no library name", &built(&site, "dummies.so.bak"));
    let writable = built(&site, "writable.so");
    mode(&writable, 0o666);
    check("writable", &writable);
    let link = site.dir("built").join("link.so");
    symlink(built(&site, "dummies.so"), &link).unwrap();
    check("link", &link);
    let fifo = site.dir("built").join("fifo.so");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    check("fifo", &fifo);
    let script = site.dir("built").join("script.so");
    install_bytes(b"#!/bin/sh\n", &script);
    check("script", &script);
    check("directory", &site.dir("built"));
    check("nothing", Path::new("nothing.so"));
    insta::assert_snapshot!(all);
}

#[test]
fn inspect_shows_control_characters() {
    let site = Site::new();
    let file = patched(&site, "\x1b[2Jloud.so", "NetBSD dummy", "\x1b[2J\x07\x1b]0;x!!");
    let outcome = inspect(&site, &file);
    assert_eq!(outcome.status, 0);
    assert!(outcome.stdout.contains("\\u{1b}[2J\\u{7}") && outcome.stdout.contains("/\\u{1b}[2Jloud.so"));
    assert!(!outcome.stdout.contains(['\x1b', '\x07']));
}

#[test]
fn inspect_takes_a_bare_name_and_one_that_is_not_utf8() {
    let site = Site::new();
    built(&site, "dummies.so");
    let mut command = site.command_of("plugin");
    command.current_dir(site.root().join("built")).args(["inspect", "dummies.so"]);
    let outcome = finish(&mut command);
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    let file = site.root().join("built").join(std::ffi::OsStr::from_bytes(b"a\xff.so"));
    install(&dummies(), &file);
    assert_eq!(inspect(&site, &file).status, 0);
    assert_eq!(inspect_json(&site, &file).0, 0);
}

#[test]
fn inspect_answers_whatever_is_damaged() {
    let site = Site::new();
    let bytes = fs::read(dummies()).unwrap();
    let file = site.root().join("mutated.so");
    let mut random = fastrand::Rng::with_seed(1);
    let mut below = |limit: usize| random.usize(..limit);
    let mut loadable = 0;
    for turn in 0..400 {
        let mut mutated = bytes.clone();
        for _ in 0..=below(12) {
            // The headers, the tables after them, the section headers, anywhere.
            let at = match turn % 4 {
                0 => below(1024),
                1 => below(8192),
                2 => bytes.len() - 1 - below(2048),
                _ => below(bytes.len()),
            };
            mutated[at] = u8::try_from(below(256)).unwrap();
        }
        if turn % 16 == 15 {
            mutated.truncate(below(bytes.len()));
        }
        install_bytes(&mutated, &file);
        let outcome = inspect(&site, &file);
        assert!(matches!(outcome.status, 0 | 1), "turn {turn}: {outcome:#?}");
        assert!(outcome.stderr.is_empty(), "turn {turn}: {outcome:#?}");
        assert_eq!(
            outcome.status == 0,
            outcome.stdout.contains("\nLoadable:   yes\n"),
            "turn {turn}: {outcome:#?}"
        );
        assert!(outcome.stdout.contains("\nSHA-256:    "), "turn {turn}: {outcome:#?}");
        assert!(!outcome.stdout.contains(|c: char| c.is_control() && c != '\n'), "turn {turn}: {outcome:#?}");
        loadable += i32::from(outcome.status == 0);
    }
    assert!((40..390).contains(&loadable), "the mutations test both verdicts: {loadable}");
}

#[test]
fn the_list_has_what_is_skipped_and_replaced() {
    let site = Site::new();
    let home = site.home_plugins();
    install(&dummies(), &home.join("a.so"));
    install(&dummies(), &home.join("b.so"));
    install_bytes(b"", &home.join("empty.so"));
    let outcome = site.plugin(["list"]);
    insta::assert_snapshot!(shown(&site, &outcome));
    let value: Value = serde_json::from_str(&site.plugin(["list", "--json"]).stdout).unwrap();
    let preoses: Value = serde_json::from_str(&site.preos(["-L", "--json"]).stdout).unwrap();
    assert_eq!(value["preoses"], preoses);
    assert_eq!(value["skipped"][0]["file"], home.join("empty.so").to_str().unwrap());
    assert_eq!(value["replaced"].as_array().unwrap().len(), 3);
    assert_eq!(value["replaced"][0]["by"], home.join("b.so").to_str().unwrap());
    let more = site.dir("more");
    install(&hostile(), &more.join("hostile.so"));
    assert!(site.plugin(["list", "--plugin-dir", "more"]).stdout.contains("- seven "));
}

#[test]
fn the_walk_from_installing_to_removing() {
    let site = Site::new();
    let file = built(&site, "dummies.so");
    mode(&file, 0o777);
    let mut all = shown(&site, &install_words(&site, &file, &[]));
    let installed = site.root().join("home/.cdist/preos/dummies.so");
    let metadata = fs::metadata(&installed).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o644);
    assert_eq!(metadata.uid(), nix::unistd::geteuid().as_raw());
    assert_eq!(fs::read(&installed).unwrap(), fs::read(dummies()).unwrap());
    assert_eq!(site.preos(["netbsd"]).stdout, "NetBSD PreOS: []\n");
    all.push_str(&shown(&site, &install_words(&site, &file, &[])));
    all.push_str(&shown(&site, &site.plugin(["remove", "freebsd"])));
    assert!(names_in(installed.parent().unwrap()).is_empty());
    all.push_str(&shown(&site, &site.plugin(["remove", "freebsd"])));
    all.push_str(&shown(&site, &site.plugin(["remove", "debian"])));
    insta::assert_snapshot!(all);
}

#[test]
fn what_is_not_installed() {
    let site = Site::new();
    let mut all = String::new();
    let mut check = |what: &str, file: &Path, words: &[&str]| {
        let outcome = install_words(&site, file, words);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{what}: {outcome:#?}");
        all.push_str(&format!("{what}: {}", site.filtered(&outcome.stderr)));
    };
    check("text", Path::new("/etc/passwd"), &[]);
    check("missing", Path::new("missing.so"), &[]);
    check("directory", &site.dir("built"), &[]);
    let mut bytes = fs::read(dummies()).unwrap();
    bytes[18..20].copy_from_slice(&[22, 0]);
    let other = site.dir("built").join("s390.so");
    install_bytes(&bytes, &other);
    check("other processor", &other, &[]);
    check("newer major", &patched(&site, "a.so", "cdist-preos 1.0", "cdist-preos 2.0"), &[]);
    for name in ["net/sd", "net sd", "\x1b[31m!", "../bsd"] {
        check("name of a PreOS", &patched(&site, "a.so", "netbsd", name), &[]);
    }
    // 65 letters: the name goes on where its field ended.
    let from = "netbsd\tNetBsdModule\tNetBSD dummy PreOS\npreos \tFreeBSD\tFreeBSD dummy ";
    let long = format!("{}\t", "n".repeat(from.len() - 1));
    check("long name", &patched(&site, "a.so", from, &long), &[]);
    for name in ["no-library", ".hidden.so", "new\nline.so"] {
        check("name of a file", &built(&site, name), &[]);
    }
    let open = site.dir("open");
    for bits in [0o777, 0o775, 0o1777] {
        mode(&open, bits);
        check("directory of all", &built(&site, "dummies.so"), &["--dir", "open"]);
    }
    let below = site.dir("open/below");
    mode(&open, 0o777);
    check("below a directory of all", &built(&site, "dummies.so"), &["--dir", below.to_str().unwrap()]);
    check("no directory", &built(&site, "dummies.so"), &["--dir", "nowhere"]);
    let distribution = staged().join("lib/cdist/preos");
    check("distribution", &built(&site, "dummies.so"), &["--dir", distribution.to_str().unwrap()]);
    assert!(names_in(&site.home_plugins()).is_empty());
    assert_eq!(names_in(&open), ["below"]);
    insta::assert_snapshot!(all);
}

#[test]
fn installing_over_a_preos_of_the_distribution_warns() {
    let site = Site::new();
    let file = patched(&site, "mine.so", "netbsd", "debian");
    insta::assert_snapshot!(shown(&site, &install_words(&site, &file, &[])));
    let outcome = site.plugin(["remove", "debian"]);
    assert!(outcome.stdout.contains("PreOS debian now comes from "), "{outcome:#?}");
}

#[test]
fn what_changes_with_a_new_version_is_told() {
    let site = Site::new();
    let _ = install_words(&site, &built(&site, "a.so"), &[]);
    let newer = patched(&site, "a.so", "netbsd", "openbs");
    let outcome = install_words(&site, &newer, &[]);
    assert!(outcome.stdout.contains("no longer in it: netbsd"), "{outcome:#?}");
    let _ = install_words(&site, &built(&site, "z.so"), &[]);
    let outcome = install_words(&site, &newer, &[]);
    assert!(outcome.stderr.contains("warning: PreOS freebsd comes from "), "{outcome:#?}");
    let other = site.dir("other");
    let outcome = install_words(&site, &newer, &["--dir", other.to_str().unwrap()]);
    assert!(outcome.stderr.contains("only if --plugin-dir or CDIST_PREOS_PATH names it"), "{outcome:#?}");
    let outcome = site.plugin(["remove", "openbs", "--dir", "other"]);
    assert_eq!((outcome.status, names_in(&other).len()), (0, 0), "{outcome:#?}");
}

#[test]
fn a_plugin_that_runs_is_not_disturbed_by_its_successor() {
    let site = Site::new();
    let file = site.dir("built").join("hostile.so");
    install(&hostile(), &file);
    let _ = install_words(&site, &file, &[]);
    let installed = site.home_plugins().join("hostile.so");
    let before = fs::metadata(&installed).unwrap().ino();
    let mut command = site.command();
    command.args(["lingers", "here", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let ready = site.root().join("here.ready");
    wait("the plugin runs", Duration::from_secs(30), || ready.is_file());
    // Quite another library under the same name.
    install(&dummies(), &file);
    let outcome = install_words(&site, &file, &[]);
    assert!(outcome.stdout.contains("it replaces the earlier file of this name"), "{outcome:#?}");
    assert_ne!(fs::metadata(&installed).unwrap().ino(), before);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("was cancelled") || stderr.contains("cancelled by SIGTERM"), "{stderr}");
    assert!(!stderr.contains("died"), "{stderr}");
    assert_eq!(site.preos(["netbsd"]).stdout, "NetBSD PreOS: []\n");
}

#[test]
fn the_record_is_kept_and_obeyed() {
    let site = Site::new();
    let home = site.home_plugins();
    install(&hostile(), &home.join("hostile.so"));
    let mut all = shown(&site, &install_words(&site, &built(&site, "dummies.so"), &["--record"]));
    let sha256sum =
        || run(Command::new("sha256sum").args(["--strict", "-c", "plugins.sha256"]).current_dir(&home));
    assert_eq!(sha256sum(), "dummies.so: OK\nhostile.so: OK\n");
    assert_eq!(fs::metadata(home.join("plugins.sha256")).unwrap().mode() & 0o777, 0o644);
    let quiet = site.preos(["netbsd"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("NetBSD PreOS: []\n", ""));

    // Another content, and one that is not named.
    let changed = patch_text(&fs::read(dummies()).unwrap(), "NetBSD dummy PreOS", "NetBSD clever OS!!");
    install_bytes(&changed, &home.join("dummies.so"));
    install_bytes(&changed, &home.join("unnamed.so"));
    let list = site.preos(["-L"]);
    assert_eq!(list.skipped().len(), 2, "{list:#?}");
    assert!(!list.stdout.contains("netbsd") && list.stdout.contains("seven"), "{list:#?}");
    all.push_str(shown(&site, &site.plugin(["list"])).split_once("Skipped").unwrap().1);
    assert_eq!(inspect(&site, &home.join("unnamed.so")).status, 1);
    fs::remove_file(home.join("unnamed.so")).unwrap();

    // Installing again, without the option, repairs it; removing forgets it.
    all.push_str(&shown(&site, &install_words(&site, &built(&site, "dummies.so"), &[])));
    assert_eq!(sha256sum(), "dummies.so: OK\nhostile.so: OK\n");
    assert_eq!(site.plugin(["remove", "netbsd"]).status, 0);
    assert_eq!(sha256sum(), "hostile.so: OK\n");
    assert_eq!(names_in(&home), ["hostile.so", "plugins.sha256"]);
    insta::assert_snapshot!(all);
}

#[test]
fn a_record_that_cannot_be_used_ends_everything_beside_it() {
    let site = Site::new();
    let home = site.home_plugins();
    install(&dummies(), &home.join("dummies.so"));
    let record = home.join("plugins.sha256");
    let mut all = String::new();
    let mut check = |what: &str| {
        let list = site.preos(["-L"]);
        assert!(list.stdout.contains("debian") && !list.stdout.contains("netbsd"), "{what}: {list:#?}");
        let [(_, reason)] = list.skipped()[..] else { panic!("{what}: {list:#?}") };
        all.push_str(&format!("{what}: {}\n", site.filtered(reason)));
        let outcome = install_words(&site, &built(&site, "other.so"), &[]);
        assert_eq!(outcome.status, if what == "empty" { 0 } else { 1 }, "{what}: {outcome:#?}");
    };
    fs::write(&record, "nonsense\n").unwrap();
    mode(&record, 0o644);
    check("nonsense");
    mode(&record, 0o666);
    check("writable");
    fs::remove_file(&record).unwrap();
    symlink("/etc/passwd", &record).unwrap();
    check("link");
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    check("directory");
    insta::assert_snapshot!(all);
}

#[test]
fn many_at_once_lose_nothing_of_the_record() {
    let site = Site::new();
    let _ = install_words(&site, &built(&site, "first.so"), &["--record"]);
    let names: Vec<String> = (0..8).map(|number| format!("lib{number}.so")).collect();
    let files: Vec<PathBuf> = names.iter().map(|name| built(&site, name)).collect();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| assert_eq!(install_words(&site, file, &[]).status, 0));
        }
    });
    let home = site.home_plugins();
    let checked =
        run(Command::new("sha256sum").args(["--strict", "-c", "plugins.sha256"]).current_dir(&home));
    assert_eq!(checked.lines().count(), 9, "{checked}");
    assert!(site.preos(["-L"]).skipped().is_empty());
}

/// A Python file of the site that leaves a trace where it is executed.
fn python(site: &Site, name: &str, more: &str) -> PathBuf {
    let file = site.dir("built").join(name);
    let trace = site.root().join("executed");
    let text = format!(
        "open({:?}, 'w')\n{more}\n_cdist_preos = True\ndef commandline(m, args): print('ran', args)\n",
        trace.display().to_string()
    );
    install_bytes(text.as_bytes(), &file);
    file
}

#[test]
fn inspect_does_not_execute_python_files() {
    let site = Site::new();
    let file = python(&site, "plan9.py", "");
    let mut all = shown(&site, &inspect(&site, &file));
    all.push_str(&shown(&site, &inspect(&site, &python(&site, "_common.py", ""))));
    let (status, value) = inspect_json(&site, &file);
    assert_eq!((status, &value["kind"]), (0, &"Python plugin, which is executed to be listed".into()));
    assert_eq!((&value["elf"], &value["preoses"]), (&Value::Null, &serde_json::json!([])));
    mode(&file, 0o666);
    all.push_str(&shown(&site, &inspect(&site, &file)));
    let library = built(&site, "library.py");
    let (status, value) = inspect_json(&site, &library);
    assert_eq!((status, &value["elf"], &value["api"]), (0, &Value::Null, &Value::Null));
    assert!(inspect(&site, Path::new("missing.py")).stdout.contains("Loadable:   no: it cannot be opened"));
    assert!(!site.root().join("executed").exists());
    insta::assert_snapshot!(all);
}

#[test]
fn the_list_has_python_files() {
    let site = Site::new();
    let home = site.home_plugins();
    install(&python(&site, "plan9.py", "'Plan 9'"), &home.join("plan9.py"));
    install_bytes(b"import nothing_of_this_name\n", &home.join("broken.py"));
    install(&dummies(), &home.join("a.so"));
    let text = "_cdist_preos = True\n_preos_name = 'netbsd'\ndef commandline(m, args): pass\n";
    install_bytes(text.as_bytes(), &home.join("other.py"));
    insta::assert_snapshot!(shown(&site, &site.plugin(["list"])));
    let value: Value = serde_json::from_str(&site.plugin(["list", "--json"]).stdout).unwrap();
    let plan9 = value["preoses"].as_array().unwrap().iter().find(|preos| preos["name"] == "plan9").unwrap();
    assert_eq!((&plan9["api"], &value["no_python"]), (&"python".into(), &Value::Null));
    assert_eq!(value["skipped"][0]["file"], home.join("broken.py").to_str().unwrap());
    assert_eq!(value["replaced"][0]["by"], home.join("other.py").to_str().unwrap());
}

#[test]
fn python_files_from_installing_to_removing() {
    let site = Site::new();
    let home = site.home_plugins();
    let trace = site.root().join("executed");
    let file =
        python(&site, "plan9.py", "class Inferno:\n  _cdist_preos = True\n  def commandline(c, a): pass");
    let mut all = shown(&site, &install_words(&site, &file, &["--record"]));
    assert!(!trace.exists(), "installing executes nothing of it");
    assert_eq!(site.preos(["plan9", "x"]).stdout, "ran ['x']\n");
    assert!(trace.exists());

    // What the record does not name, or not with this content, is not executed, neither to be listed nor imported.
    fs::remove_file(&trace).unwrap();
    let importer = site.dir("built").join("importer.py");
    let text = "import _common\n_cdist_preos = True\ndef commandline(m, a): print(_common)\n";
    install_bytes(text.as_bytes(), &importer);
    assert_eq!(install_words(&site, &importer, &[]).status, 0);
    install(&python(&site, "_common.py", ""), &home.join("_common.py"));
    install_bytes(&[&fs::read(&file).unwrap()[..], b"#"].concat(), &home.join("plan9.py"));
    let list = site.preos(["-L"]);
    assert_eq!(list.skipped().len(), 3, "{list:#?}");
    assert!(!trace.exists(), "{list:#?}");
    all.push_str(&shown(&site, &site.plugin(["list"])));
    assert_eq!(inspect(&site, &home.join("plan9.py")).status, 1);
    assert_eq!(install_words(&site, &python(&site, "_common.py", ""), &[]).status, 0);
    assert!(site.preos(["importer"]).stdout.contains("module '_common'"));

    assert_eq!(install_words(&site, &file, &[]).status, 0);
    all.push_str(&shown(&site, &site.plugin(["remove", "plan9"])));
    all.push_str(&shown(&site, &site.plugin(["remove", "inferno"])));
    assert_eq!(names_in(&home), ["_common.py", "importer.py", "plugins.sha256"]);
    let checked =
        run(Command::new("sha256sum").args(["--strict", "-c", "plugins.sha256"]).current_dir(&home));
    assert_eq!(checked, "_common.py: OK\nimporter.py: OK\n");
    insta::assert_snapshot!(all);
}
