//! The walk along a path.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{self, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open, openat, readlinkat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstat},
        statfs::{PROC_SUPER_MAGIC, fstatfs},
    },
    unistd::Uid,
};

use super::{Component, ComponentKind, TrustError, Use, error::PathPart, flaw};

/// As many symbolic links as the kernel follows in one path, path_resolution(7).
const LINKS_MAX: usize = 40;

/// Checks paths for one user, and remembers directories that were good.
#[derive(Debug)]
pub struct Trust {
    user: u32,
    good: HashSet<(PathBuf, bool)>,
}

impl Default for Trust {
    /// For the effective user.
    fn default() -> Self {
        Self { user: Uid::effective().as_raw(), good: HashSet::new() }
    }
}

/// The end of a walk.
struct End {
    /// The directory in which it was found, and under which name.
    place: Option<(OwnedFd, OsString)>,
    /// It was reached by a link of `/proc`, which leads to an open file without a path.
    by_descriptor: bool,
    stat: FileStat,
}

impl Trust {
    /// A check for what only root has to be careful with; `None` for other users.
    pub fn of_root() -> Option<Self> {
        Uid::effective().is_root().then(Self::default)
    }

    /// Trusts this user in place of the effective one.
    pub(super) fn and_user(&mut self, user: u32) -> &mut Self {
        self.user = user;
        self.good.clear();
        self
    }

