//! What a type call records about its object: order, sources, requirements, parent.
//!
//! All files are lists with a name per line, except the list of type calls, whose entries end
//! in NUL because an object id may hold a newline. The lock of the run is held while they change.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use super::{object::ObjectName, types::lines_of};

/// An error with the file that it is about.
type FileError = (PathBuf, io::Error);

/// File of an object: the objects whose manifests have declared it.
pub(in crate::config) const PARENTS: &str = "parents";
/// The list of type calls by the names of their objects, entries end in NUL. Goes when the run ends.
pub(in crate::config) const CALLS: &str = "calls";
/// A manifest's own list of objects in an order context. Goes when the manifest ends.
pub(in crate::config) const ORDER_CONTEXT: &str = "typeorder_dep";

/// Waits for the lock of the run; it is released on drop.
///
/// # Errors
///
/// The file cannot be opened or locked.
pub(in crate::config) fn lock(path: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Adds the object of a type call to the list of calls.
pub(in crate::config) fn append_call(global: &Path, name: &ObjectName) -> Result<(), FileError> {
    append(&global.join(CALLS), &[name.full().as_bytes(), b"\0"].concat())
}

/// The object of a type call, and where it was called.
#[derive(Debug)]
pub(in crate::config) struct Relations<'a> {
    /// The run's directory.
    pub(in crate::config) global: &'a Path,
    /// Name of object leaf directories.
    pub(in crate::config) marker: &'a OsStr,
    /// The object.
    pub(in crate::config) name: &'a ObjectName,
    /// Its directory, which exists.
    pub(in crate::config) dir: &'a Path,
    /// The object whose manifest made the call.
    pub(in crate::config) parent: Option<&'a ObjectName>,
}

impl Relations<'_> {
    /// The type orders and the source.
    pub(in crate::config) fn record_definition(&self, manifest: &OsStr) -> Result<(), FileError> {
        append_line(&self.global.join("typeorder"), &self.name.full())?;
        if let Some(dir) = self.parent_dir() {
            append_line(&dir.join("typeorder"), &self.name.full())?;
        }
        append_line(&self.dir.join("source"), manifest)
    }

    /// Enters or leaves the order context of the manifest. Returns the object before this one in it.
    ///
    /// Every manifest has a list of its own, so contexts of manifests that run at the same time stay apart.
    pub(in crate::config) fn order_context(&self, ordered: bool) -> Result<Option<OsString>, FileError> {
        let list = self.parent_dir().unwrap_or_else(|| self.global.to_owned()).join(ORDER_CONTEXT);
        if !ordered {
            return match fs::remove_file(&list) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err((list, e)),
                _ => Ok(None),
            };
        }
        let previous = lines_of(&list).pop();
        append_line(&list, &self.name.full())?;
        Ok(previous)
    }

    /// Adds requirements.
    pub(in crate::config) fn require(&self, names: &[ObjectName]) -> Result<(), FileError> {
        let path = self.dir.join("require");
        names.iter().try_for_each(|name| append_line(&path, &name.full()))
    }

    /// Adds a requirement if it is not there.
    pub(in crate::config) fn require_unless_there(&self, name: &OsStr) -> Result<(), FileError> {
        append_unless_there(&self.dir.join("require"), name)
    }

    /// Records parent and child, and that the parent waits for the child unless the child waits for it.
    pub(in crate::config) fn record_parent(&self) -> Result<(), FileError> {
        let (Some(parent), Some(parent_dir)) = (self.parent, self.parent_dir()) else { return Ok(()) };
        let parent_name = parent.full();
        if !lines_of(&self.dir.join("require")).contains(&parent_name) {
            append_line(&parent_dir.join("autorequire"), &self.name.full())?;
        }
        append_unless_there(&parent_dir.join("children"), &self.name.full())?;
        append_unless_there(&self.dir.join(PARENTS), &parent_name)
    }

    /// A variable that has leaked from another run names a parent that is not in this one.
    fn parent_dir(&self) -> Option<PathBuf> {
        self.parent.map(|p| self.global.join(p.dir(self.marker))).filter(|d| d.is_dir())
    }
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| (path.to_owned(), e))
}

fn append_line(path: &Path, line: &OsStr) -> Result<(), FileError> {
    append(path, &[line.as_bytes(), b"\n"].concat())
}

fn append_unless_there(path: &Path, line: &OsStr) -> Result<(), FileError> {
    if lines_of(path).iter().any(|l| l == line) { Ok(()) } else { append_line(path, line) }
}
