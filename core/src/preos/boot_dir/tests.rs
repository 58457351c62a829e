use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, symlink},
    process::Command,
};

use nix::mount::{MsFlags, mount, umount};
use tempfile::{TempDir, tempdir};

use super::*;

/// A root with the least that a PXE directory needs.
fn root() -> TempDir {
    let root = tempdir().unwrap();
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("boot/vmlinuz-6.1", b"the kernel");
    write("boot/config-6.1", b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n");
    write("usr/lib/PXELINUX/pxelinux.0", b"loader");
    write("usr/lib/syslinux/modules/bios/ldlinux.c32", b"module");
    write("sbin/init", b"#!/bin/sh\n");
    fs::set_permissions(root.path().join("sbin/init"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/sbin/init", root.path().join("init")).unwrap();
    root
}

fn write(root: &Path, dir: &Path) -> Result<BootDirSummary, BootDirError> {
    write_boot_dir(root, dir, &BootDirOptions::default(), &Progress::silent(), &Cancel::default())
}

/// All files below `dir` with their modes.
fn listing(dir: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), meta.mode() & 0o7777);
            if meta.is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

fn expected() -> BTreeMap<PathBuf, u32> {
    [
        ("initramfs", 0o644),
        ("kernel", 0o644),
        ("ldlinux.c32", 0o644),
        ("pxelinux.0", 0o644),
        ("pxelinux.cfg", 0o755),
        ("pxelinux.cfg/default", 0o644),
    ]
    .map(|(name, mode)| (PathBuf::from(name), mode))
    .into()
}

/// The umask belongs to the whole process, so this test runs in one of its own.
#[test]
fn a_strict_umask_changes_nothing() {
    let this = std::env::current_exe().unwrap();
    let test = "preos::boot_dir::tests::writes_all_files_for_all_to_read";
    let run = Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" --exact \"$1\""])
        .arg(this)
        .arg(test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn writes_all_files_for_all_to_read() {
    let (root, out) = (root(), tempdir().unwrap());
    let dir = out.path().join("srv/tftp");
    let summary = write(root.path(), &dir);
    let summary = summary.unwrap();
    assert_eq!(listing(&dir), expected());
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(dir.parent().unwrap()).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(dir.join("kernel")).unwrap(), b"the kernel");
    assert_eq!((summary.kernel.as_str(), summary.kernel_size), ("6.1", 10));
    assert_eq!(summary.initramfs_size, fs::metadata(dir.join("initramfs")).unwrap().len());
    assert_eq!(
        fs::read_to_string(dir.join("pxelinux.cfg/default")).unwrap(),
        "DEFAULT preos\nLABEL preos\n  KERNEL kernel\n  INITRD initramfs\n  \
         APPEND console=tty0 console=ttyS0,115200 net.ifnames=0\n  SYSAPPEND 2\n"
    );
    assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn an_older_directory_is_filled_anew() {
    let (root, out) = (root(), tempdir().unwrap());
    let dir = out.path().join("tftp");
    write(root.path(), &dir).unwrap();
    let before = fs::metadata(&dir).unwrap().ino();
    fs::write(root.path().join("boot/vmlinuz-6.1"), "new").unwrap();
    // A server that has entered the directory must find the new files: it stays the same one, also through a link.
    symlink("tftp", out.path().join("link")).unwrap();
    write(root.path(), &out.path().join("link")).unwrap();
    assert_eq!(fs::read(dir.join("kernel")).unwrap(), b"new");
    assert_eq!(fs::metadata(&dir).unwrap().ino(), before);
    assert_eq!(listing(&dir), expected());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2);
}

#[test]
fn a_shared_directory_keeps_the_files_of_others() {
    let (root, out) = (root(), tempdir().unwrap());
    let dir = out.path().join("tftp");
    fs::create_dir_all(dir.join("pxelinux.cfg")).unwrap();
    fs::set_permissions(dir.join("pxelinux.cfg"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(dir.join("pxelinux.cfg/01-aa-bb"), "other").unwrap();
    fs::write(dir.join("kernel"), "old").unwrap();
    let before = fs::metadata(&dir).unwrap().ino();
    write(root.path(), &dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().ino(), before);
    assert_eq!(fs::read(dir.join("kernel")).unwrap(), b"the kernel");
    let mut listed = listing(&dir);
    assert!(listed.remove(Path::new("pxelinux.cfg/01-aa-bb")).is_some());
    assert_eq!(listed, expected());
}

#[test]
fn refuses_directories_one_within_the_other() {
    let (root, out) = (root(), tempdir().unwrap());
    symlink(root.path(), out.path().join("link")).unwrap();
    fs::create_dir(root.path().join("srv")).unwrap();
    for dir in [
        root.path().to_owned(),
        root.path().join("srv"),
        root.path().join("new/tftp"),
        out.path().join("link/tftp"),
        out.path().join("link"),
        root.path().parent().unwrap().to_owned(),
    ] {
        let error = write(root.path(), &dir).unwrap_err();
        assert!(matches!(error, BootDirError::Nested { .. }), "{}: {error}", dir.display());
    }
    assert!(!root.path().join("new").exists());
}

#[test]
fn checks_before_it_writes() {
    let out = tempdir().unwrap();
    let dir = out.path().join("tftp");
    for (missing, expected) in [
        ("usr/lib/PXELINUX/pxelinux.0", "install the package pxelinux in the root"),
        ("usr/lib/syslinux/modules/bios/ldlinux.c32", "install the package syslinux-common in the root"),
        ("boot/vmlinuz-6.1", "no kernel in"),
        ("init", "has no program /init"),
        ("sbin/init", "has no program /init"),
    ] {
        let root = root();
        fs::remove_file(root.path().join(missing)).unwrap();
        let error = write(root.path(), &dir).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let root = root();
    fs::write(root.path().join("boot/config-6.1"), "CONFIG_BLK_DEV_INITRD=y\n").unwrap();
    assert!(matches!(
        write(root.path(), &dir),
        Err(BootDirError::Kernel(KernelError::Compression { working, .. })) if working == "none"
    ));
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    fs::write(&dir, "file").unwrap();
    assert!(matches!(write(root.path(), &dir), Err(BootDirError::InTheWay { .. })));
}

#[test]
fn kernel_parameters() {
    let params = |words: &[&str]| config(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    assert!(params(&["quiet", " ", "a=\"b c\""]).unwrap().contains("\n  APPEND quiet a=\"b c\"\n"));
    assert!(params(&[]).unwrap().ends_with("INITRD initramfs\n  SYSAPPEND 2\n"));
    assert!(matches!(params(&["quiet\nLABEL x"]), Err(BootDirError::Parameter(_))));
    assert!(matches!(params(&["x"; 1500]), Err(BootDirError::ParametersTooLong(2999))));
}

#[test]
fn another_init_by_parameter() {
    let (root, out) = (root(), tempdir().unwrap());
    fs::remove_file(root.path().join("init")).unwrap();
    let options =
        BootDirOptions { kernel_params: vec!["rdinit=/sbin/init".to_owned()], ..Default::default() };
    let dir = out.path().join("tftp");
    write_boot_dir(root.path(), &dir, &options, &Progress::silent(), &Cancel::default()).unwrap();
}

#[test]
fn a_cancelled_run_leaves_the_old_directory() {
    let (root, out) = (root(), tempdir().unwrap());
    let dir = out.path().join("tftp");
    write(root.path(), &dir).unwrap();
    let before = fs::metadata(&dir).unwrap().ino();
    let cancel = Cancel::default();
    cancel.cancel();
    write_boot_dir(root.path(), &dir, &BootDirOptions::default(), &Progress::silent(), &cancel).unwrap_err();
    assert_eq!(fs::metadata(&dir).unwrap().ino(), before);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path) -> Self {
        let size = Some("size=256k");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), size).expect("run as root");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount(&self.0).unwrap();
    }
}

/// Needs CAP_SYS_ADMIN.
#[test]
fn privileged_a_full_disk_leaves_the_old_directory() {
    let (root, out) = (root(), tempdir().unwrap());
    let _small = Mounted::tmpfs(out.path());
    let big = BootDirOptions {
        initramfs: InitramfsOptions { compression: "none".parse().unwrap(), ..Default::default() },
        ..Default::default()
    };
    for dir in [out.path().join("tftp"), out.path().to_owned()] {
        write(root.path(), &dir).unwrap();
        let before = listing(out.path());
        let content = fs::read(dir.join("initramfs")).unwrap();
        fs::write(root.path().join("big"), vec![1; 1 << 20]).unwrap();
        let error =
            write_boot_dir(root.path(), &dir, &big, &Progress::silent(), &Cancel::default()).unwrap_err();
        let BootDirError::Initramfs(InitramfsError::Write(source)) = error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(listing(out.path()), before);
        assert_eq!(fs::read(dir.join("initramfs")).unwrap(), content);
        fs::remove_file(root.path().join("big")).unwrap();
    }
}

/// Needs CAP_SYS_ADMIN.
#[test]
fn privileged_a_mounted_directory_is_filled_where_it_is() {
    let (root, out) = (root(), tempdir().unwrap());
    let _mounted = Mounted::tmpfs(out.path());
    for _ in 0..2 {
        write(root.path(), out.path()).unwrap();
        assert_eq!(listing(out.path()), expected());
    }
}

/// Needs CAP_SYS_ADMIN.
#[test]
fn privileged_mounts_in_the_root_are_not_packed() {
    let root = root();
    fs::create_dir(root.path().join("proc")).unwrap();
    let mounted = Mounted::tmpfs(&root.path().join("proc"));
    fs::write(root.path().join("proc/secret"), "x").unwrap();
    let options =
        InitramfsOptions { compression: "none".parse().unwrap(), source_date: Some(0), ..Default::default() };
    let pack = || {
        let mut archive = Vec::new();
        write_initramfs(root.path(), &mut archive, &options, &Progress::silent(), &Cancel::default())
            .map(|packed| (archive, packed))
    };
    let (archive, packed) = pack().unwrap();
    assert_eq!(packed.mounts, 1);
    let text = String::from_utf8_lossy(&archive);
    assert!(text.contains("proc\0") && !text.contains("secret"));
    drop(mounted);

    let file = root.path().join("boot/config-6.1");
    mount(Some(&root.path().join("sbin/init")), &file, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let mounted = Mounted(file.clone());
    let error = pack().unwrap_err();
    assert!(matches!(&error, InitramfsError::FileIsMountPoint(path) if *path == file), "{error}");
    drop(mounted);

    let outside = tempdir().unwrap();
    mount(Some(root.path()), outside.path(), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let _bound = Mounted(outside.path().to_owned());
    let nested = write(root.path(), &outside.path().join("tftp")).unwrap_err();
    assert!(matches!(nested, BootDirError::Nested { .. }), "{nested}");
}
