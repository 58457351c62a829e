//! As root, `cdist plugin check` keeps a plugin from changing the machine.

use std::{fs, path::Path};

use cdist_tests::{
    lab::process::require_root,
    plugins::{Site, finish, hostile, install, workspace},
};

#[test]
fn a_plugin_changes_nothing_outside_of_its_directory() {
    require_root("the sandbox of a check");
    let site = Site::new();
    let file = site.dir("built").join("hostile.so");
    install(&hostile(), &file);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let outside = workspace().join("target/vandal");
    let before = Path::new("/tmp/cdist-vandal");
    let paths = [
        outside.to_str().unwrap(),
        "/root/cdist-vandal",
        "/etc/cdist-vandal",
        "/var/tmp/cdist-vandal",
        "/run/cdist-vandal",
        "/tmp/cdist-vandal",
        "/proc/sys/kernel/hostname",
        "/sys/kernel/mm/ksm/run",
        "/dev/full",
        "./inside",
    ];
    let words = ["check", "hostile.so", "--preos", "vandal", "--only", "extensions", "--", "/dev/null"];
    let outcome = finish(site.command_of("plugin").current_dir(site.dir("built")).args(words).args(paths));
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    // `/tmp` and `/run` are empty ones in memory.
    let expected = "changed: /dev/null /run/cdist-vandal /tmp/cdist-vandal ./inside\n";
    assert!(outcome.stdout.contains(expected), "{outcome:#?}");
    for path in paths.iter().filter(|path| path.contains("vandal")) {
        assert!(!Path::new(path).exists(), "{path}");
    }
    assert!(!before.exists() && !site.dir("built").join("inside").exists());
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), hostname);
}

#[test]
fn a_mount_that_is_left_is_found() {
    require_root("a mount of a plugin");
    let site = Site::new();
    let file = site.dir("built").join("hostile.so");
    install(&hostile(), &file);
    let words = ["check", "built/hostile.so", "--preos", "leaksmount"];
    let outcome = finish(site.command_of("plugin").args(words));
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    let failed: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("failed")).collect();
    assert!(
        matches!(failed[..], [line] if line.contains("leaks") && line.contains("it leaves the mount /")),
        "{failed:?}"
    );
}
