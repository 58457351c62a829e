//! The museum: binaries of plugins of every released plugin API, built by several compilers and committed, work in
//! this host, and would in a later one of 1.x. What they were built from: `tests/museum`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::run,
    plugins::{Outcome, Site, cargo, finish, install, lock, museum, workspace},
};

/// The releases of the plugin API that have exhibits.
const RELEASES: [&str; 1] = ["1.0.0"];

/// All committed exhibits, of all releases.
fn exhibits() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for release in RELEASES.map(museum) {
        run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&release));
        let entries = fs::read_dir(&release).expect("reading a release");
        files.extend(entries.map(|entry| entry.expect("reading a release").path()));
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "so"));
    files.sort();
    files
}

fn is_c(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gcc"))
}

/// A home with one exhibit and the data directory of its PreOS.
fn site_with(exhibit: &Path) -> Site {
    let site = Site::new();
    let plugins = site.home_plugins();
    install(exhibit, &plugins.join("exhibit.so"));
    fs::create_dir(plugins.join("exhibit")).expect("making a directory");
    site
}

fn printed(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    &outcome.stdout
}

#[test]
fn no_exhibit_is_missing() {
    let names: Vec<PathBuf> = exhibits();
    for expected in ["gcc-12.so", "rustc-1.63.so", "rustc-1.95.so", "rustc-1.96.so"]
        .map(|name| museum("1.0.0").join(name))
    {
        assert!(names.contains(&expected), "{} is not among {names:?}", expected.display());
    }
}

#[test]
fn every_exhibit_is_listed_and_works() {
    for exhibit in exhibits() {
        let site = site_with(&exhibit);
        let list: serde_json::Value =
            serde_json::from_str(printed(&site.preos(["-L", "--json"]))).expect("the list is JSON");
        let shown: Vec<(String, String)> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["name"].as_str().is_some_and(|name| name.starts_with("exhibit")))
            .map(|entry| (entry["name"].to_string(), entry["summary"].to_string()))
            .collect();
        let expected = [("exhibit", "what plugin API 1.0 has; é"), ("exhibit-2", "")];
        assert_eq!(
            shown,
            expected.map(|(name, summary)| (format!("{name:?}"), format!("{summary:?}"))),
            "{list}"
        );

        assert_eq!(printed(&site.preos(["exhibit", "", "-h", "é"])), "arguments: |-h|é\n");
        assert_eq!(printed(&site.preos(["exhibit-2"])), "the other one\n");
        assert_eq!(site.preos(["exhibit", "status", "7"]).status, 7);
        let failed = site.preos(["exhibit", "fail"]);
        assert_eq!((failed.status, failed.error()), (9, "exhibit: it fails: é"), "{}", exhibit.display());
        if !is_c(&exhibit) {
            let panicked = site.preos(["exhibit", "panic"]);
            assert!(panicked.error().starts_with("exhibit: the plugin panicked: on demand"), "{panicked:#?}");
        }
    }
}

/// What an exhibit asks its host, and what a host has to answer for all of 1.x.
#[test]
fn every_exhibit_gets_what_it_asks_for() {
    const EXPECTED: &str = r#"cancelled: false
conf: None
data_dir: true
no data_dir: None
cdist_exe: true
verbosity: 4
beta: true
extension: false
run: "/\na\\b\nread\r\nin"
failed run: true
refused key: true
failed build: true
failed configure: true
"#;
    for exhibit in exhibits() {
        let site = site_with(&exhibit);
        let outcome = finish(site.command().args(["-vvvv", "--beta", "exhibit", "host"]));
        assert_eq!(printed(&outcome), EXPECTED, "{}: {outcome:#?}", exhibit.display());
        for level in ["10", "15", "20", "30", "40"] {
            assert!(
                outcome.stderr.contains(&format!("level {level}")),
                "{}: {outcome:#?}",
                exhibit.display()
            );
        }
        assert!(outcome.stderr.contains("asking"), "{outcome:#?}");
    }
}

/// A copy of the plugin API with a later minor version, with a host and the exhibit built from it.
fn later() -> PathBuf {
    let dir = workspace().join("target/later");
    // With what other tests have built of the API's dependencies.
    let target = workspace().join("target/examples");
    let _lock = lock(&target.join("lock"));
    let _ = fs::remove_dir_all(dir.join("source"));
    for part in ["plugin-api", "tests/museum/exhibit", "tests/fixtures/later-host"] {
        let to = dir.join("source").join(part);
        fs::create_dir_all(to.parent().expect("it has a parent")).expect("making a directory");
        run(Command::new("cp").arg("-RL").arg(workspace().join(part)).arg(&to));
    }
    let manifest = dir.join("source/plugin-api/Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("reading the manifest of the API");
    let later = text.replacen("version = \"1.0.0\"", "version = \"1.9.0\"", 1);
    assert_ne!(text, later, "the version to replace is not in {text}");
    // Alone, or cargo takes the workspace above for its own.
    fs::write(&manifest, later + "\n[workspace]\n").expect("writing the manifest of the API");
    for part in ["tests/fixtures/later-host", "tests/museum/exhibit"] {
        let mut cargo = cargo();
        cargo
            .args(["build", "--quiet", "--manifest-path"])
            .arg(dir.join("source").join(part).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&target);
        run(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols"));
    }
    target.join("debug")
}

#[test]
fn a_later_host_loads_every_exhibit_and_this_one_a_later_plugin() {
    let later = later();
    for exhibit in exhibits().iter().filter(|exhibit| !is_c(exhibit)) {
        let output = run(Command::new(later.join("later-host")).arg(exhibit).args(["Exhibit", "host"]));
        assert!(output.starts_with("host 1.9, plugin 1.0, rustc 1."), "{output}");
        assert!(output.contains(
            "\nExhibit RNone what plugin API 1.0 has; é\nOther RSome(\"exhibit-2\") \necho echo\n"
        ));
        assert!(output.contains("\nrun: \"out\"\n") && output.contains("\nROk(0)\n"), "{output}");
    }
    let site = site_with(&later.join("libexhibit.so"));
    assert_eq!(printed(&site.preos(["exhibit", "a"])), "arguments: a\n");
    assert!(printed(&site.preos(["-L"])).contains("  1.9  "));
}
