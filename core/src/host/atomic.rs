//! Files that are complete or absent.
//!
//! The content goes to a temporary file beside the final one, is synced and renamed. A reader sees the old file or
//! the new one, and after a crash one of them is there.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::fcntl::Flock;

use super::{
    claim::{Claim, claim, claim_left_behind},
    parent_of,
};

/// A file that appears under its name only when it is complete.
///
/// Dropping it without [`commit`](Self::commit) removes what was written.
#[derive(Debug)]
#[must_use = "the file appears only by commit()"]
pub struct AtomicFile {
    file: File,
    target: PathBuf,
    temporary: Temporary,
}

impl AtomicFile {
    /// Begins the file `target`, which will have the permission bits `mode` whatever the umask is.
    ///
    /// # Errors
    ///
    /// The directory is missing or cannot be written to.
    pub fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let (file, path) = create_beside(target, |path| {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        })?;
        let temporary = Temporary { path, directory: false };
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(Self { file, target: target.to_owned(), temporary })
    }

    /// Makes the file appear, in place of an older one.
    ///
    /// # Errors
    ///
    /// Its content could not be written to the disk, or the rename fails; the older file is still there then.
    pub fn commit(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary.path, &self.target)?;
        self.temporary.keep();
        sync_parent(&self.target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a whole file; see [`AtomicFile`].
///
/// # Errors
///
/// Those of [`AtomicFile::create`] and [`AtomicFile::commit`], or the disk is full.
pub fn write_atomic(target: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(target, mode)?;
    file.write_all(content)?;
    file.commit()
}

/// A directory to fill beside its final place. Dropping it removes it with all that is in it.
///
/// It is locked while this process lives. So one that a killed process left is told from one in use, and removed when
/// the next is made for the same place.
#[derive(Debug)]
#[must_use = "dropping it removes the directory"]
pub struct TemporaryDir {
    temporary: Temporary,
    _lock: Flock<File>,
}

impl TemporaryDir {
    /// Makes an empty directory with a name of its own beside `target`, with mode 0700.
    ///
    /// # Errors
    ///
    /// The parent directory is missing or cannot be written to.
    pub fn beside(target: &Path) -> io::Result<Self> {
        remove_left_behind(target);
        loop {
            let ((), path) = create_beside(target, |path| fs::DirBuilder::new().mode(0o700).create(path))?;
            // Until it is locked, another process may take it for a left-behind; then that one removes it.
            if let Claim::Held(lock) = claim(&path)? {
                return Ok(Self { temporary: Temporary { path, directory: true }, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Leaves the directory where it is, as after a rename.
    pub fn keep(self) {
        self.temporary.keep();
    }

    /// Removes the directory and tells what went wrong, which dropping cannot.
    ///
    /// # Errors
    ///
    /// Something in it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(self.path())?;
        self.keep();
        Ok(())
    }
}

/// Makes the directory `target` of text files, each named relative to it; an empty directory may be there. It is whole or
/// not there at all. What begins like a script can be executed.
///
/// # Errors
///
/// The parent directory is missing or cannot be written to, the target is something else, or the disk is full.
pub fn write_tree<'a>(target: &Path, files: impl IntoIterator<Item = (&'a str, String)>) -> io::Result<()> {
    let draft = TemporaryDir::beside(target)?;
    for (name, text) in files {
        let path = draft.path().join(name);
        fs::create_dir_all(parent_of(&path))?;
        fs::write(&path, &text)?;
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    fs::set_permissions(draft.path(), fs::Permissions::from_mode(0o755))?;
    fs::rename(draft.path(), target)?;
    draft.keep();
    Ok(())
}

/// Writes the directory that holds `path` to the disk: only then a rename survives a crash.
///
/// # Errors
///
/// It cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent_of(path))?.sync_all()
}

#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    directory: bool,
}

impl Temporary {
    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // It is ours alone, made by create_beside, so nothing is mounted in it; links are not followed.
        let removed =
            if self.directory { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
        if let Err(error) = removed {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Names that are in use are passed over: another process with the same number may be at work, as process
/// numbers repeat in containers, or one may have been killed.
fn create_beside<T>(target: &Path, create: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("'{}' does not end in a name", target.display()))
    })?;
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = parent_of(target).join(temporary_name(name, std::process::id(), number));
        match create(&path) {
            Ok(made) => return Ok((made, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes directories for the same place whose process was killed. One that stays is no reason to fail.
fn remove_left_behind(target: &Path) {
    let Some(name) = target.file_name() else { return };
    let prefix = temporary_prefix(name);
    for entry in fs::read_dir(parent_of(target)).into_iter().flatten().filter_map(Result::ok) {
        let numbers = entry.file_name().as_bytes().strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec);
        let ours = numbers.is_some_and(|rest| rest.iter().all(|b| b.is_ascii_digit() || *b == b'-'));
        if !ours {
            continue;
        }
        // Locked until it is gone, so that its name is not given to another one meanwhile.
        if let Some(_lock) = claim_left_behind(&entry.path()) {
            tracing::info!("removing {}, which a killed run left", entry.path().display());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Hidden, and within the 255 bytes of a name.
fn temporary_name(name: &OsStr, process: u32, number: u64) -> OsString {
    let mut out = temporary_prefix(name);
    out.push(format!("{process}-{number}"));
    out
}

fn temporary_prefix(name: &OsStr) -> OsString {
    let mut out = OsString::from(".");
    out.push(OsStr::from_bytes(name.as_bytes().get(..200).unwrap_or(name.as_bytes())));
    out.push(".cdist-");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn names(dir: &Path) -> Vec<OsString> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect()
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("pxe");
        let in_use = TemporaryDir::beside(&target).unwrap();
        for name in [".pxe.cdist-2-0", ".pxe.cdist-mine", ".other.cdist-2-0"] {
            fs::create_dir_all(dir.path().join(name).join("x")).unwrap();
        }
        let second = TemporaryDir::beside(&target).unwrap();
        assert!(in_use.path().is_dir() && second.path().is_dir());
        assert!(!dir.path().join(".pxe.cdist-2-0").exists() || second.path().ends_with(".pxe.cdist-2-0"));
        assert!(dir.path().join(".pxe.cdist-mine").is_dir() && dir.path().join(".other.cdist-2-0").is_dir());
    }

    /// Locks belong to open files, so threads stand for processes.
    #[test]
    fn many_at_once_keep_what_they_have_made() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("pxe");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let made = TemporaryDir::beside(&target).unwrap();
                        fs::write(made.path().join("file"), "x").unwrap();
                        made.remove().unwrap();
                    }
                });
            }
        });
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn replaces_a_file_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (content, mode) in [("one", 0o666), ("two", 0o600)] {
            write_atomic(&path, mode, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn an_abandoned_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(255));
        fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, 0o644).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()).len(), 1);
    }

    #[test]
    fn a_target_that_is_a_directory_is_an_error_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        write_atomic(&dir.path().join("d"), 0o644, b"x").unwrap_err();
        assert_eq!(names(dir.path()), ["d"]);
        AtomicFile::create(Path::new("/"), 0o644).unwrap_err();
        AtomicFile::create(&dir.path().join("missing/file"), 0o644).unwrap_err();
    }

    #[test]
    fn a_temporary_directory_goes_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = TemporaryDir::beside(&dir.path().join("pxe")).unwrap();
        fs::create_dir(temporary.path().join("sub")).unwrap();
        fs::write(temporary.path().join("sub/file"), "x").unwrap();
        drop(temporary);
        assert!(names(dir.path()).is_empty());
        TemporaryDir::beside(&dir.path().join("pxe")).unwrap().keep();
        assert_eq!(names(dir.path()).len(), 1);
    }
}
