//! The directory with what jobs leave: `jobs/ID/ATTEMPT.log`, and `jobs/ID/ATTEMPT.run` with the files of a failed run.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::sys::statvfs::statvfs;

use crate::trigger::{job::JobId, store::StoreError};

/// The files of failed runs take so many bytes at most, all together,
const RUN_FILES_MAX: u64 = 1024 * 1024 * 1024;
/// and at most this part of the file system.
const RUN_FILES_PART: u64 = 10;

/// `STATE/jobs`.
#[derive(Clone, Debug)]
pub struct JobsDir {
    path: PathBuf,
    kept: Arc<Mutex<Kept>>,
}

impl JobsDir {
    /// Makes the directory.
    ///
    /// # Errors
    ///
    /// The directory is missing and cannot be made.
    pub fn make(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join("jobs");
        private_dir(&path)
            .map_err(|source| StoreError::Io { doing: format!("making {}", path.display()), source })?;
        let size = statvfs(&path).map_or(u64::MAX, |found| found.blocks() * found.fragment_size());
        let kept = Kept { limit: RUN_FILES_MAX.min(size / RUN_FILES_PART), ..Kept::default() };
        Ok(Self { path, kept: Arc::new(Mutex::new(kept)) })
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
        self.path.join(job.to_string())
    }

    /// Makes an empty place for an attempt. A crash may have left files of an attempt that did not count.
    pub(super) fn prepare(&self, job: JobId, attempt: u32) -> io::Result<()> {
        private_dir(&self.dir(job))?;
        // The files of the attempt before have told what they had to tell; its log stays.
        let before = attempt.saturating_sub(1);
        self.kept().sizes.remove(&(job, before));
        remove(&self.work_dir(job, before))?;
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

    /// Takes the files of a run that has ended to those that are kept: an empty directory says nothing, and when all of
    /// them take too much room, the oldest go.
    pub(super) fn keep(&self, job: JobId, attempt: u32) {
        let work_dir = self.work_dir(job, attempt);
        if fs::remove_dir(&work_dir).is_ok() || !work_dir.is_dir() {
            return;
        }
        let surplus = self.kept().add((job, attempt), length_of(&work_dir));
        for (job, attempt) in surplus {
            tracing::info!(
                "removing the files of job {job}, attempt {attempt}: those of all failed runs take too much room"
            );
            self.drop_run(job, attempt);
        }
    }

    /// Removes the files of all runs but those of `running` jobs. Logs stay.
    pub(super) fn drop_run_files(&self, running: &HashSet<JobId>) {
        let runs: Vec<_> = self.kept().sizes.keys().copied().collect();
        for (job, attempt) in runs.into_iter().filter(|(job, _)| !running.contains(job)) {
            self.kept().sizes.remove(&(job, attempt));
            self.drop_run(job, attempt);
        }
    }

    fn drop_run(&self, job: JobId, attempt: u32) {
        if let Err(error) = remove(&self.work_dir(job, attempt)) {
            tracing::warn!("removing the files of job {job}: {error}");
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what is there of jobs that are not known, and takes stock of those that have ended.
    pub(super) fn sweep(&self, mut look_up: impl FnMut(JobId) -> Found) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match look_up(id) {
                Found::Nothing => {
                    self.forget(id);
                    continue;
                }
                Found::Other => continue,
                Found::Ended => {}
            }
            for run in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let name = run.file_name();
                let attempt = name.to_str().and_then(|name| name.strip_suffix(".run")?.parse().ok());
                if let Some(attempt) = attempt {
                    self.keep(id, attempt);
                }
            }
        }
    }

    /// Removes everything of a job.
    pub(super) fn forget(&self, job: JobId) {
        self.kept().sizes.retain(|(of, _), _| *of != job);
        if let Err(error) = remove(&self.dir(job)) {
            tracing::warn!("removing the files of job {job}: {error}");
        }
    }
}

/// What is known of a job that has a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no such job.
    Nothing,
    /// The job has ended.
    Ended,
    /// The job waits or runs, or its state cannot be read.
    Other,
}

/// The files of failed runs: how long they are, and how long all of them may be.
#[derive(Debug, Default)]
struct Kept {
    sizes: BTreeMap<(JobId, u32), u64>,
    limit: u64,
}

impl Kept {
    /// One more. Returns those that have to go: the oldest, until the others fit.
    fn add(&mut self, run: (JobId, u32), size: u64) -> Vec<(JobId, u32)> {
        self.sizes.insert(run, size);
        let mut total = self.sizes.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let mut surplus = Vec::new();
        while total > self.limit
            && let Some((run, size)) = self.sizes.pop_first()
        {
            total = total.saturating_sub(size);
            surplus.push(run);
        }
        surplus
    }
}

/// What a directory takes on the disk. What cannot be read is not counted.
fn length_of(dir: &Path) -> u64 {
    let mut length = 0_u64;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // The entry itself, and not the target of a link.
            let Ok(found) = entry.metadata() else { continue };
            length = length.saturating_add(found.blocks().saturating_mul(512));
            if found.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    length
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_of_runs_go_when_all_take_too_much_room() {
        let mut kept = Kept { limit: 10, ..Kept::default() };
        assert!(kept.add((7, 1), 4).is_empty() && kept.add((9, 2), 6).is_empty());
        // Files that are added a second time are counted once.
        assert!(kept.add((9, 2), 6).is_empty());
        assert_eq!(kept.add((8, 1), 3), [(7, 1)]);
        // Files that alone exceed the limit.
        assert_eq!(kept.add((10, 1), 11), [(8, 1), (9, 2), (10, 1)]);
        assert!(kept.sizes.is_empty());
    }

    #[test]
    fn files_of_runs_go_and_logs_stay() {
        let dir = tempfile::tempdir().unwrap();
        let places = JobsDir::make(dir.path()).unwrap();
        for job in 1..=3 {
            places.prepare(job, 1).unwrap();
            fs::write(places.log(job, 1), "log").unwrap();
            fs::create_dir(places.work_dir(job, 1).join("data")).unwrap();
        }
        places.keep(1, 1);
        places.keep(2, 1);
        places.drop_run_files(&HashSet::from([2]));
        let there = |job| places.work_dir(job, 1).exists();
        assert_eq!([1, 2, 3].map(there), [false, true, true]);
        assert!(places.log(1, 1).exists());
        // A later server finds them again.
        let places = JobsDir::make(dir.path()).unwrap();
        places.sweep(|job| if job == 3 { Found::Nothing } else { Found::Ended });
        places.drop_run_files(&HashSet::new());
        assert!(!places.work_dir(2, 1).exists() && places.log(2, 1).exists() && !places.log(3, 1).exists());
    }
}
