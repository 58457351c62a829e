//! Mounts that a test makes, taken back on drop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use crate::lab::process::{require_root, run, tool, wait_until};

/// Gives this thread, and what it starts from now on, mounts of its own: the kernel takes them back, however the test ends.
///
/// # Panics
///
/// Without root.
pub fn leave_namespace() {
    require_root("a mount namespace");
    unshare(CloneFlags::CLONE_NEWNS).expect("making a mount namespace");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("keeping mounts to ourselves");
}

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

    /// The tree `lower` on `point`, where it can be changed: changes go to `upper`, and the kernel needs `work` beside that.
    ///
    /// # Panics
    ///
    /// Without root, or with a path that has a comma or colon.
    #[must_use]
    pub fn overlay(lower: &Path, upper: &Path, work: &Path, point: &Path) -> Self {
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        mount(Some("lab"), point, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .expect("mounting an overlay: run this test as root");
        Self(point.to_owned())
    }

    /// The processes, on `point`.
    ///
    /// # Panics
    ///
    /// Without root.
    #[must_use]
    pub fn proc(point: &Path) -> Self {
        mount(Some("proc"), point, Some("proc"), MsFlags::empty(), None::<&str>)
            .expect("mounting /proc: run this test as root");
        Self(point.to_owned())
    }

    /// The ext4 file system in the file `image`, which is made with 16 MiB if it is not there. An error makes it read-only.
    ///
    /// # Panics
    ///
    /// Without root or loop devices.
    #[must_use]
    pub fn image(image: &Path, point: &Path) -> Self {
        if !image.exists() {
            let file = fs::File::create(image).expect("making an image");
            file.set_len(16 << 20).expect("making an image");
            run(Command::new(tool("mkfs.ext4", "e2fsprogs")).args(["-q", "-F"]).arg(image));
        }
        let mut command = Command::new(tool("mount", "mount"));
        run(command.args(["-t", "ext4", "-o", "loop,errors=remount-ro"]).arg(image).arg(point));
        Self(point.to_owned())
    }

    /// Other options for a file system in memory, such as `size=4m`.
    ///
    /// # Panics
    ///
    /// If the kernel does not want them.
    pub fn change(&self, options: &str) {
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT, Some(options))
            .expect("changing a mount");
    }

    /// Makes the mount read-only.
    ///
    /// # Panics
    ///
    /// If a file on it is open for writing.
    pub fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).expect("making a mount read-only");
    }

    /// Unmounts when no process uses it any more, which takes seconds at most.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn unmount(self) {
        let gone = || umount2(&self.0, MntFlags::UMOUNT_NOFOLLOW).ok();
        assert!(wait_until(Duration::from_secs(15), gone).is_some(), "{} is in use", self.0.display());
    }

    /// What a broken disk does to an ext4 file system: it becomes read-only, also for files that are open for writing.
    ///
    /// # Panics
    ///
    /// If it is none, or the kernel is too old.
    pub fn break_disk(&self) {
        let table = fs::read_to_string("/proc/thread-self/mounts").expect("reading the mount table");
        let point = self.0.to_string_lossy();
        let mut mounts = table.lines().filter_map(|line| line.split_once(' '));
        let (device, _) =
            mounts.rfind(|(_, rest)| rest.starts_with(&*format!("{point} "))).expect("finding the mount");
        let name = device.strip_prefix("/dev/").expect("a device");
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").expect("causing an error");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
}
