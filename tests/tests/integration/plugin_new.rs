//! `cdist plugin new`: projects that build, pass their tests and run as they are, whatever their names.

use std::{
    ffi::OsStr,
    fmt::Write,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::{run, tool},
    plugins::{Outcome, Site, cargo, finish, lock, make, workspace},
};

const LANGUAGES: [&str; 3] = ["rust", "c", "python"];
/// Names that are no words of a language, or are words of one.
const NAMES: [&str; 5] = ["self", "9-front", "a.b_c+D", "test", "json"];

/// The project `name`, made in the site.
fn new(site: &Site, name: &str, language: &str) -> PathBuf {
    let dir = site.root().join(format!("{language}-{name}"));
    let outcome = site.plugin(["new", name, "--lang", language, "--dir", dir.to_str().unwrap()]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:#?}");
    dir
}

/// `cdist preos` in the project, with the plugins of its directory `built`.
fn preos(site: &Site, dir: &Path, built: impl AsRef<OsStr>, words: &[&str]) -> Outcome {
    finish(site.command().current_dir(dir).arg("--plugin-dir").arg(built).args(words))
}

/// What every new plugin does, whichever language it is in.
fn works(site: &Site, dir: &Path, built: impl AsRef<OsStr>, name: &str) {
    let help = preos(site, dir, &built, &[name, "-h"]);
    assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{help:#?}");
    assert!(help.stdout.starts_with(&format!("usage: cdist preos {name} [-h] [-p PXE_DIR] TARGET_DIR\n")));
    let list = preos(site, dir, &built, &["-L"]);
    assert!(list.stdout.contains(&format!("{name}, a minimal OS to boot over the network")), "{list:#?}");
    assert_eq!(list.stderr, "");
    for words in [&[name][..], &[name, "--nonsense", "root"]] {
        let wrong = preos(site, dir, &built, words);
        assert_eq!((wrong.status, wrong.stdout.as_str()), (2, ""), "{wrong:#?}");
    }
}

/// cargo in a project, in a target directory that is shared with other tests.
fn in_project(dir: &Path, words: &[&str]) -> String {
    let target = workspace().join("target/examples");
    // The versions of the crates that are there already, whatever the registry has by now.
    fs::copy(workspace().join("examples/dummies/Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let _lock = lock(&target.join("lock"));
    let mut cargo = cargo();
    cargo.args(words).current_dir(dir).env("CARGO_TARGET_DIR", &target);
    run(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols"))
}

/// Builds the project with the library's name `ident`, and returns a directory with the library.
fn build_rust(dir: &Path, ident: &str) -> PathBuf {
    in_project(dir, &["build", "--quiet"]);
    let built = dir.join("built");
    fs::create_dir(&built).unwrap();
    let library = format!("libpreos_{ident}.so");
    fs::copy(workspace().join("target/examples/debug").join(&library), built.join(library)).unwrap();
    built
}

#[test]
fn rust_builds_passes_its_tests_and_runs() {
    let site = Site::new();
    let dir = new(&site, "hello", "rust");
    let tests = in_project(&dir, &["test", "--quiet"]);
    assert!(tests.contains("3 passed"), "{tests}");
    works(&site, &dir, build_rust(&dir, "hello"), "hello");
}

#[test]
fn rust_is_formatted_and_clippy_finds_nothing() {
    let site = Site::new();
    let dir = new(&site, "free-bsd", "rust");
    in_project(&dir, &["fmt", "--check"]);
    in_project(&dir, &["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]);
}

#[test]
fn rust_with_odd_names() {
    let site = Site::new();
    for (name, ident) in [("self", "self"), ("a.b_c+D", "a_b_c_D"), ("9-front", "9_front")] {
        let dir = new(&site, name, "rust");
        works(&site, &dir, build_rust(&dir, ident), name);
    }
}

#[test]
fn c_builds_passes_its_tests_and_runs() {
    let site = Site::new();
    for name in NAMES {
        let dir = new(&site, name, "c");
        let run_make = |words: &[&str]| run(make().args(words).current_dir(&dir));
        let tests = run_make(&["--silent", "test"]);
        assert_eq!(tests, "3 tests passed\n");
        run_make(&[]);
        works(&site, &dir, ".", name);
        run_make(&["clean"]);
    }
}

#[test]
fn python_passes_its_tests_and_runs() {
    let site = Site::new();
    for name in NAMES {
        let dir = new(&site, name, "python");
        let mut python = Command::new(tool("python3", "python3"));
        let tests = finish(python.args(["-B", "-W", "error", "-m", "unittest"]).current_dir(&dir));
        assert!(tests.status == 0 && tests.stderr.contains("Ran 3 tests"), "{tests:#?}");
        works(&site, &dir, "preos", name);
    }
}

#[test]
fn scripts_are_clean() {
    let site = Site::new();
    let mut shellcheck = Command::new(tool("shellcheck", "shellcheck"));
    // Some of them are given to a shell as a text.
    shellcheck.args(["-s", "sh", "--"]);
    for language in LANGUAGES {
        shellcheck.arg(new(&site, "hello", language).join("ci.sh"));
    }
    run(shellcheck.arg(site.root().join("rust-hello/src/bootstrap.sh")));
}

#[test]
fn what_is_made() {
    let site = Site::new();
    for language in LANGUAGES {
        let mut text = site.plugin(["new", "free-bsd", "--lang", language]).stdout;
        let dir = site.root().join("free-bsd");
        for file in files(&dir) {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            let name = file.strip_prefix(&dir).unwrap().display();
            let content = fs::read_to_string(&file).unwrap();
            write!(text, "---- {name} {mode:o}\n{content}").unwrap();
        }
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o755);
        insta::assert_snapshot!(format!("project_in_{language}"), site.filtered(&text));
        fs::remove_dir_all(&dir).unwrap();
    }
    assert_eq!(files(site.root()), [""; 0].map(PathBuf::from), "something is left");
}

/// All files below, sorted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

#[test]
fn what_cannot_be_made() {
    let site = Site::new();
    fs::write(site.dir("full").join("file"), "").unwrap();
    let _ = site.dir("empty");
    symlink("empty", site.root().join("link")).unwrap();
    let mut text = String::new();
    for words in [
        &["new", ""][..],
        &["new", "-x"],
        &["new", "a b"],
        &["new", "../x"],
        &["new", "é\u{1b}"],
        &["new", "x", "--lang", "perl"],
        &["new", "x", "--dir", "."],
        &["new", "x", "--dir", "full"],
        &["new", "full"],
        &["new", "x", "--dir", "full/file"],
        &["new", "x", "--dir", "full/file/x"],
        &["new", "x", "--dir", "link"],
        &["new", "x", "--dir", "none/x"],
    ] {
        let outcome = site.plugin(words);
        assert_eq!(outcome.stdout, "", "{words:?}");
        writeln!(text, "{words:?}: status {}\n{}", outcome.status, site.filtered(&outcome.stderr)).unwrap();
    }
    insta::assert_snapshot!(text);
    assert_eq!(files(site.root()), [site.root().join("full/file"), site.root().join("link")]);
    let made = site.plugin(["new", "x", "--dir", "empty/"]);
    assert_eq!(made.status, 0, "an empty directory is no hindrance: {made:#?}");
}

#[test]
fn a_cdist_that_is_not_whole_or_has_an_odd_place_says_so() {
    let site = Site::new();
    let mut text = String::new();
    for place in ["part", "it's"] {
        let bin = site.dir(place).join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy(site.command().get_program(), bin.join("cdist")).unwrap();
        if place == "it's" {
            fs::write(site.dir("it's/share/cdist/plugin-api").join("Cargo.toml"), "").unwrap();
        }
        let mut command = Command::new(bin.join("cdist"));
        let outcome = finish(command.args(["plugin", "new", "hello"]).current_dir(site.root()));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        text.push_str(&site.filtered(&outcome.stderr));
    }
    insta::assert_snapshot!(text);
    assert!(!site.root().join("hello").exists());
}
