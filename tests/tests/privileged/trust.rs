//! What root does not use because others can change it, places where nothing is mounted as one expects, and many at once.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use cdist_tests::{
    count::count,
    lab::{
        process::{require_root, tool},
        trigger::TriggerLab,
    },
    mini,
    mounted::{Mounted, leave_namespace},
    outcome::{Outcome, assert_no_trace, outcome},
    plugins::{compile, staged, workspace},
    preos::debian,
};
use nix::{
    mount::{MsFlags, mount},
    sys::signal::Signal,
};
use tempfile::TempDir;

/// A user that no one has.
const OTHER: u32 = 1234;

/// Root's files in `own`, another user's in `theirs`, and `sticky`, where all may write.
struct Places(TempDir);

impl Places {
    fn new() -> Self {
        require_root("files of another user");
        let places = Self(tempfile::tempdir().unwrap());
        for (name, mode) in
            [("", 0o755), ("home", 0o755), ("own", 0o755), ("theirs", 0o755), ("sticky", 0o1777)]
        {
            fs::create_dir_all(places.path(name)).unwrap();
            fs::set_permissions(places.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        chown(places.path("theirs"), Some(OTHER), Some(OTHER)).unwrap();
        places.file("own/init", "#!/bin/sh\ntrue\n");
        places
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a script that all may run; one in `theirs` is theirs, with its directories.
    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        for path in path.ancestors().take_while(|path| path.starts_with(self.path("theirs"))) {
            chown(path, Some(OTHER), Some(OTHER)).unwrap();
        }
    }

    /// A script that leaves a trace.
    fn trap(&self) -> String {
        format!("#!/bin/sh\n: >'{}'\n", self.path("own/ran").display())
    }

    fn cdist(&self, words: &[&str]) -> Command {
        let mut command = Command::new(staged().join("bin/cdist"));
        command.args(words).env("HOME", self.path("home")).env("NO_COLOR", "1").current_dir(self.path("own"));
        for name in ["CDIST_PREOS_PATH", "CDIST_PATH", "TMPDIR", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command
    }

    /// `cdist config` of this machine, with the work directory `remote`.
    fn config(&self, remote: &str, words: &[&str]) -> Command {
        let mut command = self.cdist(&["config", "-r"]);
        command.arg(self.path(remote)).args(words).arg("localhost");
        command
    }

    #[track_caller]
    fn assert_refused(&self, outcome: &Outcome, words: &[&str]) {
        assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
        for word in words {
            assert!(outcome.stderr.contains(word), "{word:?} is not said:\n{}", outcome.stderr);
        }
        assert!(!self.path("own/ran").exists(), "it was run:\n{}", outcome.stderr);
    }
}

#[test]
fn nothing_of_another_users_home_is_run() {
    let places = Places::new();
    let trap = places.trap();
    for name in [".cdist/manifest/init", ".cdist/type/__x/manifest", ".cdist/explorer/os", "shell"] {
        places.file(&format!("theirs/{name}"), &trap);
    }
    let shell = places.path("theirs/shell");
    for name in [".cdist.cfg", ".config/cdist/cdist.cfg"] {
        places.file(&format!("theirs/{name}"), &format!("[GLOBAL]\nlocal_shell = {}\n", shell.display()));
    }
    let python =
        format!("_preos_name = 'theirs'\n_cdist_preos = True\nopen({:?}, 'w')\n", places.path("own/ran"));
    places.file("theirs/.cdist/preos/x.py", &python);
    let theirs = places.path("theirs");
    let said = format!(
        "warning: HOME={0} is not used: {0} belongs to 1234, but cdist runs as root",
        theirs.display()
    );
    for variables in [&["HOME"][..], &["HOME", "XDG_CONFIG_HOME", "TMPDIR"]] {
        let mut run = places.config("own/remote", &["--local", "-i", "init"]);
        let mut list = places.cdist(&["preos", "-L"]);
        for name in variables {
            let dir = if *name == "XDG_CONFIG_HOME" { theirs.join(".config") } else { theirs.clone() };
            run.env(name, &dir);
            list.env(name, &dir);
        }
        for command in [&mut run, &mut list] {
            let outcome = outcome(command);
            outcome.assert_ok();
            assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
            assert!(!places.path("own/ran").exists(), "{}", outcome.stderr);
        }
    }
    assert!(!theirs.join(".cdist/cache").exists());
}

#[test]
fn configuration_that_others_can_change_is_refused_with_the_remedy() {
    let places = Places::new();
    let trap = places.trap();
    places.file("own/c/manifest/init", "#!/bin/sh\n__x a\n");
    places.file("own/c/type/__x/manifest", "#!/bin/sh\ntrue\n");
    let good = places.path("own/c").display().to_string();
    outcome(&mut places.config("own/remote", &["--local", "-c", &good])).assert_ok();

    let refused = |words: &[&str], said: &[&str]| {
        places.assert_refused(&outcome(&mut places.config("own/remote", words)), said);
    };
    for name in ["manifest/init", "type/__x/manifest", "explorer/os"] {
        places.file(&format!("theirs/c/{name}"), &trap);
    }
    let theirs = places.path("theirs").display().to_string();
    let belongs = format!("{theirs} belongs to 1234, but cdist runs as root; copy what you trust to");
    let (conf, manifest) = (format!("{theirs}/c"), format!("{theirs}/c/manifest/init"));
    refused(&["--local", "-c", &conf], &["the configuration directory", &belongs]);
    refused(&["--local", "-c", &good, "-i", &manifest], &["the manifest", &belongs]);
    refused(&["--local", "-c", &good, "-g", &manifest], &["configuration file", &belongs]);
    refused(&["-f", &manifest, "-c", &good], &["the list", &belongs]);
    refused(&["--remote-exec", &manifest, "-c", &good], &["the remote exec command", &belongs]);
    refused(
        &["--remote-copy", &format!("{manifest} -x"), "-c", &good],
        &["the remote copy command", &belongs],
    );
    for (name, value) in
        [("CDIST_PATH", &conf), ("CDIST_LOCAL_SHELL", &manifest), ("CDIST_CONFIG_FILE", &manifest)]
    {
        let mut command = places.config("own/remote", &["--local", "-c", &good]);
        places.assert_refused(&outcome(command.env(name, value)), &[&belongs]);
    }

    // One file of a tree, a link of another user, and a link to what is another user's.
    let script = places.path("own/c/type/__x/files/deep/lib.sh");
    places.file("own/c/type/__x/files/deep/lib.sh", &trap);
    chown(&script, Some(OTHER), None).unwrap();
    let shown = script.display().to_string();
    refused(
        &["--local", "-c", &good],
        &[&format!("{shown} belongs to 1234"), &format!("chown -hR root {shown}")],
    );
    fs::remove_file(&script).unwrap();
    symlink(places.path("own/init"), &script).unwrap();
    lchown(&script, Some(OTHER), None).unwrap();
    refused(&["--local", "-c", &good], &[&format!("{shown} belongs to 1234")]);
    fs::remove_file(&script).unwrap();
    symlink(&conf, &script).unwrap();
    refused(&["--local", "-c", &good], &[&format!("{theirs} belongs to 1234")]);
    fs::remove_file(&script).unwrap();
    let kind = places.path("own/c/type/__x");
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o775)).unwrap();
    refused(&["--local", "-c", &good], &[&format!("chmod go-w {}", kind.display())]);
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o755)).unwrap();
    outcome(&mut places.config("own/remote", &["--local", "-c", &good])).assert_ok();
}

