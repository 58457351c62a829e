//! Several configuration directories merged into one view of symbolic links.
//!
//! The last directory wins, for each entry of `explorer`, `files`, `manifest` and `type`: a type is taken whole.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::types::visible_entries;
use crate::{
    config::{
        error::ConfigError,
        log::{Level, LogSink},
        stage::Stage,
    },
    trust,
};

/// What a configuration directory may hold.
const PARTS: [&str; 4] = ["explorer", "files", "manifest", "type"];

/// The directories in the order of rising rank without repetitions.
///
/// A directory named again moves up to its last place: a directory is repeated to make it win.
pub fn without_repetitions(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let last = |i: usize, dir: &PathBuf| !dirs.iter().skip(i + 1).any(|d| d == dir);
    dirs.iter().enumerate().filter(|(i, d)| last(*i, d)).map(|(_, d)| d.clone()).collect()
}

/// Builds the merged view in `stage`; missing directories and parts are skipped.
///
/// Entries of `type/` that are no directories, and those of `explorer/` that are, are left out with a warning.
pub(in crate::config) fn merge(
    dirs: &[PathBuf],
    stage: &Stage,
    log: &dyn LogSink,
) -> Result<(), ConfigError> {
    for part in PARTS {
        let path = stage.conf(part);
        fs::create_dir_all(&path).map_err(ConfigError::io(format!("making {}", path.display())))?;
    }
    for dir in without_repetitions(dirs) {
        let dir = std::path::absolute(&dir)
            .map_err(ConfigError::io(format!("resolving the configuration directory {}", dir.display())))?;
        for part in PARTS {
            // One that is not there now could be another's in the next moment.
            if !trust::tree_for_root("the configuration directory", &dir.join(part))? {
                continue;
            }
            link_entries(&dir.join(part), &stage.conf(part), part)?;
        }
    }
    drop_invalid(stage, log, "type", Path::is_dir)?;
    // A shell that is told to run a directory says that all is well.
    drop_invalid(stage, log, "explorer", |path| !path.is_dir())
}

fn link_entries(source: &Path, target: &Path, part: &str) -> Result<(), ConfigError> {
    let entries = match fs::read_dir(source) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(e) => return Err(ConfigError::io(format!("reading {}", source.display()))(e)),
    };
    for entry in entries {
        let entry = entry.map_err(ConfigError::io(format!("reading {}", source.display())))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let link = || -> io::Result<()> {
            // Also a link that leads nowhere.
            match fs::remove_file(&to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            symlink(&from, &to)
        };
        link().map_err(ConfigError::io(format!(
            "Linking {part} {} to {} failed",
            from.display(),
            to.display()
        )))?;
    }
    Ok(())
}

fn drop_invalid(
    stage: &Stage,
    log: &dyn LogSink,
    part: &str,
    is_valid: impl Fn(&Path) -> bool,
) -> Result<(), ConfigError> {
    let dir = stage.conf(part);
    let names = visible_entries(&dir).map_err(ConfigError::io(format!("reading {}", dir.display())))?;
    for name in names {
        let path = dir.join(&name);
        if is_valid(&path) {
            continue;
        }
        let source = fs::read_link(&path).unwrap_or_else(|_| path.clone());
        let text = format!(
            "Ignoring invalid {part} '{}' at '{}' defined at '{}'",
            name.to_string_lossy(),
            path.display(),
            source.display()
        );
        log.log(Level::Warning, if part == "type" { "cdist-type" } else { "cdist" }, &text);
        fs::remove_file(&path).map_err(ConfigError::io(format!("removing {}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_directory_wins_at_its_last_place() {
        let dirs = ["a", "b", "a"].map(PathBuf::from);
        assert_eq!(without_repetitions(&dirs), ["b", "a"].map(PathBuf::from));
    }

    #[test]
    fn a_dangling_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        fs::create_dir_all(one.join("type")).unwrap();
        symlink("/proc/none", one.join("type/__t")).unwrap();
        fs::create_dir_all(two.join("type/__t")).unwrap();
        let stage = Stage::create(dir.path().join("out"), "/r".into()).unwrap();
        merge(&[one, two.clone()], &stage, &crate::config::log::TracingLog).unwrap();
        assert_eq!(fs::read_link(stage.conf("type").join("__t")).unwrap(), two.join("type/__t"));
    }
}
