//! Shows that the lab's own archive is one that the bootstrap tools accept, and only with its own key.

use std::process::Command;

use cdist_tests::lab::{
    archive::{Archive, Release},
    mirror,
    process::{require_root, run, tool},
};

#[test]
fn lab_archive_can_be_bootstrapped_from() {
    require_root("a bootstrap");
    let release = Release {
        suite: "noble",
        origin: "Ubuntu",
        components: &["main", "universe"],
        base: "bookworm",
        packages: &["usr-is-merged", "apt", "ca-certificates"],
        metapackages: &[("linux-image-generic", ""), ("ubuntu-keyring", "debian-archive-keyring")],
    };
    let archive = Archive::build(release, &mirror::debian("bookworm"));
    let dir = tempfile::tempdir().unwrap();

    let keyring = format!("--keyring={}", archive.keyring().display());
    let mmdebstrap = |target: &str| {
        let mut command = Command::new(tool("mmdebstrap", "mmdebstrap"));
        command.args([
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            "--components=main,universe",
        ]);
        command.args([
            "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr",
            "--include=linux-image-generic,ubuntu-keyring",
        ]);
        command.arg("noble").arg(dir.path().join(target)).arg(archive.url());
        command
    };
    run(mmdebstrap("first").arg(&keyring));
    assert!(dir.path().join("first/var/lib/dpkg/info/linux-image-generic.list").exists());
    let unknown = mmdebstrap("second").output().unwrap();
    assert!(!unknown.status.success(), "the archive was accepted without its key");

    let mut debootstrap = Command::new(tool("debootstrap", "debootstrap"));
    debootstrap.args(["--variant=minbase", "--components=main,universe"]).arg(&keyring).arg("noble");
    run(debootstrap
        .arg(dir.path().join("third"))
        .arg(archive.url())
        .arg("/usr/share/debootstrap/scripts/sid"));
    assert!(dir.path().join("third/etc/debian_version").exists());
}
