//! The directory in which a bootstrap grows, so that the target gets a whole tree or none.
//!
//! A build that was killed leaves it behind; the next one for the same target takes it away.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{fcntl::Flock, unistd::geteuid};

use crate::{
    host::{
        Cancel,
        claim::{Claim, claim},
        remove::{RemoveError, remove_tree},
    },
    trust::{self, Untrusted},
};

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// A file or directory.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another build is at work.
    #[error("another build is filling {} just now; wait for it or choose another target", .0.display())]
    Busy(PathBuf),
    /// Others could exchange the tree while it grows.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It was there before, and another user's.
    #[error("{} belongs to {}, who could change what is built in it; remove it or choose another target", .0.display(), trust::name_of(*.1))]
    NotOurs(PathBuf, u32),
    /// What an earlier build left could not be removed.
    #[error("removing what an earlier build left")]
    Remove(#[from] RemoveError),
}

fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StagingError {
    move |source| StagingError::File { doing, path: path.to_owned(), source }
}

/// The directory in which the tree grows, locked while this process lives.
#[derive(Debug)]
pub(super) struct Staging {
    target: PathBuf,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Staging {
    /// Makes an empty directory beside `target`, or in it if something is mounted there.
    ///
    /// # Errors
    ///
    /// Another build holds it, another user could change what is in it, or it cannot be made.
    pub(super) fn create(target: &Path, cancel: &Cancel) -> Result<Self, StagingError> {
        let (parent, name) = match (target.parent(), target.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => (target, target.as_os_str()),
        };
        fs::create_dir_all(parent).map_err(file("making the directory", parent))?;
        trust::place_for_root("the target", target)?;
        let path = if is_mount_point(target) {
            // What is mounted there cannot be renamed over; the tree moves up entry by entry.
            target.join(STAGING)
        } else {
            parent.join(format!(".{}{STAGING}", name.to_string_lossy()))
        };
        loop {
            match fs::DirBuilder::new().mode(0o755).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result.map_err(file("making the directory", &path))?,
            }
            let lock = match claim(&path).map_err(file("opening", &path))? {
                Claim::Held(lock) => lock,
                Claim::Busy => return Err(StagingError::Busy(target.to_owned())),
                // Another build has just moved it to the target.
                Claim::Gone => continue,
            };
            let metadata = lock.metadata().map_err(file("opening", &path))?;
            if metadata.uid() != geteuid().as_raw() {
                return Err(StagingError::NotOurs(path, metadata.uid()));
            }
            if fs::read_dir(&path).map_err(file("reading", &path))?.next().is_some() {
                tracing::info!("removing {}, which a killed build left", path.display());
                remove_tree(&path, cancel)?;
                continue;
            }
            let open = fs::Permissions::from_mode(0o755);
            lock.set_permissions(open).map_err(file("opening up", &path))?;
            return Ok(Self { target: target.to_owned(), path, _lock: lock });
        }
    }

    /// Where the tree grows.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what has grown, after a failure that is reported already.
    pub(super) fn discard(self) {
        // Perhaps the user has asked to stop; removing goes on all the same.
        if let Err(error) = remove_tree(&self.path, &Cancel::default()) {
            tracing::warn!("{} is left behind: {error}", self.path.display());
        }
    }

    /// Moves the whole tree to the target.
    ///
    /// # Errors
    ///
    /// The target is no longer empty, or cannot be replaced.
    pub(super) fn publish(self) -> Result<(), StagingError> {
        let (path, target) = (&self.path, &self.target);
        if path.parent() != Some(target) {
            // rename(2) replaces an empty directory.
            return fs::rename(path, target).map_err(file("moving the finished tree to", target));
        }
        for entry in fs::read_dir(path).map_err(file("reading", path))? {
            let entry = entry.map_err(file("reading", path))?;
            let to = target.join(entry.file_name());
            fs::rename(entry.path(), &to).map_err(file("moving the finished tree to", &to))?;
        }
        fs::remove_dir(path).map_err(file("removing", path))
    }
}

/// The ending of the name of a staging directory.
pub(super) const STAGING: &str = ".cdist-partial";

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let here = device(path);
    here.is_some() && path.parent().is_some_and(|parent| device(parent) != here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/root");
        let cancel = Cancel::default();
        let staging = Staging::create(&target, &cancel).unwrap();
        fs::write(staging.path().join("half"), "").unwrap();
        assert!(matches!(Staging::create(&target, &cancel), Err(StagingError::Busy(_))));
        drop(staging);
        let staging = Staging::create(&target, &cancel).unwrap();
        assert!(
            fs::read_dir(staging.path()).unwrap().next().is_none(),
            "the leftover of a killed build is gone"
        );
        fs::write(staging.path().join("whole"), "").unwrap();
        staging.publish().unwrap();
        assert!(target.join("whole").is_file());
        let second = dir.path().join("second");
        Staging::create(&second, &cancel).unwrap().discard();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a failed build leaves nothing");
    }
}
