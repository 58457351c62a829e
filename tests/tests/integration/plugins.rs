//! `cdist preos` with plugins from outside: the walk of the documentation, the search path, arguments, help.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use cdist_tests::plugins::{Outcome, Site, dummies, finish, hostile, install, install_bytes, patch_text};

/// A site with the dummies in `~/.cdist/preos`.
fn with_dummies() -> Site {
    let site = Site::new();
    install(&dummies(), &site.home_plugins().join("dummies.so"));
    site
}

/// A directory of the site with the dummies in it, whose `netbsd` says `summary` about itself.
fn variant(site: &Site, dir: &str, summary: &str) -> PathBuf {
    let dir = site.dir(dir);
    let bytes = fs::read(dummies()).expect("reading the dummies");
    install_bytes(&patch_text(&bytes, "NetBSD dummy PreOS", summary), &dir.join("variant.so"));
    dir
}

/// Both streams and the status, for a snapshot.
fn shown(site: &Site, outcome: &Outcome) -> String {
    let text = format!("status {}\n{}--\n{}", outcome.status, outcome.stdout, outcome.stderr);
    site.filtered(&text)
}

#[test]
fn the_documented_walk() {
    let site = with_dummies();
    let netbsd = site.preos(["netbsd"]);
    assert_eq!(
        (netbsd.status, netbsd.stdout.as_str(), netbsd.stderr.as_str()),
        (0, "NetBSD PreOS: []\n", "")
    );
    let freebsd = site.preos(["freebsd"]);
    assert_eq!((freebsd.status, freebsd.stdout.as_str()), (0, "FreeBSD dummy preos: []\n"));
}

#[test]
fn help_names_every_preos() {
    let site = with_dummies();
    let help = site.preos(["-h"]);
    assert!(help.stdout.contains("PreOS to create, one of: {debian, freebsd, netbsd, toolbox, ubuntu}"));
    insta::assert_snapshot!(shown(&site, &help));
    for words in [["-v", "--help"], ["-vh", "-q"]] {
        assert!(site.preos(words).stdout.contains("netbsd"), "{words:?}");
    }
}

#[test]
fn help_knows_directories_of_the_command_line() {
    let site = Site::new();
    let dir = variant(&site, "more", "NetBSD from a dir!");
    let conf = site.dir("conf");
    install(&hostile(), &site.dir("conf/preos").join("hostile.so"));
    let (dir, conf) = (dir.to_string_lossy(), conf.to_string_lossy());
    let help = site.preos(["--plugin-dir", &*dir, "-c", &*conf, "-h"]);
    assert_eq!(help.status, 0);
    assert!(help.stdout.contains("NetBSD from a dir!"), "{help:#?}");
    assert!(help.stdout.contains("misbehaves: Panics"), "{help:#?}");
}

#[test]
fn the_list() {
    let site = with_dummies();
    let list = site.preos(["-L"]);
    insta::assert_snapshot!(shown(&site, &list));
    // No name asks for the list as well, as in the original.
    assert_eq!(site.preos::<&str>([]).stdout, list.stdout);
}

#[test]
fn the_list_as_json() {
    let site = with_dummies();
    let list = site.preos(["-L", "--json"]);
    let entries: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let of =
        |name: &str| entries.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    let netbsd = of("netbsd");
    assert_eq!(netbsd["type"], "NetBsdModule");
    assert_eq!(netbsd["summary"], "NetBSD dummy PreOS");
    assert_eq!(netbsd["api"], "1.0");
    assert!(netbsd["built_with"].as_str().unwrap().starts_with("rustc 1."));
    assert!(Path::new(netbsd["file"].as_str().unwrap()).ends_with(".cdist/preos/dummies.so"));
    assert_eq!(of("freebsd")["type"], "FreeBSD");
    let without = site.preos(["--json"]);
    assert_eq!(without.status, 2);
}

#[test]
fn arguments_are_handed_over_untouched() {
    let site = with_dummies();
    let words =
        ["-h", "--", "", "-L", "--plugin-dir", "x y", "größe €", "a\nb", "--help", "netbsd", "\"'$(true)`"];
    let outcome = site.preos(["netbsd"].iter().chain(&words));
    assert_eq!(outcome.stdout, format!("NetBSD PreOS: {words:?}\n"));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    // Options before the name are cdist's own.
    assert_eq!(site.preos(["-v", "-c", "none", "netbsd", "-v"]).stdout, "NetBSD PreOS: [\"-v\"]\n");
}

#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    let site = with_dummies();
    let outcome = site.preos([OsStr::new("netbsd"), OsStr::from_bytes(b"a\xffb")]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(outcome.stderr);
}

#[test]
fn the_status_of_the_plugin_is_passed_on() {
    let site = with_dummies();
    install(&hostile(), &site.home_plugins().join("hostile.so"));
    let seven = site.preos(["seven", "x"]);
    assert_eq!((seven.status, seven.stdout.as_str(), seven.stderr.as_str()), (7, "[\"x\"]\n", ""));
    let usage = site.preos(["toolbox"]);
    assert_eq!((usage.status, usage.error()), (2, "toolbox: usage: cdist preos toolbox TARGET_DIR PXE_DIR"));
}

