//! Opening what lies beneath a directory, when the tree may hold links and mounts that lead out of it.
//!
//! Both ways need openat2(2), so Linux 5.6.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    NixPath,
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::stat::Mode,
};

/// Opens the directory that is the top of a tree; `path` itself may go through symbolic links.
///
/// # Errors
///
/// There is no such directory, or it must not be read.
pub fn open_top(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens `path` beneath `top` without following any symbolic link and without leaving the mount.
///
/// # Errors
///
/// `ELOOP` at a symbolic link, `EXDEV` at a mount point, bind mounts included.
pub fn open_beneath<P: NixPath + ?Sized>(top: impl AsFd, path: &P, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(top, path, how(flags | OFlag::O_NOFOLLOW, resolve))
}

/// Opens `path` as a process would that has `top` as its root: `/etc/x -> /usr/y` is found in the tree.
///
/// # Errors
///
/// Those of open(2), with `top` as the root directory.
pub fn open_in_root<P: NixPath + ?Sized>(top: impl AsFd, path: &P, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat2(top, path, how(flags, ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS))
}

fn how(flags: OFlag, resolve: ResolveFlag) -> OpenHow {
    OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, fs::File, io::Read, os::unix::fs::symlink};

    #[test]
    fn links_out_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        symlink("../../../../../../etc/passwd", dir.path().join("up")).unwrap();
        let top = open_top(dir.path()).unwrap();
        for name in ["link", "up"] {
            let mut text = String::new();
            let file = open_in_root(&top, name, OFlag::O_RDONLY).unwrap();
            File::from(file).read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside", "{name}");
            assert_eq!(open_beneath(&top, name, OFlag::O_RDONLY).unwrap_err(), Errno::ELOOP);
        }
    }

    #[test]
    fn mount_points_are_seen() {
        let top = open_top(Path::new("/")).unwrap();
        assert_eq!(open_beneath(&top, "proc", OFlag::O_RDONLY).unwrap_err(), Errno::EXDEV);
    }
}
