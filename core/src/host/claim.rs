//! Directories that one process works in and that a later one removes if that process was killed.
//!
//! The sign of life is a lock (flock(2)) on the directory, which ends with its process. A lock says something only about
//! the directory that has the name at that moment: between making a directory and locking it, or between opening and
//! locking it, another process may have taken it for a left-behind, or moved it to its place.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
};

/// What comes of the wish to have a directory.
#[derive(Debug)]
pub enum Claim {
    /// This process has it until the lock is dropped.
    Held(Flock<File>),
    /// Another living process has it: its maker, or one that is about to remove it.
    Busy,
    /// The directory was removed or renamed meanwhile.
    Gone,
}

/// Locks the directory `path`, which is no symbolic link.
///
/// # Errors
///
/// It cannot be opened or locked, or is no directory.
pub fn claim(path: &Path) -> io::Result<Claim> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Claim::Gone),
        file => file?,
    };
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EAGAIN)) => return Ok(Claim::Busy),
        Err((_, errno)) => return Err(errno.into()),
    };
    let inode = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    let held = inode(&lock.metadata()?);
    Ok(match fs::symlink_metadata(path) {
        Ok(metadata) if inode(&metadata) == held => Claim::Held(lock),
        _ => Claim::Gone,
    })
}

/// As [`claim`], for a left-behind of a process of the same user. `None` if it is none, or cannot be told.
pub fn claim_left_behind(path: &Path) -> Option<Flock<File>> {
    match claim(path) {
        Ok(Claim::Held(lock)) if lock.metadata().ok()?.uid() == nix::unistd::geteuid().as_raw() => Some(lock),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_lock_counts_for_the_directory_that_has_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        assert!(matches!(claim(&path), Ok(Claim::Gone)));
        fs::create_dir(&path).unwrap();
        let Ok(Claim::Held(lock)) = claim(&path) else { panic!("it is free") };
        assert!(matches!(claim(&path), Ok(Claim::Busy)));
        assert!(claim_left_behind(&path).is_none());
        fs::rename(&path, dir.path().join("moved")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(claim(&path), Ok(Claim::Held(_))), "the name is another directory's now");
        drop(lock);
        symlink(dir.path().join("moved"), dir.path().join("link")).unwrap();
        claim(&dir.path().join("link")).unwrap_err();
        fs::write(dir.path().join("file"), "").unwrap();
        claim(&dir.path().join("file")).unwrap_err();
    }
}
