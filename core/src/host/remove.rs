//! Removing a tree that may have been used as a root.
//!
//! `rm -rf` on a root in which `/dev` or a home is still mounted empties these too. Here the mount table is asked
//! first, and each directory is entered by a call that refuses mount points and symbolic links, so that neither
//! can slip in between.

use std::{
    ffi::{CStr, CString, OsStr, OsString},
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{OFlag, renameat},
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{Cancel, beneath, mounts};

/// Each level takes a file descriptor, of which a process has 1024.
const DEPTH_MAX: usize = 200;

/// Why a tree is still there, wholly or in part.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Something is mounted on it or in it.
    #[error("{} is a mount point; unmount it before removing {}", .mount.display(), .tree.display())]
    Mounted {
        /// What is mounted.
        mount: PathBuf,
        /// What was to be removed.
        tree: PathBuf,
    },
    /// A symbolic link, which may lead anywhere.
    #[error("{} is a symbolic link; name the directory itself", .0.display())]
    IsLink(PathBuf),
    /// The root directory or a name such as `..`.
    #[error("refusing to remove {}", .0.display())]
    Refused(PathBuf),
    /// A system call failed.
    #[error("removing {}", .path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The user asked to stop; a part of the tree is gone.
    #[error("cancelled while removing {}", .0.display())]
    Cancelled(PathBuf),
}

/// Removes the directory `tree` with all that is in it. It is no error if there is none.
///
/// # Errors
///
/// Nothing is removed if something is mounted at or beneath `tree`, or if it is no directory.
pub fn remove_tree(tree: &Path, cancel: &Cancel) -> Result<(), RemoveError> {
    let system = |source| RemoveError::System { path: tree.to_owned(), source };
    match fs::symlink_metadata(tree) {
        Ok(meta) if meta.is_symlink() => return Err(RemoveError::IsLink(tree.to_owned())),
        Ok(meta) if !meta.is_dir() => return Err(system(io::ErrorKind::NotADirectory.into())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    }
    let real = fs::canonicalize(tree).map_err(system)?;
    // The mount table knows real paths only.
    let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(RemoveError::Refused(tree.to_owned()));
    };
    if let Some(mount) = mounts::mounts_under(&real).map_err(system)?.pop() {
        return Err(RemoveError::Mounted { mount, tree: real });
    }
    let parent = beneath::open_top(parent).map_err(system)?;
    Removal { tree: &real, cancel, moved: 0 }.run(&parent, name)
}

struct Removal<'a> {
    tree: &'a Path,
    cancel: &'a Cancel,
    /// Directories that were moved up because they lay too deep.
    moved: u64,
}

/// A directory being emptied.
struct Level {
    name: OsString,
    dir: Dir,
    left: Vec<(CString, Option<Type>)>,
}

