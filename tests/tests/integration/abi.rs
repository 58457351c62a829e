//! The ABI is stable: plugins built by Debian's compilers, older and newer than the host's, load and work in it.
//!
//! The compilers come from Debian's archive by `apt-get download`. They are unpacked below `target/abi`, never installed,
//! and kept there with what they built, by content.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::{run, tool},
    plugins::{Outcome, Site, cargo, dummies, finish, install, lock, workspace},
};

/// The dummies, built by a compiler of Debian 12.
fn built_by(compiler: &str) -> PathBuf {
    build("examples/dummies", compiler)
}

fn build(source: &str, compiler: &str) -> PathBuf {
    let _ = tool("apt-get", "apt");
    let dir = workspace().join("target/abi");
    // Two tests want the same one; what different compilers make is apart.
    let _lock = lock(&dir.join(format!("{compiler}.lock")));
    let script = workspace().join("tests/abi/compiler");
    let mut command = Command::new(script);
    command.arg(compiler).arg(&dir).arg(source).env("CARGO", cargo().get_program());
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut command);
    let name = Path::new(source).file_name().expect("a crate has a directory").to_string_lossy();
    dir.join(compiler).join(format!("lib{name}.so"))
}

fn site_with(library: &Path) -> Site {
    let site = Site::new();
    install(library, &site.home_plugins().join("dummies.so"));
    site
}

fn ok(outcome: &Outcome) -> &str {
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:#?}");
    &outcome.stdout
}

fn works_when_built_by(compiler: &str, version: &str) {
    works(&site_with(&built_by(compiler)), version);
}

/// Goes through what crosses the border: names, arguments, services of the host, errors.
fn works(site: &Site, version: &str) {
    let list = site.preos(["-L", "--json"]);
    let entries: serde_json::Value = serde_json::from_str(ok(&list)).expect("the list is JSON");
    let netbsd = entries.as_array().into_iter().flatten().find(|entry| entry["name"] == "netbsd");
    let compiler = netbsd.and_then(|entry| entry["built_with"].as_str());
    assert!(compiler.is_some_and(|compiler| compiler.starts_with(version)), "{entries}");

    assert_eq!(ok(&site.preos(["netbsd", "-h", "", "é"])), "NetBSD PreOS: [\"-h\", \"\", \"é\"]\n");
    assert_eq!(ok(&site.preos(["freebsd"])), "FreeBSD dummy preos: []\n");
    let usage = site.preos(["toolbox"]);
    assert_eq!((usage.status, usage.error()), (2, "toolbox: usage: cdist preos toolbox TARGET_DIR PXE_DIR"));
    let missing = site.preos(["toolbox", "/proc/none/root", "/proc/none/pxe"]);
    assert_eq!(missing.error(), "toolbox: the directory toolbox/ beside the plugin is missing");

    // A command run by the host, a log line with its output, a recipe that cannot be built there.
    fs::create_dir(site.home_plugins().join("toolbox")).expect("making a directory");
    let built = finish(site.command().args(["-v", "toolbox", "/proc/none/root", "/proc/none/pxe"]));
    assert_eq!(built.status, 1);
    let machine = run(Command::new("uname").arg("-m"));
    assert!(built.stderr.contains(&format!("building for {}", machine.trim())), "{built:#?}");
    assert!(built.error().starts_with("toolbox: "), "{built:#?}");
}

/// What is left of a plugin in Rust when abi_stable has to go.
#[test]
fn a_plugin_in_rust_with_nothing_but_the_c_table_works_as_well() {
    works(&site_with(&cdist_tests::plugins::build("tests/fixtures/ctable")), "rustc, by the C table");
}

#[test]
fn a_plugin_of_an_older_compiler_works() {
    works_when_built_by("rustc", "rustc 1.63.0");
}

#[test]
fn an_older_compiler_builds_and_tests_the_examples() {
    for name in ["devuan", "busybox"] {
        let library = build(&format!("examples/{name}"), "rustc");
        let site = site_with(&library);
        assert!(ok(&site.preos([name, "-h"])).contains("Usage: "), "{name}");
    }
}

#[test]
fn a_plugin_of_a_newer_compiler_works() {
    works_when_built_by("rustc-web", "rustc 1.");
}

#[test]
fn plugins_of_three_compilers_stand_side_by_side() {
    let site = Site::new();
    for (dir, library) in [("a", dummies()), ("b", built_by("rustc")), ("c", built_by("rustc-web"))] {
        install(&library, &site.dir(dir).join("dummies.so"));
    }
    for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
        let words = order.iter().flat_map(|&dir| ["--plugin-dir", dir]).chain(["freebsd", "x"]);
        let outcome = site.preos(words);
        assert_eq!(outcome.stdout, "FreeBSD dummy preos: [\"x\"]\n", "{outcome:#?}");
        // Three PreOSes replaced twice each.
        assert_eq!(outcome.stderr.lines().count(), 6, "{outcome:#?}");
    }
}
