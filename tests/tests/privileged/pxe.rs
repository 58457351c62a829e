//! The netboot directory, made of a root of a few files: what goes wrong when it is written, and what is chosen.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use cdist_tests::{
    lab::process::require_root,
    mini::{KERNEL, add_kernel, add_noise, make_root},
    mounted::Mounted,
    outcome::{Outcome, assert_no_trace, outcome},
    preos::debian,
    tree::Tree,
};
use tempfile::TempDir;

fn mini() -> (TempDir, PathBuf) {
    require_root("writing a netboot directory");
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = dir.path().join("root");
    make_root(&root);
    (dir, root)
}

fn pack(root: &Path, pxe: &Path, more: &[&str]) -> Outcome {
    outcome(debian(root).arg("-p").arg(pxe).args(more))
}

#[test]
fn the_newest_of_two_kernels_is_taken_and_said() {
    let (dir, root) = mini();
    add_kernel(&root, "6.1.0-9-lab");
    fs::write(root.join("boot/vmlinuz-6.1.0-11-lab.old"), "x").unwrap();
    let pxe = dir.path().join("pxe");
    let packed = pack(&root, &pxe, &[]);
    packed.assert_ok();
    let said = format!("note: kernel {KERNEL} is taken, the newest; also there: 6.1.0-9-lab");
    assert!(packed.stderr.contains(&said), "{}", packed.stderr);
    assert_eq!(fs::read_to_string(pxe.join("kernel")).unwrap(), KERNEL);
    assert_no_trace(dir.path());
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_image() {
    let (dir, root) = mini();
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let _mounted = Mounted::memory(&disk, "2m");
    let pxe = disk.join("pxe");
    pack(&root, &pxe, &[]).assert_ok();
    let before = Tree::read(&disk);
    add_noise(&root, 8 << 20);
    pack(&root, &pxe, &[]).assert_failed(1, &["writing the initramfs", "No space left on device"]);
    assert_eq!(Tree::read(&disk).differences(&before), [""; 0]);
    assert_no_trace(&disk);
}

#[test]
fn a_pxe_directory_inside_the_target_is_refused_also_through_links_and_mounts() {
    let (dir, root) = mini();
    fs::create_dir(root.join("srv")).unwrap();
    let refused = |pxe: &Path| {
        pack(&root, pxe, &[]).assert_failed(1, &["one within the other", "choose another directory"]);
    };
    refused(&root);
    refused(&root.join("srv/pxe"));
    refused(dir.path());
    symlink(root.join("srv"), dir.path().join("link")).unwrap();
    refused(&dir.path().join("link/pxe"));
    symlink("srv", root.join("inner")).unwrap();
    refused(&dir.path().join("link"));
    let again = dir.path().join("again");
    fs::create_dir(&again).unwrap();
    let _mounted = Mounted::bind(&root, &again);
    refused(&again.join("srv/pxe"));
    assert_eq!(fs::read_dir(root.join("srv")).unwrap().count(), 0);
}

#[test]
fn other_files_of_a_tftp_directory_stay() {
    let (dir, root) = mini();
    let pxe = dir.path().join("tftp");
    fs::create_dir_all(pxe.join("pxelinux.cfg")).unwrap();
    fs::write(pxe.join("memtest"), "x").unwrap();
    fs::write(pxe.join("pxelinux.cfg/01-52-54-00-00-00-01"), "x").unwrap();
    // What `chmod -R 644` of the original leaves.
    fs::set_permissions(pxe.join("pxelinux.cfg"), fs::Permissions::from_mode(0o644)).unwrap();
    pack(&root, &pxe, &[]).assert_ok();
    assert!(pxe.join("memtest").exists() && pxe.join("pxelinux.cfg/01-52-54-00-00-00-01").exists());
    let mode = fs::metadata(pxe.join("pxelinux.cfg")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o755);
    assert_no_trace(dir.path());
}

#[test]
fn the_kernel_must_be_able_to_unpack_the_initramfs() {
    let (dir, root) = mini();
    let pxe = dir.path().join("pxe");
    pack(&root, &pxe, &["--compress", "xz"]).assert_failed(1, &[KERNEL, "CONFIG_RD_XZ", "zstd, gzip, none"]);
    assert!(!pxe.exists());
    for (compression, magic) in
        [("zstd:19", &[0x28, 0xb5, 0x2f, 0xfd][..]), ("gzip", &[0x1f, 0x8b]), ("none", b"070701")]
    {
        pack(&root, &pxe, &["--compress", compression]).assert_ok();
        assert!(fs::read(pxe.join("initramfs")).unwrap().starts_with(magic), "{compression}");
    }
}

#[test]
fn kernel_parameters_replace_the_default_ones() {
    let (dir, root) = mini();
    let pxe = dir.path().join("pxe");
    pack(&root, &pxe, &["--kernel-param", "console=ttyS1", "--kernel-param", "quiet"]).assert_ok();
    let config = fs::read_to_string(pxe.join("pxelinux.cfg/default")).unwrap();
    assert!(config.contains("APPEND console=ttyS1 quiet\n"), "{config}");
}

#[test]
fn a_root_without_kernel_loader_or_init_is_said() {
    let (dir, root) = mini();
    let pxe = dir.path().join("pxe");
    let lost = root.join("lost");
    for (file, words) in [
        ("usr/lib/PXELINUX/pxelinux.0", ["pxelinux.0 is missing", "install the package pxelinux"]),
        ("sbin/init", ["has no program /init", "link to /sbin/init"]),
        ("boot/vmlinuz-6.1.0-10-lab", ["no kernel in", "install a kernel package"]),
    ] {
        fs::rename(root.join(file), &lost).unwrap();
        pack(&root, &pxe, &[]).assert_failed(1, &words);
        fs::rename(&lost, root.join(file)).unwrap();
    }
    assert!(!pxe.exists());
    assert_no_trace(dir.path());
}

#[test]
fn removing_the_root_at_the_end_refuses_a_mount_point() {
    let (dir, root) = mini();
    let precious = dir.path().join("precious");
    fs::create_dir_all(root.join("mnt/disk")).unwrap();
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    let mounted = Mounted::bind(&precious, &root.join("mnt/disk"));
    let pxe = dir.path().join("pxe");
    pack(&root, &pxe, &["-r"]).assert_failed(1, &["removing the root directory", "/root/mnt/disk"]);
    assert!(precious.join("file").exists() && root.join("etc/hostname").exists());
    drop(mounted);
    pack(&root, &pxe, &["-r"]).assert_ok();
    assert!(!root.exists() && pxe.join("initramfs").exists());
    assert_no_trace(dir.path());
}

#[test]
fn the_caller_s_source_date_counts_and_the_same_tree_gives_the_same_bytes() {
    let (dir, root) = mini();
    let initramfs = |name: &str, date: Option<&str>| {
        let mut command: Command = debian(&root);
        if let Some(date) = date {
            command.env("SOURCE_DATE_EPOCH", date);
        }
        let pxe = dir.path().join(name);
        outcome(command.arg("-p").arg(&pxe).args(["--compress", "none"])).assert_ok();
        fs::read(pxe.join("initramfs")).unwrap()
    };
    assert_eq!(initramfs("a", Some("1000000000")), initramfs("b", Some("1000000000")));
    assert_ne!(initramfs("a", Some("1000000000")), initramfs("b", Some("900000000")));
}
