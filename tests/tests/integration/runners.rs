//! One test program per tier, and no file of tests that a tier forgets.

use std::{fs, path::Path};

use cdist_tests::preos::workspace;

/// The names of the modules that the runner `main.rs` in `dir` lists.
fn listed(dir: &Path) -> Vec<String> {
    let runner = dir.join("main.rs");
    let source = fs::read_to_string(&runner).unwrap_or_else(|error| panic!("{}: {error}", runner.display()));
    let name = |line: &str| line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned);
    source.lines().filter_map(name).collect()
}

/// The names of the Rust files in `dir`, without the runner.
fn files(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("main.rs") {
            names.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}

#[test]
fn every_file_of_tests_is_in_a_runner() {
    for tests in ["tests/tests", "cli/tests"] {
        let tests = workspace().join(tests);
        assert_eq!(files(&tests), Vec::<String>::new(), "{}: a test program of its own", tests.display());
        let mut runners = 0;
        for entry in fs::read_dir(&tests).unwrap() {
            let dir = entry.unwrap().path();
            assert_eq!(listed(&dir), files(&dir), "{}", dir.display());
            runners += 1;
        }
        assert!(runners > 0, "{}", tests.display());
    }
}

/// A tier that no target of the Makefile names would never run.
#[test]
fn every_tier_has_a_target() {
    let makefile = fs::read_to_string(workspace().join("Makefile")).unwrap();
    for entry in fs::read_dir(workspace().join("tests/tests")).unwrap() {
        let tier = entry.unwrap().file_name().into_string().unwrap();
        assert!(makefile.contains(&format!("binary({tier})")), "no target runs {tier}");
    }
}
