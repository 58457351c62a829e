//! What is in a root, before it is packed.
//!
//! The whole list is made first: hard links can only be counted when all are known, and sorted names make the
//! archive independent of the order in which the directory gives them. A Debian root has some 20,000 entries,
//! a few megabytes.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{FileStat, SFlag, fstat, fstatat, major, minor},
};

use super::{Exclude, InitramfsError, newc};
use crate::host::{Cancel, beneath};

/// One name in the root.
#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the root; `.` for the root itself.
    pub(super) path: Box<[u8]>,
    /// Type and permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) size: u64,
    pub(super) rdev: (u32, u32),
    /// Device and inode: which file it is.
    pub(super) file: (u64, u64),
    /// There may be other names of it.
    pub(super) linked: bool,
}

impl Entry {
    fn new(path: Box<[u8]>, stat: &FileStat) -> Self {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let device = kind == SFlag::S_IFBLK || kind == SFlag::S_IFCHR;
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            path,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            rdev: if device { (number(major(stat.st_rdev)), number(minor(stat.st_rdev))) } else { (0, 0) },
            file: (stat.st_dev, stat.st_ino),
            // The kernel makes a new symbolic link of each name.
            linked: stat.st_nlink > 1 && kind != SFlag::S_IFDIR && kind != SFlag::S_IFLNK,
        }
    }

    pub(super) fn kind(&self) -> SFlag {
        SFlag::from_bits_truncate(self.mode) & SFlag::S_IFMT
    }

    /// True if `stat` is still of this file and its content has not changed.
    pub(super) fn is_still(&self, stat: &FileStat) -> bool {
        self.file == (stat.st_dev, stat.st_ino)
            && self.size == u64::try_from(stat.st_size).unwrap_or(0)
            && self.mtime == stat.st_mtime
            && self.mode == stat.st_mode
    }
}

/// A root, listed.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) top: OwnedFd,
    /// Sorted by path.
    pub(super) entries: Vec<Entry>,
    /// How many names each linked file has among the entries.
    pub(super) links: HashMap<(u64, u64), u32>,
    /// Bytes of file content that will be packed.
    pub(super) bytes: u64,
    /// What cannot be packed.
    pub(super) sockets: Vec<PathBuf>,
    /// Directories on which something is mounted.
    pub(super) mounts: Vec<PathBuf>,
    /// Directories that have extended attributes.
    pub(super) with_xattrs: u64,
}

impl Tree {
    /// Lists `root`.
    ///
    /// # Errors
    ///
    /// A directory that cannot be read, or an entry that the format cannot hold.
    pub(super) fn scan(root: &Path, exclude: &Exclude, cancel: &Cancel) -> Result<Self, InitramfsError> {
        let read_root = |source| InitramfsError::Read { path: root.to_owned(), source };
        let top = beneath::open_top(root).map_err(read_root)?;
        let stat = fstat(&top).map_err(|e| read_root(e.into()))?;
        let mut tree = Self {
            top,
            entries: vec![Entry::new((*b".").into(), &stat)],
            links: HashMap::new(),
            bytes: 0,
            sockets: Vec::new(),
            mounts: Vec::new(),
            with_xattrs: 0,
        };
        let mut waiting = vec![Vec::new()];
        while let Some(directory) = waiting.pop() {
            if cancel.is_cancelled() {
                return Err(InitramfsError::Cancelled);
            }
            tree.list(root, &directory, exclude, &mut waiting)?;
        }
        tree.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn list(
        &mut self,
        root: &Path,
        directory: &[u8],
        exclude: &Exclude,
        waiting: &mut Vec<Vec<u8>>,
    ) -> Result<(), InitramfsError> {
        let shown = shown(root, directory);
        let read = |source: Errno| InitramfsError::Read { path: shown.clone(), source: source.into() };
        let opened = if directory.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(directory) };
        let fd = match beneath::open_beneath(&self.top, opened, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::EXDEV) => {
                self.mounts.push(shown);
                return Ok(());
            }
            Err(error) => return Err(read(error)),
        };
        self.with_xattrs += u64::from(has_xattrs(&fd));
        let mut dir = Dir::from_fd(fd).map_err(read)?;
        let names: Vec<_> = dir
            .iter()
            .map(|entry| entry.map(|e| e.file_name().to_owned()))
            .collect::<Result<_, _>>()
            .map_err(read)?;
        for name in names {
            let bytes = name.to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let path = if directory.is_empty() { bytes.to_vec() } else { [directory, b"/", bytes].concat() };
            if exclude.matches(&path) {
                continue;
            }
            let shown = || self::shown(root, &path);
            if path.len() > newc::NAME_MAX {
                return Err(InitramfsError::NameTooLong(shown()));
            }
            if path == newc::TRAILER {
                return Err(InitramfsError::Trailer(shown()));
            }
            let stat = fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(|source| InitramfsError::Read { path: shown(), source: source.into() })?;
            let entry = Entry::new(path.clone().into_boxed_slice(), &stat);
            match entry.kind() {
                SFlag::S_IFSOCK => {
                    self.sockets.push(shown());
                    continue;
                }
                SFlag::S_IFDIR => waiting.push(path),
                SFlag::S_IFREG if entry.size > u64::from(u32::MAX) => {
                    return Err(InitramfsError::TooLarge { path: shown(), size: entry.size });
                }
                _ => {}
            }
            let known = entry.linked && {
                let count = self.links.entry(entry.file).or_default();
                *count += 1;
                *count > 1
            };
            if entry.kind() == SFlag::S_IFREG && !known {
                self.bytes += entry.size;
            }
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// The path of an entry as the user knows it.
pub(super) fn shown(root: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(path)) }
}

/// A file system without extended attributes has none.
pub(super) fn has_xattrs(file: impl AsFd) -> bool {
    rustix::fs::flistxattr(file, &mut [0_u8; 0][..]).is_ok_and(|size| size > 0)
}