#[test]
fn an_unknown_name() {
    let site = with_dummies();
    let near = site.preos(["netbds", "-h"]);
    assert_eq!(near.status, 1);
    let far = site.preos(["\x1b[31mplan9"]);
    assert_eq!(far.status, 1);
    insta::assert_snapshot!(format!("{}{}", shown(&site, &near), shown(&site, &far)));
}

#[test]
fn no_name_at_all_with_a_missing_home() {
    let site = Site::new();
    let mut command = site.command();
    command.env("HOME", site.root().join("nowhere")).env("CDIST_PREOS_PATH", "/proc/none:");
    let outcome = finish(command.args(["--plugin-dir", "none", "-c", "none"]));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.contains("debian") && !outcome.stdout.contains("netbsd"));
}

#[test]
fn later_directories_win() {
    let site = Site::new();
    let home = variant(&site, "home/.cdist/preos", "from the home dir!");
    let conf = variant(&site, "conf/preos", "from the conf dir!");
    let environment = variant(&site, "environment", "from the envvar..!");
    let second = variant(&site, "second", "from envvar, 2nd.!");
    let plugins = variant(&site, "plugins", "from --plugin-dir!");
    let winner = |command: &mut std::process::Command| {
        let outcome = finish(command.arg("-L"));
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        let line = outcome.stdout.lines().find(|line| line.contains("- netbsd")).unwrap();
        let file = line.rsplit("  ").next().unwrap();
        (PathBuf::from(file).parent().unwrap().to_owned(), outcome.stderr)
    };
    let mut command = site.command();
    assert_eq!(winner(&mut command), (home.clone(), String::new()));
    let mut command = site.command();
    assert_eq!(winner(command.arg("-c").arg(conf.parent().unwrap())).0, conf);
    let paths = std::env::join_paths([&environment, &second]).unwrap();
    let mut command = site.command();
    command.arg("-c").arg(conf.parent().unwrap()).env("CDIST_PREOS_PATH", &paths);
    let (file, notes) = winner(&mut command);
    assert_eq!(file, second);
    let notes: Vec<&str> = notes.lines().filter(|line| line.contains("PreOS netbsd")).collect();
    assert_eq!(notes.len(), 3, "each replacement is told once: {notes:?}");
    let mut command = site.command();
    command.arg("--plugin-dir").arg(&plugins).env("CDIST_PREOS_PATH", &paths);
    assert_eq!(winner(&mut command).0, plugins);
}

#[test]
fn a_replacement_is_reported_once() {
    let site = with_dummies();
    let dir = variant(&site, "mine", "my very own NetBSD");
    let outcome = site.preos(["--plugin-dir".as_ref(), dir.as_os_str(), "-L".as_ref()]);
    insta::assert_snapshot!(shown(&site, &outcome));
}

#[test]
fn the_same_file_counts_once() {
    let site = with_dummies();
    let file = site.home_plugins().join("dummies.so");
    fs::hard_link(&file, site.home_plugins().join("again.so")).unwrap();
    fs::hard_link(&file, site.dir("other").join("third.so")).unwrap();
    let outcome = site.preos(["--plugin-dir", "other", "--plugin-dir", "other", "netbsd"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("NetBSD PreOS: []\n", ""));
}

#[test]
fn names_in_a_directory_are_searched_in_order() {
    let site = Site::new();
    let dir = site.home_plugins();
    for name in ["b.so", "a.so", "c.so.bak", "d.txt"] {
        install(&dummies(), &dir.join(name));
    }
    let outcome = site.preos(["netbsd"]);
    assert_eq!(outcome.stdout, "NetBSD PreOS: []\n");
    let notes: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("PreOS netbsd")).collect();
    assert!(matches!(notes[..], [note] if note.contains("preos/b.so, which replaces")), "{notes:?}");
}

#[test]
fn a_relative_directory_works() {
    let site = Site::new();
    install(&dummies(), &site.dir("here").join("x.so"));
    for dir in ["here", "./here", "here/../here"] {
        let outcome = site.preos(["--plugin-dir", dir, "netbsd"]);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("NetBSD PreOS: []\n", ""), "{dir}");
    }
    let mut command = site.command();
    command.current_dir(site.root().join("here")).args(["--plugin-dir", ".", "netbsd"]);
    assert_eq!(finish(&mut command).stdout, "NetBSD PreOS: []\n");
}

#[test]
fn a_directory_need_not_be_utf8() {
    let site = Site::new();
    let dir = site.root().join(OsStr::from_bytes(b"a\xffb"));
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    install(&dummies(), &dir.join("x.so"));
    let words = |last: &'static str| [OsStr::new("--plugin-dir"), dir.as_os_str(), OsStr::new(last)];
    assert!(site.preos(words("-L")).stdout.contains("netbsd"));
    assert_eq!(site.preos(words("netbsd")).stdout, "NetBSD PreOS: []\n");
}
