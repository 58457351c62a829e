//! The PreOS `ubuntu`, from a small archive that is signed with a key of its own and looks like Ubuntu's: the plugin's package
//! names, and Debian's packages behind them.

use std::{fs, path::Path, process::Command};

use cdist_tests::{
    lab::{
        archive::{Archive, Release},
        mirror,
        process::require_root,
    },
    outcome::{assert_no_trace, outcome},
    preos::{SUITE, TRIGGER, cdist, make_key, scratch},
};

/// What the plugin asks for and Debian has under the same name; a package that is missing here fails the test.
const PACKAGES: [&str; 39] = [
    "usr-is-merged",
    "apt",
    "init",
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "dbus",
    "udev",
    "kmod",
    "iproute2",
    "iputils-ping",
    "openssh-server",
    "curl",
    "ca-certificates",
    "file",
    "lsb-release",
    "util-linux",
    "fdisk",
    "dosfstools",
    "gdisk",
    "parted",
    "lvm2",
    "mdadm",
    "btrfs-progs",
    "e2fsprogs",
    "jfsutils",
    "xfsprogs",
    "debootstrap",
    "rsync",
    "zstd",
    "xz-utils",
    "tar",
    "gzip",
    "less",
    "pciutils",
    "ethtool",
    "pxelinux",
    "syslinux-common",
    "debian-archive-keyring",
];

fn ubuntu(target: &Path, archive: &Archive) -> Command {
    let mut command = cdist();
    command.args(["preos", "ubuntu"]).arg(target).args(["-b", "-s", "noble", "-m", &archive.url()]);
    command
}

#[test]
fn ubuntu_is_made_from_an_archive_that_its_keyring_signs_and_from_no_other() {
    require_root("a bootstrap");
    let kernel = format!("linux-image-{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    let release = Release {
        suite: "noble",
        origin: "Ubuntu",
        components: &["main", "universe"],
        base: SUITE,
        packages: &PACKAGES,
        metapackages: &[("linux-image-generic", &kernel)],
    };
    let archive = Archive::build(release, &mirror::debian(SUITE));
    let dir = scratch();
    let root = dir.path().join("root");

    // Keys that this machine trusts did not sign it.
    let other = "/usr/share/keyrings/debian-archive-keyring.gpg";
    outcome(ubuntu(&root, &archive).args(["--keyring", other]))
        .assert_failed(1, &["the signature of the archive cannot be verified", "--keyring"]);
    assert!(!root.exists());
    assert_no_trace(dir.path());

    let key = dir.path().join("key");
    make_key(&key);
    let pxe = dir.path().join("pxe");
    let mut whole = ubuntu(&root, &archive);
    whole.arg("--keyring").arg(archive.keyring()).arg("-C").arg("-k").arg(key.with_extension("pub"));
    outcome(whole.args(["-t", TRIGGER]).arg("-p").arg(&pxe)).assert_ok();
    for package in ["linux-image-generic", "openssh-server"] {
        assert!(root.join(format!("var/lib/dpkg/info/{package}.list")).exists(), "{package}");
    }
    let sources = fs::read_to_string(root.join("etc/apt/sources.list")).unwrap();
    assert!(sources.contains(" noble main universe"), "{sources}");
    assert!(
        root.join("etc/systemd/system/multi-user.target.wants/cdist-preos-trigger-preos.service")
            .is_symlink()
    );
    assert!(fs::metadata(pxe.join("initramfs")).unwrap().len() > 50_000_000);
    assert_no_trace(dir.path());
}

/// The plugin's own choices are options only: another suite, mirror, keyring and kernel make another PreOS.
#[test]
fn ubuntu_is_made_from_a_debian_mirror_too() {
    require_root("a bootstrap");
    let dir = scratch();
    let root = dir.path().join("root");
    let mut command = cdist();
    command.args(["preos", "ubuntu"]).arg(&root).args(["-b", "-s", SUITE, "-m", &mirror::debian(SUITE)]);
    command.args(["--keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"]);
    let kernel = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    command.args(["--kernel-package", &format!("linux-image-{kernel}")]);
    outcome(&mut command).assert_ok();
    assert!(fs::read_to_string(root.join("etc/os-release")).unwrap().contains("ID=debian"));
    assert!(root.join(format!("var/lib/dpkg/info/linux-image-{kernel}.list")).exists());
    assert_no_trace(dir.path());
}
