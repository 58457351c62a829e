//! Mounts that a test makes, taken back on drop.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mount.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// A file system in memory of `size`, such as `2m`, on `point`.
    ///
    /// # Panics
    ///
    /// Without root.
    #[must_use]
    pub fn memory(point: &Path, size: &str) -> Self {
        let options = format!("size={size},mode=755");
        mount(Some("lab"), point, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("mounting a tmpfs: run this test as root");
        Self(point.to_owned())
    }

    /// `from` once more, on `point`.
    ///
    /// # Panics
    ///
    /// Without root.
    #[must_use]
    pub fn bind(from: &Path, point: &Path) -> Self {
        mount(Some(from), point, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .expect("mounting a directory once more: run this test as root");
        Self(point.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}
