//! The PreOS that the seed's walk makes, looked at without booting it: mostly what the original gets wrong.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use cdist_tests::{
    lab::process::{run, tool},
    outcome::{assert_no_trace, outcome, tell},
    preos::{SUITE, TRIGGER, debian, make_key, scratch, shared_build},
    tree::Tree,
};

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

fn names(dir: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(dir.as_ref()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path.as_ref()).unwrap().mode() & 0o7777
}

#[test]
fn variables_of_the_caller_do_not_override_options() {
    // The shared build had them in its environment.
    let root = shared_build().root();
    assert!(read(root.join("etc/os-release")).contains(&format!("VERSION_CODENAME={SUITE}\n")));
    let sources = read(root.join("etc/apt/sources.list"));
    assert!(sources.contains(SUITE) && sources.contains("http"), "{sources}");
}

#[test]
fn the_image_has_nothing_of_the_machine_that_built_it() {
    let build = shared_build();
    let root = build.root();
    assert_eq!(read(root.join("etc/machine-id")), "");
    let keys: Vec<_> =
        names(root.join("etc/ssh")).into_iter().filter(|name| name.starts_with("ssh_host_")).collect();
    assert!(keys.is_empty(), "{keys:?}");
    assert_eq!(read(root.join("etc/hostname")), "preos\n");
    assert!(!root.join("usr/sbin/policy-rc.d").exists(), "services would stay off");
    assert_eq!(names(root.join("run")), [""; 0]);
    assert_eq!(names(root.join("var/lib/apt/lists")), [""; 0]);
    let shadow = read(root.join("etc/shadow"));
    assert!(shadow.lines().any(|line| line.starts_with("root:*:")), "root must have no password: {shadow}");

    let list = Command::new("sh")
        .args(["-c", "zstd -dcq \"$1\" | cpio --quiet -t", "sh"])
        .arg(build.pxe().join("initramfs"))
        .output()
        .unwrap();
    let list = String::from_utf8_lossy(&list.stdout);
    let names: Vec<&str> = list.lines().map(|name| name.trim_start_matches("./")).collect();
    assert!(names.contains(&"init") && names.contains(&"usr/lib/systemd/systemd"), "{} names", names.len());
    let unwanted = ["boot/", "var/lib/apt/lists/", "var/cache/apt/", "etc/ssh/ssh_host_", "tmp/", "run/"];
    let found = names.iter().find(|name| unwanted.iter().any(|unwanted| name.starts_with(unwanted)));
    assert_eq!(found, None);
}

#[test]
fn no_initrd_is_made_and_no_docs_are_unpacked() {
    let root = shared_build().root();
    let boot = names(root.join("boot"));
    assert!(boot.iter().all(|name| !name.starts_with("initrd")), "{boot:?}");
    let mut pages: Vec<PathBuf> = Vec::new();
    let mut waiting = ["doc", "man", "locale"].map(|dir| root.join("usr/share").join(dir)).to_vec();
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() { waiting.push(entry.path()) } else { pages.push(entry.path()) }
        }
    }
    // Licences have to come along; dpkg keeps links and directories, which weigh nothing.
    pages.retain(|path| !path.ends_with("copyright") && !path.is_symlink());
    assert!(pages.is_empty(), "{pages:?}");
}

#[test]
fn units_are_enabled_offline() {
    let system = shared_build().root().join("etc/systemd/system");
    for link in [
        "multi-user.target.wants/cdist-preos-trigger-preos.service",
        "multi-user.target.wants/ssh.service",
        "multi-user.target.wants/systemd-networkd.service",
        "network-online.target.wants/systemd-networkd-wait-online.service",
        "ssh.service.wants/preos-ssh-host-keys.service",
        "sysinit.target.wants/systemd-resolved.service",
    ] {
        assert!(system.join(link).is_symlink(), "{link}");
    }
    let masked = fs::read_link(system.join("apt-daily.timer")).unwrap();
    assert_eq!(masked, Path::new("/dev/null"));
}

#[test]
fn the_trigger_waits_for_the_network_and_is_tried_without_limit() {
    let root = shared_build().root();
    let unit = read(root.join("etc/systemd/system/cdist-preos-trigger-preos.service"));
    for line in [
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "Restart=on-failure",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}:\n{unit}");
    }
    let after = unit.lines().find(|line| line.starts_with("After=")).unwrap();
    assert!(after.contains("network-online.target") && after.contains("ssh.service"), "{after}");
    let script = root.join("usr/local/lib/cdist/preos-trigger-preos.command");
    assert_eq!(read(&script), format!("#!/bin/sh\n{TRIGGER}\n"));
    // A trigger may hold a password.
    assert_eq!(mode(&script), 0o700);
}

#[test]
fn the_key_arrives_byte_for_byte() {
    let build = shared_build();
    let keys = build.root().join("root/.ssh/authorized_keys");
    assert_eq!(read(&keys), read(build.key().with_extension("pub")));
    assert_eq!((mode(&keys), mode(build.root().join("root/.ssh"))), (0o600, 0o700));
}

#[test]
fn kernel_and_initramfs_are_small_enough_to_send() {
    let pxe = shared_build().pxe();
    let size = |name: &str| fs::metadata(pxe.join(name)).unwrap().len();
    let bytes = size("kernel") + size("initramfs");
    tell(&format!("kernel and initramfs have {} MB", bytes / 1_000_000));
    assert!(bytes <= 150_000_000, "{bytes} bytes");
    let config = read(pxe.join("pxelinux.cfg/default"));
    assert!(config.contains("APPEND console=tty0 console=ttyS0,115200\n"), "{config}");
    assert!(!config.contains("root="), "{config}");
}