impl Removal<'_> {
    fn run(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), RemoveError> {
        let mut levels = vec![self.enter(parent, name, self.tree)?];
        while let Some(level) = levels.last_mut() {
            if self.cancel.is_cancelled() {
                return Err(RemoveError::Cancelled(self.tree.to_owned()));
            }
            let Some((name, kind)) = level.left.pop() else {
                self.leave(parent, &mut levels)?;
                continue;
            };
            // Most file systems tell the kind; where one does not, the call itself does.
            if kind != Some(Type::Directory) && self.unlink(&levels, &name)? {
                continue;
            }
            if levels.len() < DEPTH_MAX {
                let Some(last) = levels.last() else { break };
                let name = OsStr::from_bytes(name.to_bytes());
                let deeper = self.enter(&last.dir, name, &self.shown(&levels[1..]).join(name))?;
                levels.push(deeper);
            } else {
                self.move_up(&mut levels, &name)?;
            }
        }
        Ok(())
    }

    fn enter(
        &self,
        parent: impl std::os::fd::AsFd,
        name: &OsStr,
        shown: &Path,
    ) -> Result<Level, RemoveError> {
        let failed = |errno: Errno| match errno {
            Errno::EXDEV => RemoveError::Mounted { mount: shown.to_owned(), tree: self.tree.to_owned() },
            _ => RemoveError::System { path: shown.to_owned(), source: errno.into() },
        };
        let fd = beneath::open_beneath(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
        let mut dir = Dir::from_fd(fd).map_err(failed)?;
        let mut left = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                left.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        Ok(Level { name: name.to_owned(), dir, left })
    }

    /// Removes the emptied directory at the end of `levels`.
    fn leave(&self, top: &OwnedFd, levels: &mut Vec<Level>) -> Result<(), RemoveError> {
        let shown = self.shown(levels.get(1..).unwrap_or_default());
        let Some(emptied) = levels.pop() else { return Ok(()) };
        let removed = match levels.last() {
            Some(parent) => unlinkat(&parent.dir, emptied.name.as_os_str(), UnlinkatFlags::RemoveDir),
            None => unlinkat(top, emptied.name.as_os_str(), UnlinkatFlags::RemoveDir),
        };
        removed.map_err(|errno| self.failed(shown, errno))
    }

    /// False if it is a directory.
    fn unlink(&self, levels: &[Level], name: &CStr) -> Result<bool, RemoveError> {
        let Some(parent) = levels.last() else { return Ok(true) };
        match unlinkat(&parent.dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(true),
            Err(Errno::EISDIR) => Ok(false),
            Err(errno) => {
                let path = self.shown(&levels[1..]).join(OsStr::from_bytes(name.to_bytes()));
                Err(self.failed(path, errno))
            }
        }
    }

    /// Puts a directory that lies too deep into the top one, to be emptied from there.
    fn move_up(&mut self, levels: &mut [Level], name: &CStr) -> Result<(), RemoveError> {
        loop {
            let short = CString::new(format!(".cdist-remove-{}", self.moved)).unwrap_or_default();
            self.moved += 1;
            let moved = {
                let (Some(from), Some(to)) = (levels.last(), levels.first()) else { return Ok(()) };
                renameat(&from.dir, name, &to.dir, short.as_c_str())
            };
            match moved {
                Ok(()) => {
                    levels[0].left.push((short, Some(Type::Directory)));
                    return Ok(());
                }
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                Err(errno) => {
                    let path = self.shown(&levels[1..]).join(OsStr::from_bytes(name.to_bytes()));
                    return Err(self.failed(path, errno));
                }
            }
        }
    }

    fn failed(&self, path: PathBuf, errno: Errno) -> RemoveError {
        match errno {
            // What the kernel says of a mount point.
            Errno::EBUSY => RemoveError::Mounted { mount: path, tree: self.tree.to_owned() },
            _ => RemoveError::System { path, source: errno.into() },
        }
    }

    fn shown(&self, above: &[Level]) -> PathBuf {
        above.iter().fold(self.tree.to_owned(), |path, level| path.join(&level.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        mount::{MsFlags, mount, umount},
        sys::stat::{Mode, mkdirat},
    };
    use std::os::unix::fs::symlink;

    fn remove(tree: &Path) -> Result<(), RemoveError> {
        remove_tree(tree, &Cancel::default())
    }

    #[test]
    fn removes_all_kinds_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "precious").unwrap();
        fs::write(tree.join("a/file"), "x").unwrap();
        symlink("../outside", tree.join("link")).unwrap();
        symlink("/proc/none", tree.join("a/b/dangling")).unwrap();
        fs::write(tree.join(OsStr::from_bytes(b"odd \xff\n")), "x").unwrap();
        nix::unistd::mkfifo(&tree.join("fifo"), Mode::S_IRWXU).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert!(dir.path().join("outside/file").exists());
        remove(&tree).unwrap();
    }

    #[test]
    fn refuses_links_files_and_the_root() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(matches!(remove(&dir.path().join("link")), Err(RemoveError::IsLink(_))));
        assert!(matches!(remove(&dir.path().join("file")), Err(RemoveError::System { .. })));
        assert!(matches!(remove(Path::new("/")), Err(RemoveError::Refused(_))));
        assert!(dir.path().join("real").exists() && dir.path().join("file").exists());
    }

    #[test]
    fn a_tree_deeper_than_paths_and_descriptors_go() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at = beneath::open_top(&tree).unwrap();
        for _ in 0..1500 {
            mkdirat(&at, "some directory", Mode::S_IRWXU).unwrap();
            at = beneath::open_beneath(&at, "some directory", OFlag::O_RDONLY).unwrap();
        }
        drop(at);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn stops_when_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(matches!(remove_tree(dir.path(), &cancel), Err(RemoveError::Cancelled(_))));
    }

    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            umount(&self.0).unwrap();
        }
    }

    /// Needs CAP_SYS_ADMIN.
    #[test]
    fn privileged_a_mount_point_is_named_and_nothing_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a tree");
        let host = dir.path().join("host");
        fs::create_dir_all(tree.join("dev")).unwrap();
        fs::create_dir(&host).unwrap();
        fs::write(tree.join("aaa"), "x").unwrap();
        fs::write(host.join("precious"), "x").unwrap();
        // A bind mount has the same device number, which therefore tells nothing.
        mount(Some(&host), &tree.join("dev"), None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .expect("run as root");
        let mounted = Unmount(tree.join("dev"));
        let error = remove(&tree).unwrap_err();
        assert!(
            matches!(&error, RemoveError::Mounted { mount, .. } if *mount == tree.join("dev")),
            "{error}"
        );
        assert!(tree.join("aaa").exists() && host.join("precious").exists());

        // One that the table did not show in time is met on the way.
        let parent = beneath::open_top(dir.path()).unwrap();
        let mut late = Removal { tree: &tree, cancel: &Cancel::default(), moved: 0 };
        let error = late.run(&parent, OsStr::new("a tree")).unwrap_err();
        assert!(
            matches!(&error, RemoveError::Mounted { mount, .. } if *mount == tree.join("dev")),
            "{error}"
        );
        assert!(host.join("precious").exists());
        drop(mounted);
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
