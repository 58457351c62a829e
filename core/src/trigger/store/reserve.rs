//! Room that is kept for the database: on a full file system, the end of what runs must still be stored.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, posix_fallocate},
    sys::statvfs::statvfs,
};

/// Its name in the state directory.
pub(super) const FILE: &str = crate::trigger::state_dir::RESERVE;
/// Enough for the ends of some jobs with what their scripts said last. When that is used up, runs have given their files back.
const LENGTH: u64 = 256 * 1024;
/// On a small file system it is this part of it.
const PART: u64 = 8;

/// A file that takes room while the database has enough.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    length: u64,
    held: bool,
}

impl Reserve {
    /// The reserve of a state directory. What an earlier server has reserved counts.
    pub(super) fn new(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let size = statvfs(state_dir).map_or(u64::MAX, |found| found.blocks() * found.fragment_size());
        let length = LENGTH.min(size / PART);
        // Blocks are units of 512 bytes, whatever the file system uses.
        let is_whole = |file: fs::Metadata| file.is_file() && file.blocks() * 512 >= length;
        let held = fs::symlink_metadata(&path).is_ok_and(is_whole);
        Self { path, length, held }
    }

    /// Takes the room again.
    pub(super) fn take(&mut self) -> io::Result<()> {
        if !self.held {
            // No part of it: what is left is for others.
            self.allocate().inspect_err(|_| drop(fs::remove_file(&self.path)))?;
            self.held = true;
        }
        Ok(())
    }

    /// Gives the room away. False if there was none.
    pub(super) fn give_back(&mut self) -> bool {
        std::mem::take(&mut self.held) && fs::remove_file(&self.path).is_ok()
    }

    fn allocate(&self) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&self.path)?;
        let length = i64::try_from(self.length).unwrap_or(i64::MAX);
        Ok(posix_fallocate(&file, 0, length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_taken_given_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::new(dir.path());
        assert!(!reserve.give_back());
        reserve.take().unwrap();
        reserve.take().unwrap();
        assert!(Reserve::new(dir.path()).held);
        let file = dir.path().join(FILE);
        assert!(fs::metadata(&file).unwrap().blocks() * 512 >= reserve.length);
        assert!(reserve.give_back() && !reserve.give_back() && !file.exists());
        assert!(!Reserve::new(dir.path()).held);
        // A file that was only begun is none.
        fs::write(file, "x").unwrap();
        assert!(!Reserve::new(dir.path()).held);
    }
}
