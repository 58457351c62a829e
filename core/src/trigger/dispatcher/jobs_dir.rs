//! The directory with what jobs leave: `jobs/ID/ATTEMPT.log`, and `jobs/ID/ATTEMPT.run` with the files of a failed run.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::trigger::{job::JobId, store::StoreError};

/// `STATE/jobs`.
#[derive(Clone, Debug)]
pub struct JobsDir(PathBuf);

impl JobsDir {
    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// It is not there and cannot be made.
    pub fn make(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("jobs");
        private_dir(&path)
            .map_err(|source| StoreError::Io { doing: format!("making {}", path.display()), source })?;
        Ok(Self(path))
    }

    /// The log of an attempt. An older part of a long one is beside it, with `.1` at its end.
    pub fn log(&self, job: JobId, attempt: u32) -> PathBuf {
        self.dir(job).join(format!("{attempt}.log"))
    }

    /// The files of an attempt, as far as they were kept.
    pub fn work_dir(&self, job: JobId, attempt: u32) -> PathBuf {
        self.dir(job).join(format!("{attempt}.run"))
    }

    fn dir(&self, job: JobId) -> PathBuf {
        self.0.join(job.to_string())
    }

    /// Makes an empty place for an attempt. A crash may have left files of an attempt that did not count.
    pub(super) fn prepare(&self, job: JobId, attempt: u32) -> io::Result<()> {
        private_dir(&self.dir(job))?;
        // The files of the attempt before have told what they had to tell; its log stays.
        remove(&self.work_dir(job, attempt.saturating_sub(1)))?;
        let work_dir = self.work_dir(job, attempt);
        remove(&work_dir)?;
        for log in [self.log(job, attempt), self.log(job, attempt).with_extension("log.1")] {
            match fs::remove_file(log) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        private_dir(&work_dir)
    }

    /// Removes what a run did not keep: an empty directory says nothing.
    pub(super) fn tidy(&self, job: JobId, attempt: u32) {
        let _ = fs::remove_dir(self.work_dir(job, attempt));
    }

    /// Removes what is there of jobs that nobody knows.
    pub(super) fn sweep(&self, mut is_unknown: impl FnMut(JobId) -> bool) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if is_unknown(id) {
                self.forget(id);
            }
        }
    }

    /// Removes everything of a job.
    pub(super) fn forget(&self, job: JobId) {
        if let Err(error) = remove(&self.dir(job)) {
            tracing::warn!("removing the files of job {job}: {error}");
        }
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