#[test]
fn a_work_directory_that_others_prepared_is_no_trap() {
    let places = Places::new();
    places.file("own/exec", "#!/bin/sh\nshift; exec /bin/sh -c \"$*\"\n");
    places.file("own/copy", "#!/bin/sh\nfor last; do :; done; exec cp \"$1\" \"${last#*:}\"\n");
    let (exec, copy) =
        (places.path("own/exec").display().to_string(), places.path("own/copy").display().to_string());
    let precious = places.path("own/precious");
    fs::write(&precious, "precious\n").unwrap();
    let ways = [&["--local"][..], &["--remote-exec", &exec, "--remote-copy", &copy]];
    for way in ways {
        let words = [way, &["-i", "init"]].concat();
        // A directory of theirs in a sticky one, with links that lead to root's file.
        let work = places.path("sticky/work");
        fs::create_dir(&work).unwrap();
        for name in [".test", "batch-0", "batch-1", "conf"] {
            symlink(&precious, work.join(name)).unwrap();
            lchown(work.join(name), Some(OTHER), None).unwrap();
        }
        chown(&work, Some(OTHER), None).unwrap();
        outcome(&mut places.config("sticky/work", &words)).assert_ok();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious\n");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(&work).unwrap()), 0);
        fs::remove_dir_all(&work).unwrap();
        // A way to the directory that they can change.
        let result = outcome(&mut places.config("theirs/work", &words));
        places.assert_refused(&result, &["theirs belongs to user 1234", "-r"]);
        assert!(!places.path("theirs/work").exists());
        symlink(places.path("own"), places.path("sticky/link")).unwrap();
        lchown(places.path("sticky/link"), Some(OTHER), None).unwrap();
        let result = outcome(&mut places.config("sticky/link/work", &words));
        places.assert_refused(&result, &["sticky/link belongs to user 1234"]);
        fs::remove_file(places.path("sticky/link")).unwrap();
    }
    // Where the files of the run go on this machine.
    for out in ["theirs/out", "sticky/out"] {
        let made = places.path(out);
        fs::create_dir(&made).unwrap();
        chown(&made, Some(OTHER), None).unwrap();
        let made = made.display().to_string();
        let result = outcome(&mut places.config("own/remote", &["--local", "-i", "init", "-o", &made]));
        places.assert_refused(&result, &["the directory of the run", "belongs to 1234"]);
    }
}

