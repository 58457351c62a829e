//! Files that are no good plugins: one clear line each, and the plugins beside them still work.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cdist_tests::{
    lab::process::run,
    plugins::{Outcome, Site, dummies, finish_within, hostile, install, install_bytes, patch_text},
};

/// A site with a good plugin in `~/.cdist/preos`, and the directory for bad ones beside it.
fn with_good_one() -> (Site, PathBuf) {
    let site = Site::new();
    let dir = site.home_plugins();
    install(&hostile(), &dir.join("good.so"));
    (site, dir)
}

/// Lists the PreOSes, and checks that the good one is there and that every line is of the known kinds.
fn list(site: &Site) -> Outcome {
    let outcome = site.preos(["-L"]);
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    assert!(outcome.stdout.contains("    - seven "), "{outcome:#?}");
    for line in outcome.stderr.lines() {
        let known = line.starts_with("skipped /") || line.starts_with("note: PreOS ");
        assert!(known && line.len() < 500, "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    outcome
}

/// Checks that exactly `file` is skipped; the reason, without what differs between machines.
fn reason(site: &Site, file: &Path) -> String {
    let outcome = list(site);
    match outcome.skipped()[..] {
        [(skipped, reason)] => {
            assert_eq!(Path::new(skipped), file);
            site.filtered(reason)
        }
        _ => panic!("{} is not the only one: {outcome:#?}", file.display()),
    }
}

#[test]
fn files_that_are_no_libraries() {
    let mut reasons = String::new();
    let mut check = |what: &str, make: &dyn Fn(&Path)| {
        let (site, dir) = with_good_one();
        let file = dir.join("bad.so");
        make(&file);
        reasons.push_str(&format!("{what}: {}\n", reason(&site, &file)));
    };
    check("empty", &|file| install_bytes(b"", file));
    check("text", &|file| install_bytes(b"#!/bin/sh\necho hello\n", file));
    check("directory", &|file| fs::create_dir(file).unwrap());
    check("fifo", &|file| nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap());
    check("link to a good one", &|file| symlink(hostile(), file).unwrap());
    check("link to nothing", &|file| symlink("nothing", file).unwrap());
    check("program", &|file| install(&std::env::current_exe().unwrap(), file));
    check("another library", &|file| {
        let linked = run(Command::new("ldd").arg("/usr/bin/apt-get"));
        let libz = linked.split_whitespace().find(|word| word.starts_with('/') && word.contains("libz.so"));
        install(Path::new(libz.expect("apt uses libz")), file);
    });
    check("another processor", &|file| {
        let mut bytes = fs::read(dummies()).unwrap();
        // e_machine: S/390, which cdist does not run on.
        bytes[18..20].copy_from_slice(&[22, 0]);
        install_bytes(&bytes, file);
    });
    check("32 bit", &|file| {
        let mut bytes = fs::read(dummies()).unwrap();
        bytes[4] = 1;
        install_bytes(&bytes, file);
    });
    check("big endian", &|file| {
        let mut bytes = fs::read(dummies()).unwrap();
        bytes[5] = 2;
        install_bytes(&bytes, file);
    });
    insta::assert_snapshot!(reasons);
}

#[test]
fn files_that_others_can_change() {
    let mut reasons = String::new();
    let mut check = |what: &str, change: &dyn Fn(&Site, &Path)| {
        let (site, _) = with_good_one();
        let file = site.dir("upper/lower").join("bad.so");
        install(&dummies(), &file);
        change(&site, &file);
        let mut command = site.command();
        let outcome =
            finish_within(command.args(["--plugin-dir", "upper/lower", "-L"]), Duration::from_secs(20))
                .unwrap();
        assert_eq!(outcome.status, 0);
        assert!(!outcome.stdout.contains("netbsd"), "{outcome:#?}");
        match outcome.skipped()[..] {
            [(_, reason)] => reasons.push_str(&format!("{what}: {}\n", site.filtered(reason))),
            _ => panic!("{what}: {outcome:#?}"),
        }
    };
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    check("world-writable file", &|_, file| mode(file, 0o646));
    check("group-writable file", &|_, file| mode(file, 0o664));
    check("world-writable directory", &|_, file| mode(file.parent().unwrap(), 0o777));
    check("world-writable directory above", &|site, _| mode(&site.root().join("upper"), 0o757));
    insta::assert_snapshot!(reasons);
}

#[test]
fn no_file_below_a_directory_that_others_can_change_is_trusted() {
    let (site, _) = with_good_one();
    let dir = site.dir("upper/lower");
    for name in ["a.so", "b.so", "c.so"] {
        install(&dummies(), &dir.join(name));
    }
    fs::set_permissions(site.root().join("upper"), Permissions::from_mode(0o777)).unwrap();
    let outcome = site.preos(["--plugin-dir", "upper/lower", "-L"]);
    assert_eq!(outcome.skipped().len(), 3, "{outcome:#?}");
    assert!(!outcome.stdout.contains("netbsd"), "{outcome:#?}");
}

#[test]
fn texts_that_are_refused() {
    let mut reasons = String::new();
    let mut check = |what: &str, from: &str, to: &str| {
        let (site, dir) = with_good_one();
        let file = dir.join("bad.so");
        install_bytes(&patch_text(&fs::read(dummies()).unwrap(), from, to), &file);
        reasons.push_str(&format!("{what}: {}\n", reason(&site, &file)));
    };
    check("other major", "cdist-preos 1.0", "cdist-preos 2.0");
    check("no number", "cdist-preos 1.0", "cdist-preos 1.x");
    check("huge number", "cdist-preos 1.0\nbuilt-with ", "cdist-preos 1.999999999999\n");
    check("slash", "netbsd", "net/sd");
    check("dots", "netbsd", "../bsd");
    check("space", "netbsd", "net sd");
    check("escape", "netbsd", "\x1b[31m!");
    check("dash", "netbsd", "-etbsd");
    check("not UTF-8 safe", "netbsd", "nétbs");
    check("no type", "netbsd\tNetBsdModule\t", "netbsd-NetBsdModule-");
    insta::assert_snapshot!(reasons);
}

#[test]
fn a_text_from_a_later_minor_version_is_read() {
    let (site, dir) = with_good_one();
    install_bytes(
        &patch_text(&fs::read(dummies()).unwrap(), "preos 1.0", "preos 1.7"),
        &dir.join("later.so"),
    );
    assert!(list(&site).stdout.contains("NetBSD dummy PreOS                             1.7"));
    assert_eq!(site.preos(["netbsd"]).stdout, "NetBSD PreOS: []\n");
}

#[test]
fn a_text_that_disagrees_with_the_exports_is_not_run() {
    for (from, to, name) in [
        ("netbsd", "openbs", "openbs"),
        ("FreeBSD\t", "ShadyOS\t", "shadyos"),
        ("dummy PreOS", "clever OS!!", "netbsd"),
    ] {
        let (site, dir) = with_good_one();
        install_bytes(&patch_text(&fs::read(dummies()).unwrap(), from, to), &dir.join("liar.so"));
        assert!(list(&site).stdout.contains(name));
        let outcome = site.preos([name]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        let expected = "exports other PreOSes than its _cdist_preos text names; do not trust it";
        assert!(outcome.error().contains(expected) && outcome.error().contains("liar.so"), "{outcome:#?}");
    }
}

#[test]
fn a_summary_cannot_write_to_the_terminal() {
    let (site, dir) = with_good_one();
    let bytes = patch_text(&fs::read(dummies()).unwrap(), "NetBSD dummy", "\x1b[2J\x07\x1b]0;x!!");
    install_bytes(&bytes, &dir.join("loud.so"));
    for words in [["-L"], ["-h"]] {
        let outcome = site.preos(words);
        assert!(outcome.stdout.contains("\\u{1b}[2J\\u{7}"), "{outcome:#?}");
        assert!(!outcome.stdout.contains('\x1b'));
    }
}

#[test]
fn a_file_name_cannot_write_to_the_terminal() {
    let (site, dir) = with_good_one();
    install_bytes(b"", &dir.join("\x1b[2Jnew\nline.so"));
    let outcome = list(&site);
    assert!(outcome.stderr.contains("\\u{1b}[2Jnew\\nline.so: it is no 64-bit"), "{outcome:#?}");
    install(&dummies(), &dir.join("\x1b[31mred.so"));
    assert!(!list(&site).stdout.contains('\x1b'));
}

#[test]
fn truncated_libraries() {
    let (site, dir) = with_good_one();
    let bytes = fs::read(dummies()).unwrap();
    for part in 0..20 {
        install_bytes(&bytes[..bytes.len() * part / 20], &dir.join(format!("part{part:02}.so")));
    }
    let outcome = list(&site);
    assert_eq!(outcome.skipped().len(), 20, "{outcome:#?}");
    for (file, reason) in outcome.skipped() {
        let expected = reason.contains("truncated or damaged") || reason.contains("no 64-bit");
        assert!(expected, "{file}: {reason}");
    }
    assert!(!outcome.stdout.contains("netbsd"));
}

#[test]
fn an_unreadable_place_is_told() {
    let (site, _) = with_good_one();
    fs::write(site.root().join("file"), "").unwrap();
    let outcome = site.preos(["--plugin-dir", "file", "-L"]);
    assert_eq!(outcome.status, 0);
    assert_eq!(outcome.skipped(), [("file", "the directory cannot be read: Not a directory (os error 20)")]);
}
