//! The cache: the files of the last successful run on each host.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::error::ConfigError;

/// Moves the run's directory `data` to `entry`. Of an entry that exists, what the run has replaces what is there.
///
/// # Errors
///
/// The entry cannot be locked, replaced or written.
pub(super) fn save(data: &Path, entry: &Path) -> Result<(), ConfigError> {
    // Runs of the same host in different directories may end in the same moment.
    let _lock = match entry.parent() {
        Some(parent) => Some(lock(parent).map_err(ConfigError::io(format!("locking {}", parent.display())))?),
        None => None,
    };
    let moving = || format!("moving {} to {}", data.display(), entry.display());
    if entry.symlink_metadata().is_err() {
        return move_tree(data, entry).map_err(ConfigError::io(moving()));
    }
    for part in fs::read_dir(data).map_err(ConfigError::io(moving()))? {
        let part = part.map_err(ConfigError::io(moving()))?;
        let target = entry.join(part.file_name());
        remove(&target).map_err(|source| ConfigError::Cache { path: target.clone(), source })?;
        move_tree(&part.path(), &target).map_err(ConfigError::io(moving()))?;
    }
    fs::remove_dir_all(data).map_err(ConfigError::io(moving()))
}

/// Waits until no other run moves files in the directory `dir`, which is made if there is none.
fn lock(dir: &Path) -> io::Result<Flock<File>> {
    fs::create_dir_all(dir)?;
    Flock::lock(File::open(dir)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

/// Renames, or copies and removes if the target is on another file system.
fn move_tree(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            copy_tree(from, to)?;
            remove(from)
        }
        result => result,
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    if meta.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !meta.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    fs::set_permissions(to, meta.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The place of a host below the cache root, from the user's pattern.
///
/// `%N` is the host, `%h` its directory name, `%P` the process; `time` replaces every other `%` sequence, as
/// strftime(3) does. An empty pattern is `%h`. The result stays below the cache root.
pub fn entry_name(
    pattern: &str,
    host: &str,
    host_dir: &str,
    pid: u32,
    time: impl Fn(&str) -> String,
) -> PathBuf {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        name.push_str(before);
        let mut chars = from.chars();
        chars.next();
        match chars.next() {
            Some('N') => name.push_str(&host.replace('/', "_")),
            Some('h') => name.push_str(host_dir),
            Some('P') => name.push_str(&pid.to_string()),
            Some('%') => name.push('%'),
            Some(other) => name.push_str(&time(&format!("%{other}"))),
            None => name.push('%'),
        }
        rest = chars.as_str();
    }
    name.push_str(rest);
    let path: PathBuf =
        Path::new(&name).components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
    if path.as_os_str().is_empty() { host_dir.into() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let name = |pattern| entry_name(pattern, "web1", "abc", 7, |d| format!("<{d}>"));
        assert_eq!(name(""), Path::new("abc"));
        assert_eq!(name("///"), Path::new("abc"));
        assert_eq!(name("/%N%h/%Y-%%-%P"), Path::new("web1abc/<%Y>-%-7"));
        assert_eq!(name("../../x"), Path::new("x"));
        assert_eq!(name("%"), Path::new("%"));
    }

    #[test]
    fn what_a_run_has_replaces_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (data, entry) = (dir.path().join("data"), dir.path().join("cache/entry"));
        for (content, other) in [("1", "kept"), ("2", "new")] {
            fs::create_dir_all(data.join("object")).unwrap();
            fs::write(data.join("object").join(content), content).unwrap();
            fs::write(data.join(other), "").unwrap();
            save(&data, &entry).unwrap();
            assert!(!data.exists());
        }
        assert!(!entry.join("object/1").exists());
        assert!(entry.join("object/2").exists() && entry.join("kept").exists() && entry.join("new").exists());
    }
}