#[test]
fn builds_go_where_others_change_nothing() {
    let places = Places::new();
    let root = places.path("own/root");
    mini::make_root(&root);
    let pack = |root: &Path, pxe: &str| {
        outcome(debian(root).env("HOME", places.path("home")).arg("-p").arg(places.path(pxe)))
    };
    pack(&root, "own/pxe").assert_ok();
    pack(&root, "sticky/pxe").assert_ok();
    pack(&root, "theirs/pxe").assert_failed(1, &["the PXE directory", "theirs belongs to 1234"]);
    let config = places.path("own/pxe/pxelinux.cfg");
    fs::remove_dir_all(&config).unwrap();
    symlink(places.path("home"), &config).unwrap();
    pack(&root, "own/pxe").assert_failed(1, &["pxelinux.cfg is in the way"]);
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    chown(&config, Some(OTHER), None).unwrap();
    pack(&root, "own/pxe").assert_failed(1, &["pxelinux.cfg belongs to 1234"]);
    chown(&root, Some(OTHER), None).unwrap();
    pack(&root, "own/pxe2").assert_failed(1, &["the target", "own/root belongs to 1234"]);

    // A bootstrap: of the directory in which the tree grows the name can be foreseen.
    let bootstrap = |target: &str, more: &[&str]| {
        let mut command = debian(&places.path(target));
        command.env("HOME", places.path("home")).args(["-b", "-s", "bookworm", "-m", "http://127.0.0.1:1"]);
        outcome(command.args(more))
    };
    let growing = places.path("sticky/.new.cdist-partial");
    fs::create_dir(&growing).unwrap();
    chown(&growing, Some(OTHER), None).unwrap();
    bootstrap("sticky/new", &[])
        .assert_failed(1, &["sticky/.new.cdist-partial belongs to 1234", "choose another target"]);
    fs::remove_dir(&growing).unwrap();
    symlink(places.path("home"), &growing).unwrap();
    assert_eq!(bootstrap("sticky/new", &[]).status, Some(1));
    fs::remove_file(&growing).unwrap();
    bootstrap("sticky/new", &[]).assert_failed(1, &["http://127.0.0.1:1 cannot be reached"]);
    bootstrap("theirs/new", &[]).assert_failed(1, &["the target", "theirs belongs to 1234"]);
    places.file("theirs/keys.gpg", "x");
    let keyring = places.path("theirs/keys.gpg").display().to_string();
    bootstrap("own/new", &["--keyring", &keyring])
        .assert_failed(1, &["the keyring", "theirs belongs to 1234"]);
    assert_no_trace(&places.path("sticky"));
}

