//! A root of a few files, which has just what `-p` needs: packing it takes no time.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

/// The version of its kernel.
pub const KERNEL: &str = "6.1.0-10-lab";

/// Fills `root`.
///
/// # Panics
///
/// If it cannot be written.
pub fn make_root(root: &Path) {
    write(&root.join("sbin/init"), b"#!/bin/sh\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(root.join("sbin/init"), mode).expect("making init executable");
    symlink("sbin/init", root.join("init")).expect("linking init");
    write(&root.join("etc/hostname"), b"mini\n");
    write(&root.join("usr/lib/PXELINUX/pxelinux.0"), b"loader");
    write(&root.join("usr/lib/syslinux/modules/bios/ldlinux.c32"), b"second part");
    add_kernel(root, KERNEL);
}

/// Adds a kernel whose file holds its version.
///
/// # Panics
///
/// If it cannot be written.
pub fn add_kernel(root: &Path, version: &str) {
    write(&root.join("boot").join(format!("vmlinuz-{version}")), version.as_bytes());
    let config = b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\nCONFIG_RD_GZIP=y\n";
    write(&root.join("boot").join(format!("config-{version}")), config);
}

/// Adds a file of `size` bytes that do not compress.
///
/// # Panics
///
/// If it cannot be written.
pub fn add_noise(root: &Path, size: usize) {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    write(&root.join("usr/noise"), &bytes);
}

fn write(path: &Path, bytes: &[u8]) {
    let parent = path.parent().expect("a file has a directory");
    fs::create_dir_all(parent).expect("making a directory of the mini root");
    fs::write(path, bytes).expect("writing a file of the mini root");
}
