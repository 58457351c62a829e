//! The trigger's token, from its file to the file of the PreOS, and nowhere else.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use cdist_tests::{
    lab::process::{require_root, run, tool},
    outcome::outcome,
    preos::{cdist, scratch},
};

const TOKEN: &str = "a-token-that-is-looked-for==";

/// A root that has a shell, and says that it is Debian.
fn make_root(root: &Path) {
    for dir in ["bin", "etc", "usr/sbin", "proc", "dev", "tmp", "run", "var", "root"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let busybox = tool("busybox", "busybox-static");
    for applet in run(Command::new(&busybox).arg("--list")).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    fs::write(root.join("etc/os-release"), "ID=debian\n").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

#[test]
fn the_token_is_in_one_file_of_root_and_in_no_log() {
    require_root("configuring a root directory");
    let dir = scratch();
    let root = dir.path().join("root");
    make_root(&root);
    let token = dir.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = cdist();
    command.args(["preos", "-vvvv", "debian"]).arg(&root);
    command.env("HOME", dir.path().join("home")).env("TMPDIR", dir.path());
    command.args(["-C", "-i", "-", "-c", "-vvvv", "--trigger-url", "http://192.0.2.5:3000/install/"]);
    let result = outcome(command.arg("--trigger-token-file").arg(&token));
    result.assert_ok();
    assert!(!result.stderr.contains(TOKEN), "{}", result.stderr);
    assert!(result.stderr.contains("preos-trigger-preos.curl"), "nothing is logged:\n{}", result.stderr);

    let config = root.join("usr/local/lib/cdist/preos-trigger-preos.curl");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.lines().any(|line| line == format!("header = \"Authorization: Bearer {TOKEN}\"")), "{text}");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o7777, 0o600);
    let mut found: Vec<String> =
        run(Command::new("grep").args(["-rlF", TOKEN]).arg(dir.path())).lines().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, [&config, &token].map(|path| path.display().to_string()));
}