/// The same root gives the same bytes, and a strict umask does not take them from a TFTP server without privilege.
#[test]
fn packing_again_under_umask_077_gives_the_same_bytes_readable_for_all() {
    let build = shared_build();
    let dir = scratch();
    let pxe = dir.path().join("new/pxe");
    let mut strict = Command::new("sh");
    let command = debian(&build.root());
    strict.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strict.env(name, value),
            None => strict.env_remove(name),
        };
    }
    outcome(strict.arg("-p").arg(&pxe)).assert_ok();
    for name in ["initramfs", "kernel", "pxelinux.0", "ldlinux.c32", "pxelinux.cfg/default"] {
        assert_eq!(mode(pxe.join(name)), 0o644, "{name}");
        let same = Command::new("cmp").arg(pxe.join(name)).arg(build.pxe().join(name)).output().unwrap();
        assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    }
    for path in [pxe.clone(), pxe.join("pxelinux.cfg"), dir.path().join("new")] {
        assert_eq!(mode(&path), 0o755, "{}", path.display());
    }
    assert_no_trace(&dir.path().join("new"));
}

/// What printf formats and quotes of the original changed.
const HOSTILE: &str = r#"printf '%s %d%%\n' "it's" $HOME `id` $(id) \\ \n "a\"b" ;# ü  * ? [a] ~ ! & | < > "#;

#[test]
fn a_new_key_and_trigger_take_seconds_and_change_nothing_else() {
    let build = shared_build();
    let copy = build.copy_root();
    let root = copy.path().join("root");
    let key = copy.path().join("second");
    make_key(&key);
    let before = Tree::read(&root);
    let start = Instant::now();
    let mut again = debian(&root);
    again.arg("-C").arg("-k").arg(key.with_extension("pub")).args(["-t", HOSTILE]);
    outcome(again.arg("-p").arg(copy.path().join("pxe"))).assert_ok();
    let seconds = start.elapsed().as_secs_f64();
    tell(&format!("a new key and trigger took {seconds:.1} s"));
    assert!(seconds < 90.0, "{seconds} s");

    let script = "usr/local/lib/cdist/preos-trigger-preos.command";
    assert_eq!(Tree::read(&root).differences(&before), ["root/.ssh/authorized_keys", script]);
    assert_eq!(fs::read(root.join(script)).unwrap(), format!("#!/bin/sh\n{HOSTILE}\n").into_bytes());
    let keys = [build.key(), key].map(|key| read(key.with_extension("pub")));
    let mut found: Vec<String> =
        read(root.join("root/.ssh/authorized_keys")).lines().map(|l| format!("{l}\n")).collect();
    found.sort();
    let mut wanted = keys.to_vec();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(mode(root.join(script)), 0o700);

    // The same root serves for a configuration that fails.
    let conf = copy.path().join("conf/type/__breaks");
    fs::create_dir_all(&conf).unwrap();
    let gencode = conf.join("gencode-remote");
    fs::write(&gencode, "#!/bin/sh\necho 'mkdir /proc/none/directory'\n").unwrap();
    fs::set_permissions(&gencode, fs::Permissions::from_mode(0o755)).unwrap();
    let manifest = copy.path().join("manifest");
    fs::write(&manifest, "__breaks here\n").unwrap();
    let mut breaks = debian(&root);
    breaks.arg("-C").arg("-i").arg(&manifest);
    breaks.arg(format!("--cdist-params=-c {}", copy.path().join("conf").display()));
    let failed = outcome(breaks.arg("-p").arg(copy.path().join("late")));
    failed.assert_failed(1, &["__breaks/here", "mkdir", "/proc/none/directory"]);
    assert!(!copy.path().join("late").exists(), "a step after the failed one was taken");
    assert_no_trace(copy.path());
}

/// Who manages the file sees the image's own; who asks for names, the one of the machine that builds.
#[test]
fn the_resolv_conf_of_the_image_is_its_own() {
    let copy = shared_build().copy_root();
    let root = copy.path().join("root");
    let file = root.join("etc/resolv.conf");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "nameserver 192.0.2.1\n").unwrap();
    let executable = |name: &str, text: &str| {
        let path = root.join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let policy = executable("usr/sbin/policy-rc.d", "#!/bin/sh\n# mine\nexit 101\n");
    executable("usr/bin/wget", "#!/bin/sh\ncat /etc/resolv.conf >/root/seen\n");
    let manifest = copy.path().join("manifest");
    let text =
        "echo nameserver 192.0.2.53 | __file /etc/resolv.conf --source - --mode 0644 --onchange wget\n";
    fs::write(&manifest, text).unwrap();
    for _ in 0..2 {
        outcome(debian(&root).arg("-C").arg("-i").arg(&manifest)).assert_ok();
        assert_eq!(read(&file), "nameserver 192.0.2.53\n");
    }
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_else(|_| read(&file));
    assert_eq!(read(root.join("root/seen")), host);
    assert!(read(policy).contains("mine"), "the administrator's own policy has to stay");
}

#[test]
fn the_tools_that_types_need_are_there() {
    let root = shared_build().root();
    for program in
        ["file", "curl", "lsblk", "sfdisk", "mkfs.xfs", "mkfs.btrfs", "mdadm", "lvm", "debootstrap", "sshd"]
    {
        let found =
            ["usr/bin", "usr/sbin", "sbin", "bin"].iter().any(|dir| root.join(dir).join(program).exists());
        assert!(found, "{program}");
    }
    let _ = run(Command::new(tool("chroot", "coreutils")).arg(&root).args(["curl", "--version"]));
}