/// Who names the file of a key lets its owner in, but not those who can write to it.
#[test]
fn a_key_file_may_be_its_owners_only() {
    let places = Places::new();
    let root = places.path("own/root");
    mini::make_root(&root);
    let text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChqBXH4Vj6NN3nXKX5NbTMLN7Yzw7vM3Yd6dFyOk\n";
    places.file("theirs/key.pub", text);
    let key = places.path("theirs/key.pub");
    let configure = || outcome(debian(&root).env("HOME", places.path("home")).arg("-C").arg("-k").arg(&key));
    assert!(!configure().stderr.contains("is not used"), "{}", configure().stderr);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o664)).unwrap();
    configure().assert_failed(1, &["the key file", "is writable by group or others"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    chown(places.path("theirs"), Some(OTHER + 1), None).unwrap();
    configure().assert_failed(1, &["the key file", "theirs belongs to 1235"]);
}

#[test]
fn a_target_without_programs_or_devices_is_refused_before_anything_is_fetched() {
    let places = Places::new();
    leave_namespace();
    for (flag, option) in [(MsFlags::MS_NOEXEC, "noexec"), (MsFlags::MS_NODEV, "nodev")] {
        let disk = places.path(option);
        fs::create_dir(&disk).unwrap();
        mount(Some("lab"), &disk, Some("tmpfs"), flag, Some("mode=755")).unwrap();
        let mut command = debian(&disk.join("deep/root"));
        command.args(["-b", "-s", "bookworm", "-m", "http://127.0.0.1:1"]);
        outcome(&mut command)
            .assert_failed(1, &[&format!("is mounted with {option}"), "choose another target"]);
        assert_eq!(fs::read_dir(&disk).unwrap().count(), 0);
    }
}

#[test]
fn what_cannot_be_run_because_of_noexec_is_named_so() {
    let places = Places::new();
    leave_namespace();
    let disk = places.path("own/disk");
    fs::create_dir(&disk).unwrap();
    mount(Some("lab"), &disk, Some("tmpfs"), MsFlags::MS_NOEXEC, Some("mode=755")).unwrap();
    places.file("own/disk/way", "#!/bin/sh\ntrue\n");
    places.file("own/disk/init.py", "#!/usr/bin/python3\n");
    let (way, init) = (disk.join("way").display().to_string(), disk.join("init.py").display().to_string());
    let words = ["--remote-exec", &way, "--remote-copy", &way, "-i", "init"];
    places.assert_refused(
        &outcome(&mut places.config("own/remote", &words)),
        &[&way, "it is on a file system that is mounted with noexec"],
    );
    places.assert_refused(
        &outcome(&mut places.config("own/remote", &["--local", "-i", &init])),
        &["init.py", "it is on a file system that is mounted with noexec"],
    );
    // A script of sh needs no right to be executed.
    places.file("own/disk/init", "#!/bin/sh\ntrue\n");
    let init = disk.join("init").display().to_string();
    outcome(&mut places.config("own/remote", &["--local", "-i", &init])).assert_ok();
}

/// As in the chroots of build services.
#[test]
fn plugins_run_in_a_chroot_whose_root_is_no_mount_point() {
    require_root("a chroot");
    leave_namespace();
    // The place of the chroot is a mount that hands on what happens in it.
    let dir = tempfile::tempdir().unwrap();
    let _disk = Mounted::memory(dir.path(), "8m");
    mount(None::<&str>, dir.path(), None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    let root = dir.path().join("root");
    let mut mounted = Vec::new();
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc"] {
        let (own, inner) = (Path::new("/").join(name), root.join(name));
        if let Ok(target) = fs::read_link(&own) {
            symlink(target, &inner).unwrap();
        } else if own.is_dir() {
            fs::create_dir_all(&inner).unwrap();
            mounted.push(Mounted::bind(&own, &inner));
        }
    }
    for name in ["dist", "proc", "tmp", "root", "work"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    mounted.push(Mounted::bind(&staged(), &root.join("dist")));
    mounted.push(Mounted::proc(&root.join("proc")));
    fs::create_dir(root.join("plugins")).unwrap();
    compile(&workspace().join("tests/fixtures/c/probe.c"), &root.join("plugins/probe.so"), &["-pthread"]);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let run = |words: &str| {
        let script = format!("cd /work && HOME=/root exec /dist/bin/cdist {words}");
        let output = Command::new(tool("chroot", "coreutils"))
            .arg(&root)
            .args(["/bin/sh", "-c", &script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run("preos --plugin-dir /plugins words a b"), "2[a][b]\n");
    assert!(run("preos --plugin-dir /plugins -L").contains("words"));
    assert_eq!(
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
        before,
        "mounts of the plugin have got out"
    );
    while let Some(point) = mounted.pop() {
        drop(point);
    }
}

/// Each kind uses the same place many times, whose left-behinds each removes first.
#[test]
fn at_once_builds_installs_runs_and_backups_do_not_get_into_each_others_way() {
    let places = Places::new();
    let starts = usize::try_from(count("starts", 5)).unwrap();
    let root = places.path("own/root");
    mini::make_root(&root);
    fs::create_dir(places.path("own/tftp")).unwrap();
    fs::create_dir(places.path("own/preos")).unwrap();
    let library = places.path("own/probe.so");
    compile(&workspace().join("tests/fixtures/c/probe.c"), &library, &["-pthread"]);
    let lab = TriggerLab::counting();
    let mut server = lab.start(&[]);
    assert_eq!(server.end(Signal::SIGKILL), None);

    let mut commands = Vec::new();
    for number in 0..starts {
        let mut build = debian(&root);
        build.env("HOME", places.path("home")).arg("-p").arg(places.path("own/tftp"));
        let mut install = places.cdist(&["plugin", "install"]);
        install.arg(&library).arg("--dir").arg(places.path("own/preos"));
        let run = places.config(&format!("own/remote-{number}"), &["--local", "-i", "init"]);
        let mut backup = lab.cdist(&["backup"]);
        backup.arg(places.path("own/backup"));
        commands.extend([build, install, run, backup]);
    }
    let started: Vec<(String, Child)> = commands
        .iter_mut()
        .map(|command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            (format!("{command:?}"), command.spawn().unwrap())
        })
        .collect();
    for (command, child) in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_no_trace(&places.path("own"));
    assert_no_trace(&places.path("own/tftp"));
    assert_no_trace(&places.path("own/preos"));
    assert!(places.path("own/tftp/pxelinux.cfg/default").is_file() && places.path("own/backup").is_file());
}
