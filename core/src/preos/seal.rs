//! Taking out of a root what must not be the same on every machine that boots it, or what only the machine that
//! built it knows. Runs after the bootstrap and after the configuration, so that both in one call or in two give
//! the same tree.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Directories that are emptied.
const EMPTIED: [&str; 6] = ["var/lib/apt/lists", "var/cache/apt", "tmp", "var/tmp", "run", "root/.cache"];
/// Files that are removed. Backups of the password files would keep an old root password.
const REMOVED: [&str; 9] = [
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
    "etc/.pwd.lock",
    "root/.bash_history",
    "var/cache/ldconfig/aux-cache",
];

/// A file could not be taken out.
#[derive(Debug, thiserror::Error)]
#[error("removing {}", .path.display())]
pub struct SealError {
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// Seals `root`.
///
/// # Errors
///
/// The first file that cannot be removed.
pub fn run(root: &Path) -> Result<(), SealError> {
    for name in EMPTIED {
        empty(&root.join(name))?;
    }
    for name in REMOVED {
        remove(&root.join(name))?;
    }
    // Each machine makes its own at first boot: the same key on all of them would prove nothing.
    for path in matching(&root.join("etc/ssh"), |name| name.starts_with("ssh_host_")) {
        remove(&path)?;
    }
    truncate_logs(&root.join("var/log"))?;
    // Empty, not absent: systemd then makes a new one without treating the boot as a first one (machine-id(5)).
    let machine_id = root.join("etc/machine-id");
    if root.join("etc").is_dir() {
        fs::write(&machine_id, "").map_err(|source| SealError { path: machine_id.clone(), source })?;
        fs::set_permissions(&machine_id, fs::Permissions::from_mode(0o444))
            .map_err(|source| SealError { path: machine_id, source })?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), SealError> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(SealError { path: path.to_owned(), source: error }),
        _ => Ok(()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Removes what is in a directory, not the directory. A link is not followed.
fn empty(directory: &Path) -> Result<(), SealError> {
    if !fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    for path in matching(directory, |_| true) {
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed
            .or_else(|source| if is_absent(&source) { Ok(()) } else { Err(SealError { path, source }) })?;
    }
    Ok(())
}

/// Packages expect their log files, but what they said while they were installed has no use.
fn truncate_logs(directory: &Path) -> Result<(), SealError> {
    for path in matching(directory, |_| true) {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => truncate_logs(&path)?,
            Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {
                fs::File::create(&path).map_err(|source| SealError { path, source })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn matching(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| wanted(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}
