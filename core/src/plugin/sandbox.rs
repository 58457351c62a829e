//! A place in which a plugin can do no harm to this machine: for `cdist plugin check`, which calls plugins with random
//! arguments with the rights of the user who runs it.
//!
//! Everything that is mounted becomes read-only and without devices; the directories for temporary files and `/run` are
//! empty ones in memory, `/dev` holds what needs no hardware, and there is no network and no memory shared with others.
//! The host name, the clock and the modules of the kernel are out of reach. Sockets and FIFOs in other directories are
//! not: a file system that is read-only does not keep a process from writing to them. This keeps mistakes in, not attackers: a
//! plugin that runs as root could undo it.

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
use rustix::thread::{self, CapabilitySet};

use crate::host::mounts;

/// The devices that programs expect and that hold nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Sockets of services, and what they keep until the next boot.
const RUN: &str = "/run";
const DEV: &str = "/dev";
/// Memory that processes share.
const SHM: &str = "/dev/shm";
/// For what no namespace contains: the clock, the modules of the kernel, the machine's power, its ports and memory.
const CAPABILITIES: CapabilitySet = CapabilitySet::SYS_TIME
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_BOOT)
    .union(CapabilitySet::SYS_RAWIO);
const NONE: Option<&str> = None;

/// Puts this process and its later children into the sandbox. Needs root, and a mount namespace whose mounts are private.
///
/// `temporary` is the directory for temporary files; `own`, beneath it, is made anew and is the only directory in use
/// that can be written. `keep` are files and directories that stay visible, wherever they are; none of the [`hidden`]
/// directories. All paths are absolute and without links.
///
/// # Errors
///
/// The kernel refuses a step; the process is then half in the sandbox and should end.
pub fn enter(temporary: &Path, own: &Path, keep: &[PathBuf]) -> io::Result<()> {
    let hidden = hidden(temporary);
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )?;
    for (point, options) in mounts::mounts()? {
        let mut flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
        // In a container the kernel refuses to take it away. The flags for times of access stay by themselves.
        if options.split(',').any(|option| option == "noexec") {
            flags |= MsFlags::MS_NOEXEC;
        }
        match remount(&point, flags) {
            // A mount point below another mount is out of reach.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // Opened while they can be seen; a mount can be bound to another place only from its own namespace.
    let mut kept = Vec::new();
    for path in keep.iter().filter(|path| hidden.iter().any(|directory| path.starts_with(directory))) {
        kept.push((path, open(path)?));
    }
    let devices: Vec<(PathBuf, File)> = DEVICES
        .iter()
        .map(|name| Path::new(DEV).join(name))
        .filter_map(|path| open(&path).ok().map(|device| (path, device)))
        .collect();

    for directory in &hidden {
        // A directory beneath another one is hidden with it.
        if !hidden.iter().any(|other| directory != other && directory.starts_with(other)) {
            in_memory(directory, if directory == Path::new(DEV) { "mode=755" } else { "mode=1777" })?;
        }
    }
    for (path, device) in devices {
        File::create(&path)?;
        bind(&device, &path)?;
        remount(&path, MsFlags::MS_NOEXEC)?;
    }
    symlink("/proc/self/fd", "/dev/fd")?;
    fs::create_dir(SHM)?;

    for (path, file) in kept {
        if file.metadata()?.is_dir() {
            make(path)?;
        } else {
            path.parent().map_or(Ok(()), make)?;
            File::create(path)?;
        }
        // Read-only, as its mount is by now.
        bind(&file, path)?;
        for directory in hidden.iter().filter(|directory| directory.starts_with(path)) {
            in_memory(directory, "mode=1777")?;
        }
    }
    make(own)?;
    drop_capabilities()
}

/// The directories that are empty in the sandbox, as far as there are any.
pub fn hidden(temporary: &Path) -> Vec<PathBuf> {
    let directories = ["/tmp", "/var/tmp", RUN, DEV, SHM].map(Path::new);
    let mut hidden: Vec<PathBuf> = directories
        .into_iter()
        .chain([temporary])
        .filter_map(|directory| directory.canonicalize().ok())
        .filter(|directory| directory.is_dir())
        .collect();
    hidden.sort();
    hidden.dedup();
    hidden
}

/// Also those of the programs that it starts.
fn drop_capabilities() -> io::Result<()> {
    for capability in CAPABILITIES.iter() {
        if thread::capability_is_in_bounding_set(capability)? {
            thread::remove_capability_from_bounding_set(capability)?;
        }
    }
    let mut sets = thread::capabilities(None)?;
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(CAPABILITIES);
    }
    Ok(thread::set_capabilities(None, sets)?)
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
