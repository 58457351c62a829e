//! The file that takes what package managers say, and whose last words are shown when one fails.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::trust;

/// How many logs of one PreOS are kept.
const KEPT: usize = 10;

/// A log file, readable by its owner only.
#[derive(Debug, Clone)]
pub struct BuildLog {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl BuildLog {
    /// Creates a log for the PreOS `name` in `dir`, and removes all but the newest ones.
    ///
    /// # Errors
    ///
    /// The directory or the file cannot be created.
    pub fn create(dir: &Path, name: &str) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        trust::directory_for_root("the directory of the logs", dir).map_err(io::Error::other)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        // Process ids are no help: each build has a namespace of its own, in which it is always the same.
        let mut number = 0;
        let (path, file) = loop {
            let path = dir.join(format!("preos-{name}-{seconds}-{number}.log"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(error),
            }
        };
        let log = Self { path, file: Arc::new(Mutex::new(file)) };
        // An old log more or less is no reason to fail.
        let _ = remove_old(dir, &format!("preos-{name}-"));
        Ok(log)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for commands to write to.
    pub fn file(&self) -> &Arc<Mutex<File>> {
        &self.file
    }

    /// The last lines, at most `count`.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect()
    }
}

fn remove_old(dir: &Path, prefix: &str) -> io::Result<()> {
    let mut logs: Vec<(SystemTime, PathBuf)> = fs::read_dir(dir)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    logs.sort();
    for (_, path) in logs.iter().rev().skip(KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn shows_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = BuildLog::create(&dir.path().join("log"), "debian").unwrap();
        log.file().lock().unwrap().write_all(b"one\n\ntwo\nthree\n").unwrap();
        assert_eq!(log.last_lines(2), ["two", "three"]);
        let second = BuildLog::create(&dir.path().join("log"), "debian").unwrap();
        assert_ne!(second.path(), log.path());
    }
}
