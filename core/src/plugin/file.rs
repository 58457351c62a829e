//! Whether a plugin file may be trusted: nobody but root and the user who runs cdist may be able to change it.
//!
//! A plugin runs with all rights of the user, and a PreOS build runs as root. The checks look at the opened
//! descriptor; the way to it is checked too, because who can rename a directory can replace the file.

use std::{
    collections::HashSet,
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    unistd::{Uid, User},
};

/// Why a file is not opened as a plugin. The messages complete the line "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The last component is a symbolic link.
    #[error("it is a symbolic link; copy the file itself into the directory")]
    SymbolicLink,
    /// It cannot be opened.
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    /// A FIFO, device, socket or directory.
    #[error("it is no regular file")]
    NotRegular,
    /// It belongs to somebody else.
    #[error("{path} belongs to {owner}, but cdist runs as {user}; if you trust it: chown {user} {path}")]
    Owner {
        /// The file or a directory above it.
        path: String,
        /// Its owner's name.
        owner: String,
        /// The name of the effective user.
        user: String,
    },
    /// Others can write it.
    #[error("{path} is writable by group or others; if you trust it: chmod go-w {path}")]
    Writable {
        /// The file or a directory above it.
        path: String,
    },
}

/// Opens plugin files after checking who can change them. Remembers the directories that are good up to the root.
#[derive(Debug)]
pub struct Opener {
    user: Uid,
    directories: HashSet<PathBuf>,
}

impl Default for Opener {
    fn default() -> Self {
        Self { user: Uid::effective(), directories: HashSet::new() }
    }
}

impl Opener {
    /// Opens `path` without following a link, waiting for a FIFO or leaking the descriptor into children.
    ///
    /// # Errors
    ///
    /// It is no regular file that only root and the effective user can change.
    pub fn open(&mut self, path: &Path) -> Result<(File, Metadata), FileError> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file =
            OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(
                |error| match error.raw_os_error() {
                    Some(code) if code == nix::errno::Errno::ELOOP as i32 => FileError::SymbolicLink,
                    _ => FileError::Open(error),
                },
            )?;
        let metadata = file.metadata().map_err(FileError::Open)?;
        if !metadata.is_file() {
            return Err(FileError::NotRegular);
        }
        self.check(path, &metadata)?;
        self.check_directory(parent_of(path))?;
        Ok((file, metadata))
    }

    /// Checks a directory and all above it.
    ///
    /// # Errors
    ///
    /// Others than root and the effective user can replace what is in it.
    pub fn check_directory(&mut self, path: &Path) -> Result<(), FileError> {
        if self.directories.contains(path) {
            return Ok(());
        }
        // Links among the parents are followed as the kernel will do; each real directory is looked at.
        let real = path.canonicalize().map_err(FileError::Open)?;
        for directory in real.ancestors().take_while(|directory| !self.directories.contains(*directory)) {
            let metadata = directory.symlink_metadata().map_err(FileError::Open)?;
            self.check(directory, &metadata)?;
        }
        // Only now: a good directory below a bad one must not be remembered as good.
        self.directories.extend(real.ancestors().map(Path::to_owned));
        self.directories.insert(path.to_owned());
        Ok(())
    }

    fn check(&self, path: &Path, metadata: &Metadata) -> Result<(), FileError> {
        let shown = path.display().to_string();
        let owner = Uid::from_raw(metadata.uid());
        if !owner.is_root() && owner != self.user {
            return Err(FileError::Owner { path: shown, owner: name_of(owner), user: name_of(self.user) });
        }
        // In a sticky directory such as /tmp others can add names, but not replace ours.
        let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
        if metadata.mode() & 0o022 != 0 && !sticky {
            return Err(FileError::Writable { path: shown });
        }
        Ok(())
    }
}

/// The directory that holds `path`; for a bare name the working directory.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    }
}

/// The name of a user, or the number if there is none.
pub(super) fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn refused(path: &Path) -> String {
        Opener::default().open(path).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn refuses_what_others_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.so");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Opener::default().open(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(refused(&path).contains("writable by group or others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            refused(&path).contains(&format!("chmod go-w {}", dir.path().canonicalize().unwrap().display()))
        );
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Opener::default().open(&path).is_ok());
    }

    #[test]
    fn a_directory_above_counts_for_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut opener = Opener::default();
        for name in ["a.so", "b.so"] {
            let path = below.join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(opener.open(&path).is_err(), "{name}");
        }
    }

    #[test]
    fn refuses_links_and_special_files_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link.so");
        symlink("/bin/sh", &link).unwrap();
        assert!(refused(&link).contains("symbolic link"));
        let fifo = dir.path().join("fifo.so");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(refused(&fifo), "it is no regular file");
        assert!(refused(&dir.path().join("none.so")).contains("No such file"));
        assert_eq!(refused(dir.path()), "it is no regular file");
    }
}
