//! A directory of this process in a place that others use too, such as `TMPDIR`, which a later process removes if this
//! one is killed.
//!
//! In it is the file `running`, which is locked while its process lives: a directory in which it can be locked was left by
//! a killed process. A directory that is kept for the user has no such file any more.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg, OFlag},
    unistd::geteuid,
};

use super::scripts;

const PREFIX: &str = "cdist-";
const RUNNING: &str = "running";
/// The file before it is locked.
const DRAFT: &str = "running.new";

/// The directory. Dropping it removes it with all that is in it.
#[derive(Debug)]
#[must_use = "dropping it removes the directory"]
pub struct OwnDir {
    path: PathBuf,
    running: Flock<File>,
    kept: bool,
}

impl OwnDir {
    /// Makes a directory in `place` that only this user can enter.
    ///
    /// # Errors
    ///
    /// The place is missing or cannot be written to.
    pub fn make(place: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let path = builder.prefix(PREFIX).make_in(place, |path| DirBuilder::new().mode(0o700).create(path));
        let path = path?.into_temp_path().keep().map_err(|error| error.error)?;
        // Before it is locked, no other process takes it for left behind.
        let made = lock_new(&path).inspect_err(|_| drop(fs::remove_dir_all(&path)));
        Ok(Self { running: made?, path, kept: false })
    }

    /// Removes what killed processes of this user have left in `place`, unless scripts of theirs go on. Once for a process:
    /// failed runs leave directories there for the user, and all of them are looked at.
    pub fn remove_left(place: &Path) {
        remove_left_if(place, |running| !scripts::are_left(running));
    }

    /// Like [`remove_left`](Self::remove_left), but waits for scripts of killed processes, and ends them after `patience`;
    /// see [`scripts::end_left`].
    pub fn end_left(place: &Path, patience: Duration, mut tell: impl FnMut(&[i32])) {
        remove_left_if(place, |running| {
            scripts::end_left(running, patience, &mut tell);
            true
        });
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this process writes down here which scripts it has running.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_down_scripts(&self) -> io::Result<()> {
        scripts::write_down(self.running.try_clone()?)
    }

    /// Leaves what is in it for the user.
    ///
    /// # Errors
    ///
    /// The mark of a running process cannot be removed.
    pub fn keep(mut self) -> io::Result<()> {
        self.kept = true;
        fs::remove_file(self.path.join(RUNNING))
    }

    /// Removes the directory and tells what went wrong, which dropping cannot.
    ///
    /// # Errors
    ///
    /// Something in it cannot be removed.
    pub fn remove(mut self) -> io::Result<()> {
        self.kept = true;
        fs::remove_dir_all(&self.path)
    }
}

impl Drop for OwnDir {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn lock_new(dir: &Path) -> io::Result<Flock<File>> {
    let draft = dir.join(DRAFT);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft)?;
    let lock = lock(file).ok_or_else(|| io::Error::other("locking a new file"))?;
    fs::rename(draft, dir.join(RUNNING))?;
    Ok(lock)
}

fn lock(file: File) -> Option<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

/// Removes the directories of killed processes, if `are_over` says so of their scripts.
fn remove_left_if(place: &Path, mut are_over: impl FnMut(&mut File) -> bool) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let flags = OFlag::O_NOFOLLOW.bits();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path.join(RUNNING));
        // Most are kept for the user, and have no such file.
        let Some(mut lock) = file.ok().filter(|_| is_ours(&path)).and_then(lock) else { continue };
        // Its process may just have come to its end, and have left the rest for the user.
        if lock.metadata().is_ok_and(|file| file.nlink() > 0) && are_over(&mut lock) {
            tracing::info!("removing {}, which a killed process left", path.display());
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A directory of this user that others cannot write to, and no link to one.
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    /// As after kill -9.
    fn killed(place: &Path) -> PathBuf {
        let OwnDir { path, kept, .. } = &mut OwnDir::make(place).unwrap();
        *kept = true;
        path.clone()
    }

    #[test]
    fn what_killed_processes_left_goes_and_what_is_in_use_or_kept_stays() {
        let place = tempfile::tempdir().unwrap();
        let in_use = OwnDir::make(place.path()).unwrap();
        let kept = OwnDir::make(place.path()).unwrap();
        let kept_path = kept.path().to_owned();
        fs::write(kept_path.join("reason"), "x").unwrap();
        kept.keep().unwrap();
        let left = killed(place.path());
        fs::create_dir_all(left.join("data/object")).unwrap();
        for other in ["cdist-of-somebody", "other"] {
            fs::create_dir(place.path().join(other)).unwrap();
        }
        std::os::unix::fs::symlink(in_use.path(), place.path().join("cdist-link")).unwrap();
        OwnDir::remove_left(place.path());
        assert!(!left.exists() && in_use.path().exists() && kept_path.join("reason").exists());
        assert_eq!(names(place.path()), 5);
        drop(in_use);
        assert_eq!(names(place.path()), 4);
    }

    #[test]
    fn many_at_once_do_not_remove_each_other() {
        let place = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    OwnDir::remove_left(place.path());
                    let own = OwnDir::make(place.path()).unwrap();
                    fs::write(own.path().join("x"), "x").unwrap();
                    own.remove().unwrap();
                });
            }
        });
        assert_eq!(names(place.path()), 0);
    }
}
