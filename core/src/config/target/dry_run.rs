//! What a dry run does otherwise on the target: it has a directory of its own, and leaves the target as it was.
//!
//! Explorers have to be somewhere on the target to run. The work directory of the last real run is not the place:
//! it would be wiped. A directory beside it has the same owner's parents, so no other user can get in between.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use crate::{
    config::{engine::Engine, error::ConfigError, stage::random_letters},
    connector::{Exec, Input, Output, RunContext},
    host::quote::{posix, posix_always},
};

/// The directory of a dry run: beside the work directory, under a random name.
pub(in crate::config) fn place(remote_dir: &Path) -> Result<PathBuf, ConfigError> {
    let mut name = remote_dir.file_name().unwrap_or_default().to_owned();
    name.push(".dry-run-");
    name.push(random_letters()?);
    Ok(remote_dir.with_file_name(name))
}

impl Engine {
    /// Notes which parents of the work directory are missing on the target, so that they can go after the run.
    pub(in crate::config) async fn note_missing_parents(&self) -> Result<(), ConfigError> {
        let parents = parents(&self.stage.remote);
        let mut script = OsString::from("for d in");
        for dir in &parents {
            script.push(" ");
            script.push(posix(dir));
        }
        script.push("; do [ -d \"$d\" ] || printf x; done");
        let words = vec!["/bin/sh".into(), "-c".into(), posix_always(&script)];
        self.calls.fetch_add(1, Ordering::Relaxed);
        let exec = Exec {
            words: words.clone(),
            stdin: Input::Null,
            stdout: Output::Capture,
            stderr: self.output(&self.stage.out, "stderr", "remote")?,
        };
        let done = self.run.connector.exec(&self.context, exec).await?;
        if !done.status.success() {
            let command = self.run.connector.shown(&self.context, &words);
            return Err(ConfigError::Failed { command, status: done.status, why: None });
        }
        // Whatever has no directory below it is missing from the deepest one upwards.
        let count = done.stdout.iter().filter(|byte| **byte == b'x').count();
        let missing = parents.into_iter().take(count).collect();
        // Set once: a run begins once.
        let _ = self.missing_parents.set(missing);
        Ok(())
    }

    /// Removes the parents that were missing, as far as they are empty still.
    pub(in crate::config) async fn remove_missing_parents(&self, context: &RunContext) {
        let Some(missing) = self.missing_parents.get().filter(|all| !all.is_empty()) else { return };
        let mut words = vec![OsString::from("rmdir")];
        words.extend(missing.iter().map(posix));
        // Another program uses a directory that is not empty.
        let _ = self.remote_plain(context, &words).await;
    }
}

/// The directories above `path`, deepest first, without the root.
fn parents(path: &Path) -> Vec<PathBuf> {
    let all = path.ancestors().skip(1);
    all.filter(|dir| dir.file_name().is_some()).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_beside_the_work_directory() {
        let place = place(Path::new("/var/lib/cdist")).unwrap();
        assert_eq!(place.parent(), Some(Path::new("/var/lib")));
        assert!(place.to_string_lossy().starts_with("/var/lib/cdist.dry-run-"));
        assert_ne!(place, super::place(Path::new("/var/lib/cdist")).unwrap());
    }

    #[test]
    fn parents_are_listed_deepest_first() {
        assert_eq!(parents(Path::new("/var/lib/cdist")), [Path::new("/var/lib"), Path::new("/var")]);
        assert!(parents(Path::new("/cdist")).is_empty());
    }
}
