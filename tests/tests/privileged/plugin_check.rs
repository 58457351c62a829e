//! As root, `cdist plugin check` keeps a plugin from changing the machine.

use std::{fs, os::unix::net::UnixListener, path::Path, process::Command};

use cdist_tests::{
    lab::process::{self, require_root},
    plugins::{Site, finish, hostile, install, install_bytes},
};

#[test]
fn a_plugin_changes_nothing_outside_of_its_directory() {
    require_root("the sandbox of a check");
    let site = Site::new();
    let file = site.dir("built").join("hostile.so");
    install(&hostile(), &file);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let before = Path::new("/tmp/cdist-vandal");
    let beside = site.dir("built").join("vandal");
    let paths = [
        "/usr/local/cdist-vandal",
        "/root/cdist-vandal",
        beside.to_str().unwrap(),
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
    // `/tmp`, `/var/tmp` and `/run` are empty ones in memory.
    let expected =
        "changed: /dev/null /var/tmp/cdist-vandal /run/cdist-vandal /tmp/cdist-vandal ./inside; holds: ";
    let (_, holds) = outcome.stdout.split_once(expected).unwrap_or_else(|| panic!("{outcome:#?}"));
    let holds: Vec<&str> = holds.lines().next().unwrap().split(' ').collect();
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let [uts, ipc, mine, inherited] = holds[..] else { panic!("{holds:?}") };
    assert!(uts.starts_with("uts:") && uts != own("uts") && ipc.starts_with("ipc:") && ipc != own("ipc"));
    for capabilities in [mine, inherited] {
        // See capabilities(7): SYS_MODULE is 16, SYS_RAWIO 17, SYS_BOOT 22, SYS_TIME 25.
        let bits = u64::from_str_radix(capabilities, 16).unwrap();
        assert!(bits != 0 && bits & (1 << 16 | 1 << 17 | 1 << 22 | 1 << 25) == 0, "{holds:?}");
    }
    for path in paths.iter().filter(|path| path.contains("vandal")) {
        assert!(!Path::new(path).exists(), "{path}");
    }
    assert!(!before.exists() && !site.dir("built").join("inside").exists());
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), hostname);
}

/// A Python file with a PreOS, at whose top level is `body`.
fn python(file: &Path, body: &str) {
    let text = format!(
        "\"\"\"a plain PreOS\"\"\"\nimport os, socket\n_cdist_preos = True\n{body}\n\
         def commandline(cls, args):\n    print('usage')\n    return 2 if '--no-such-option-x' in args else 0\n"
    );
    install_bytes(text.as_bytes(), file);
}

#[test]
fn a_python_file_is_executed_in_the_sandbox_only() {
    require_root("the sandbox of a check");
    let site = Site::new();
    // Not below the checkout, which may lie among temporary files.
    let outside = Path::new("/usr/local/cdist-vandal-python");
    // Of a run that failed.
    let _ = fs::remove_file(outside);
    let file = site.dir("built").join("plain.py");
    python(&file, &format!("try:\n    open({:?}, 'a')\nexcept OSError:\n    pass", outside.display()));
    let outcome =
        finish(site.command_of("plugin").args(["check", "built/plain.py", "--skip", "bad-arguments"]));
    assert!(!outside.exists());
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    assert!(outcome.stdout.contains("passed   non-utf8\n"), "{outcome:#?}");
}

#[test]
fn a_plugin_among_temporary_files() {
    require_root("the sandbox of a check");
    let site = Site::new();
    // Where everybody's files are, others are not shown; and what is beneath the plugin's directory can be written.
    for (directory, temporary, sees) in [("shared", "shared", false), ("own", "own/temporary", true)] {
        let (directory, temporary) = (site.dir(directory), site.dir(temporary));
        let _socket = UnixListener::bind(directory.join("socket")).unwrap();
        install_bytes(b"HERE = 1\n", &directory.join("_common.py"));
        let file = directory.join("plain.py");
        let sees = if sees { "True" } else { "False" };
        let body = format!(
            "import _common\nopen('written', 'w').close()\n\
             assert ('socket' in os.listdir(os.path.dirname(__file__))) == {sees}\n\
             try:\n    open(__file__, 'a')\nexcept OSError:\n    pass\nelse:\n    raise TypeError\n"
        );
        python(&file, &body);
        let mut command = site.command_of("plugin");
        // The copy for that can be written.
        let words = ["--skip", "bad-arguments", "--skip", "non-utf8"];
        let outcome = finish(command.env("TMPDIR", &temporary).arg("check").arg(&file).args(words));
        assert_eq!(outcome.status, 0, "{outcome:#?}");

        let file = directory.join("hostile.so");
        install(&hostile(), &file);
        let words = ["--preos", "behaves", "--skip", "bad-arguments"];
        let mut command = site.command_of("plugin");
        let outcome = finish(command.env("TMPDIR", &temporary).arg("check").arg(&file).args(words));
        assert_eq!(outcome.status, 0, "{outcome:#?}");
    }
}

#[test]
fn the_sandbox_of_a_container_without_root() {
    require_root("the sandbox of a check");
    let site = Site::new();
    install(&hostile(), &site.dir("built").join("hostile.so"));
    let words = [
        "plugin",
        "check",
        "built/hostile.so",
        "--preos",
        "behaves",
        "--only",
        "leaks",
        "--only",
        "non-utf8",
    ];
    let within = |command: &mut Command| {
        let own = site.command_of("plugin");
        finish(command.arg(own.get_program()).args(words).current_dir(site.root()))
    };
    let tool = |name: &str| Command::new(process::tool(name, "util-linux"));
    // Such a namespace may not take away the flags of the mounts that it was given.
    let script = "mount -t tmpfs -o noexec,nosuid,nodev tmpfs mounted\n\
                  exec unshare --user --map-root-user --mount \"$@\"";
    let _ = site.dir("mounted");
    let outcome = within(tool("unshare").args(["--mount", "sh", "-e", "-c", script, "sh"]));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{outcome:#?}");
    // What cdist cannot do is no failure of the plugin.
    let outcome = within(tool("setpriv").args(["--bounding-set", "-sys_admin", "--"]));
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{outcome:#?}");
    assert!(outcome.error().starts_with("the check cannot be done: making a PID namespace"), "{outcome:#?}");
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
