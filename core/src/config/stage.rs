//! The directories of one run: the local tree that scripts see as `$__global`, and the remote one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use super::declare::{
    object::ObjectName,
    types::{Type, visible_entries},
};
use crate::host::FileError;

/// Where the files of one run are, here and on the target.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// `$__global`.
    pub(super) out: PathBuf,
    /// The work directory on the target.
    pub(super) remote: PathBuf,
    /// Name of all object leaf directories of the run.
    pub(super) marker: OsString,
}

impl Stage {
    /// Makes the local tree. What a failed run left at `out` goes first.
    pub(super) fn create(out: PathBuf, remote: PathBuf) -> Result<Self, FileError> {
        if out.symlink_metadata().is_ok() {
            fs::remove_dir_all(&out).map_err(FileError::new(format!("clearing {}", out.display())))?;
        }
        let stage = Self { out, remote, marker: new_marker()? };
        for dir in ["conf", "explorer", "object", "bin", "stdout", "stderr"] {
            let path = stage.out.join(dir);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(FileError::new(format!("making {}", path.display())))?;
        }
        let mut marker = stage.marker.clone();
        marker.push("\n");
        for (name, content) in [("messages", OsStr::new("")), ("object_marker", &marker)] {
            let path = stage.out.join(name);
            fs::write(&path, content.as_encoded_bytes())
                .map_err(FileError::new(format!("writing {}", path.display())))?;
        }
        Ok(stage)
    }

    /// Links `bin/<type>` to the program for each type.
    pub(super) fn link_emulator(&self, program: &Path) -> Result<(), FileError> {
        let dir = self.conf("type");
        let names = visible_entries(&dir).map_err(FileError::new(format!("reading {}", dir.display())))?;
        for name in names.iter().filter(|name| Type::find(&dir, name).is_some()) {
            let link = self.out.join("bin").join(name);
            symlink(program, &link).map_err(FileError::new(format!(
                "Linking emulator from {} to {} failed",
                program.display(),
                link.display()
            )))?;
        }
        Ok(())
    }

    /// A directory of the merged configuration: `explorer`, `files`, `manifest`, `type`.
    pub(super) fn conf(&self, sub: &str) -> PathBuf {
        self.out.join("conf").join(sub)
    }

    /// The files of an object.
    pub(super) fn object_dir(&self, object: &ObjectName) -> PathBuf {
        self.out.join(object.dir(&self.marker))
    }

    /// The files of an object on the target.
    pub(super) fn remote_object_dir(&self, object: &ObjectName) -> PathBuf {
        self.remote.join(object.dir(&self.marker))
    }

    /// Where global explorers are on the target.
    pub(super) fn remote_explorers(&self) -> PathBuf {
        self.remote.join("conf/explorer")
    }

    /// Where the explorers of a type are on the target.
    pub(super) fn remote_type_explorers(&self, type_name: &OsStr) -> PathBuf {
        self.remote.join("conf/type").join(type_name).join("explorer")
    }

    /// The type of an object.
    pub(super) fn type_of(&self, object: &ObjectName) -> Type {
        let name = object.type_name().to_owned();
        Type { dir: self.conf("type").join(&name), name }
    }
}

/// Opens a file to add to its end, with its directory.
pub(super) fn open_append(path: &Path) -> Result<File, FileError> {
    let open = || -> io::Result<File> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        OpenOptions::new().create(true).append(true).open(path)
    };
    open().map_err(FileError::new(format!("opening {}", path.display())))
}

/// Adds a newline to a file that holds something and does not end in one. Returns its length.
pub(super) fn end_with_newline(mut file: File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(length);
    }
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"\n")?;
    Ok(length + 1)
}

/// `.cdist-` and eight characters that no other run has, so that no object id collides with it by chance.
fn new_marker() -> Result<OsString, FileError> {
    Ok(format!(".cdist-{}", random_letters()?).into())
}

/// Eight characters of the system's random numbers: other users of a target cannot make a file of this name before.
pub(super) fn random_letters() -> Result<String, FileError> {
    const ALPHABET: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";
    let mut value = random()?;
    let mut letters = String::new();
    for _ in 0..8 {
        let at = usize::try_from(value % 37).unwrap_or(0);
        letters.push(char::from(ALPHABET.get(at).copied().unwrap_or(b'a')));
        value /= 37;
    }
    Ok(letters)
}

/// A random number of the system.
pub(super) fn random() -> Result<u64, FileError> {
    getrandom::u64().map_err(io::Error::from).map_err(FileError::new("asking the system for a random number"))
}
