//! A place in which a plugin can do no harm to this machine: for `cdist plugin check`, which calls plugins with random
//! arguments as whoever runs it.
//!
//! Everything that is mounted becomes read-only and without devices; the directories for temporary files and `/run` are
//! empty ones in memory, `/dev` holds what needs no hardware, and there is no network. This keeps mistakes in, not
//! attackers: a plugin that runs as root could undo it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::host::mounts;

/// The devices that programs expect and that hold nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Sockets of services, and what they keep until the next boot.
const RUN: &str = "/run";
const DEV: &str = "/dev";
const NONE: Option<&str> = None;

/// Puts this process and its later children into the sandbox. Needs root, and a mount namespace whose mounts are private.
///
/// `temporary` is the directory for temporary files; `own`, beneath it, is made anew and is the only directory in use
/// that can be written. `keep` is a directory that stays visible, wherever it is.
///
/// # Errors
///
/// The kernel refuses a step; the process is then half in the sandbox and should end.
pub fn enter(temporary: &Path, own: &Path, keep: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    for point in mounts::mount_points()? {
        match remount(&point, MsFlags::MS_RDONLY | MsFlags::MS_NODEV) {
            // It is below another mount, and nobody can reach it.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // Opened while they can be seen; a mount can be bound to another place only from its own namespace.
    let kept = open(keep)?;
    let devices: Vec<(PathBuf, File)> = DEVICES
        .iter()
        .map(|name| Path::new(DEV).join(name))
        .filter_map(|path| open(&path).ok().map(|device| (path, device)))
        .collect();

    for directory in [temporary, Path::new(RUN)] {
        // A system without /run has nothing there to protect.
        if directory.is_dir() {
            in_memory(directory, "mode=1777")?;
        }
    }
    in_memory(Path::new(DEV), "mode=755")?;
    for (path, device) in devices {
        File::create(&path)?;
        bind(&device, &path)?;
        remount(&path, MsFlags::empty())?;
    }
    symlink("/proc/self/fd", "/dev/fd")?;
    fs::create_dir("/dev/shm")?;

    if [temporary, Path::new(RUN), Path::new(DEV)].iter().any(|directory| keep.starts_with(directory)) {
        make(keep)?;
        bind(&kept, keep)?;
        remount(keep, MsFlags::MS_RDONLY | MsFlags::MS_NODEV)?;
    }
    make(own)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits()).open(path)
}

fn remount(point: &Path, flags: MsFlags) -> Result<(), Errno> {
    mount(NONE, point, NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | flags, NONE)
}

fn in_memory(directory: &Path, options: &str) -> Result<(), Errno> {
    mount(
        Some("tmpfs"),
        directory,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(format!("size=64m,{options}").as_str()),
    )
}

fn bind(what: &File, to: &Path) -> Result<(), Errno> {
    let from = format!("/proc/self/fd/{}", what.as_raw_fd());
    mount(Some(from.as_str()), to, NONE, MsFlags::MS_BIND, NONE)
}

/// Makes a directory that only root can write, whatever the umask is.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(directory)
}