    /// Opens the regular file at `path`, which is no symbolic link itself, for reading. Does not wait for a FIFO.
    ///
    /// # Errors
    ///
    /// It is no regular file that only root and the user can change.
    pub fn open(&mut self, path: &Path) -> Result<(File, Metadata), TrustError> {
        // The kind of file is told before what is wrong with the way to it.
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(TrustError::SymbolicLink);
        }
        self.open_by(path, false)
    }

    /// As [`open`](Self::open); a symbolic link is followed, and judged like the rest of the way.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn file(&mut self, path: &Path) -> Result<(File, Metadata), TrustError> {
        self.open_by(path, true)
    }

    fn open_by(&mut self, path: &Path, follow: bool) -> Result<(File, Metadata), TrustError> {
        let end = self.walk(path, Use::Passed, follow)?;
        let is_pipe = end.by_descriptor && kind_of(&end.stat) == SFlag::S_IFIFO;
        if kind_of(&end.stat) != SFlag::S_IFREG && !is_pipe {
            return Err(TrustError::NotRegular);
        }
        let Some((directory, name)) = end.place else { return Err(TrustError::NotRegular) };
        let mut flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if !end.by_descriptor {
            flags |= OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        }
        let file = File::from(openat(&directory, name.as_os_str(), flags, Mode::empty()).map_err(system)?);
        let metadata = file.metadata().map_err(TrustError::Open)?;
        if (metadata.dev(), metadata.ino()) != (end.stat.st_dev, end.stat.st_ino) {
            // Only root or the user could do that; the next try finds one of the two.
            return Err(system(Errno::ESTALE));
        }
        Ok((file, metadata))
    }

    /// Checks what is at the end of a path, whatever it is, and the way there.
    ///
    /// # Errors
    ///
    /// Others than root and the user can change it, or put something else there.
    pub fn way(&mut self, path: &Path) -> Result<(), TrustError> {
        self.walk(path, Use::Passed, true).map(drop)
    }

    /// Checks a directory and the way to it.
    ///
    /// # Errors
    ///
    /// Others than root and the user can change what is found in it; for [`Use::Filled`], can add to it, or make it if it
    /// is not there.
    pub fn directory(&mut self, path: &Path, used: Use) -> Result<(), TrustError> {
        let path = path::absolute(path).map_err(TrustError::Open)?;
        let key = (path, used == Use::Filled);
        if self.good.contains(&key) {
            return Ok(());
        }
        let end = self.walk(&key.0, used, true)?;
        if kind_of(&end.stat) != SFlag::S_IFDIR {
            return Err(system(Errno::ENOTDIR));
        }
        self.good.insert(key);
        Ok(())
    }

    /// Checks all that is in a directory, at any depth, and where its symbolic links lead. False if there is no directory.
    ///
    /// # Errors
    ///
    /// Others than root and the user can change something of it.
    pub fn tree(&mut self, path: &Path) -> Result<bool, TrustError> {
        let path = path::absolute(path).map_err(TrustError::Open)?;
        match self.walk(&path, Use::Filled, true) {
            Ok(end) if kind_of(&end.stat) != SFlag::S_IFDIR => return Ok(false),
            Ok(_) => {}
            Err(error) if error.is_missing() => return Ok(false),
            Err(TrustError::Missing { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        // From here on nothing is changed by others, so paths will do.
        let (mut seen, mut left) = (HashSet::new(), vec![path]);
        while let Some(directory) = left.pop() {
            let metadata = fs::metadata(&directory).map_err(TrustError::Open)?;
            if !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            for entry in fs::read_dir(&directory).map_err(TrustError::Open)? {
                let entry = entry.map_err(TrustError::Open)?;
                let (path, metadata) = (entry.path(), entry.metadata().map_err(TrustError::Open)?);
                self.judge(&path, metadata.uid(), metadata.mode(), Use::Filled, PathPart::Tree)?;
                if metadata.is_dir() {
                    left.push(path);
                } else if metadata.is_symlink() {
                    match self.walk(&path, Use::Filled, true) {
                        Ok(end) if kind_of(&end.stat) == SFlag::S_IFDIR => left.push(path),
                        // A link that leads nowhere is an error where it is used.
                        Ok(_) | Err(TrustError::Open(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(true)
    }

    fn judge(&self, path: &Path, owner: u32, mode: u32, used: Use, part: PathPart) -> Result<(), TrustError> {
        let kind = match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => ComponentKind::Directory,
            SFlag::S_IFLNK => ComponentKind::Link,
            SFlag::S_IFCHR => ComponentKind::Device,
            _ => ComponentKind::File,
        };
        match flaw(&Component { kind, owner, mode: mode & 0o7777 }, used, self.user) {
            Some(flaw) => Err(TrustError::of(flaw, path, owner, part)),
            None => Ok(()),
        }
    }

    /// Goes from `/` to `path`, component by component, and judges each; the last one by `used`.
    fn walk(&self, path: &Path, used: Use, follow_last: bool) -> Result<End, TrustError> {
        let given = path;
        let path = path::absolute(path).map_err(TrustError::Open)?;
        // The components still to come, the next one last.
        let mut left: Vec<OsString> = components(&path);
        // The last one is still that of the path as it was given, and the way is that of its text.
        let (mut end_is_given, mut by_text) = (true, true);
        let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(system)?;
        let stat = fstat(&root).map_err(system)?;
        let (mut shown, mut links) = (PathBuf::from("/"), 0);
        self.judge(&shown, stat.st_uid, stat.st_mode, Use::Passed, PathPart::Way)?;
        // The directories from the root to where the walk is.
        let mut above: Vec<(OwnedFd, FileStat)> = vec![(root, stat)];
        while let Some(name) = left.pop() {
            if name == ".." {
                if !by_text {
                    // The parent of what a descriptor stands for is not the one of the walk.
                    return Err(system(Errno::ELOOP));
                }
                // The root is its own parent.
                if above.len() > 1 {
                    above.pop();
                    shown.pop();
                }
                continue;
            }
            let Some((directory, stat_above)) = above.last() else { break };
            shown.push(&name);
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut found = match openat(directory, name.as_os_str(), flags, Mode::empty()) {
                Ok(found) => found,
                Err(Errno::ENOENT) if used == Use::Filled && stat_above.st_mode & 0o022 != 0 => {
                    return Err(TrustError::Missing { path: shown.display().to_string() });
                }
                Err(errno) => return Err(system(errno)),
            };
            let mut stat = fstat(&found).map_err(system)?;
            let is_last = left.is_empty();
            let mut by_descriptor = false;
            if kind_of(&stat) == SFlag::S_IFLNK && (!is_last || follow_last) {
                if is_of_proc(&found) {
                    // Such a link leads to what a process has open, and its text is no path.
                    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
                    found = openat(directory, name.as_os_str(), flags, Mode::empty()).map_err(system)?;
                    stat = fstat(&found).map_err(system)?;
                    (by_descriptor, by_text) = (true, false);
                } else {
                    self.judge(&shown, stat.st_uid, stat.st_mode, Use::Passed, PathPart::Way)?;
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(system(Errno::ELOOP));
                    }
                    end_is_given &= !is_last;
                    let target = PathBuf::from(readlinkat(&found, "").map_err(system)?);
                    shown.pop();
                    if target.is_absolute() {
                        above.truncate(1);
                        by_text = true;
                        shown = PathBuf::from("/");
                    }
                    left.extend(components(&target));
                    continue;
                }
            }
            // A pipe that this process was handed has no name that others could use.
            let is_handed = by_descriptor && kind_of(&stat) == SFlag::S_IFIFO;
            if !is_handed {
                let (used, part) = if is_last { (used, PathPart::End) } else { (Use::Passed, PathPart::Way) };
                let shown = if is_last && end_is_given { given } else { &shown };
                self.judge(shown, stat.st_uid, stat.st_mode, used, part)?;
            }
            if is_last {
                let place = Some((directory.try_clone().map_err(TrustError::Open)?, name));
                return Ok(End { place, by_descriptor, stat });
            }
            if kind_of(&stat) != SFlag::S_IFDIR {
                return Err(system(Errno::ENOTDIR));
            }
            above.push((found, stat));
        }
        // The path is the root, or has ended in `..`.
        let (_, stat) = above.pop().ok_or_else(|| system(Errno::ENOENT))?;
        self.judge(&shown, stat.st_uid, stat.st_mode, used, PathPart::End)?;
        Ok(End { place: None, by_descriptor: false, stat })
    }
}

/// The names of a path, the first one last. An empty link's target has none.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        path::Component::Normal(name) => Some(name.to_owned()),
        path::Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn is_of_proc(found: impl AsFd) -> bool {
    fstatfs(found).is_ok_and(|system| system.filesystem_type() == PROC_SUPER_MAGIC)
}

fn system(errno: Errno) -> TrustError {
    TrustError::Open(io::Error::from(errno))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
