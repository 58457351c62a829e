//! Whether a file would be loaded: all checks that run none of its code, in their order.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    path::{Path, PathBuf},
};

use super::{
    elf::{self, ElfError},
    file::{FileError, Opener, parent_of},
    search,
    sums::{SumError, Sums},
    text::{self, PluginText, TextError},
};

/// Why a file is not loaded. The messages complete the line "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The search passes over it.
    #[error("its name does not end in .so")]
    Name,
    /// Others can change it, or it is no regular file.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what was recorded.
    #[error(transparent)]
    Sum(#[from] SumError),
    /// It is no shared library with a PreOS.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// What it says about itself is refused.
    #[error(transparent)]
    Text(#[from] TextError),
}

/// Checks files; reads the record of a directory once.
#[derive(Debug, Default)]
pub struct Checker {
    opener: Opener,
    sums: HashMap<PathBuf, Option<Sums>>,
}

impl Checker {
    /// Opens a file that only root and the effective user can change.
    ///
    /// # Errors
    ///
    /// Those of [`Opener::open`], or the name is not a library's.
    pub fn open(&mut self, path: &Path) -> Result<(File, Metadata), CheckError> {
        let opened = self.opener.open(path)?;
        if search::is_library_name(path) { Ok(opened) } else { Err(CheckError::Name) }
    }

    /// What the opened file `path` says about itself.
    ///
    /// # Errors
    ///
    /// It is not what the record of its directory says, no library with a PreOS, or one that this program cannot load.
    pub fn text(&mut self, path: &Path, file: &File) -> Result<PluginText, CheckError> {
        let directory = parent_of(path);
        let sums = match self.sums.get(directory) {
            Some(sums) => sums,
            None => {
                let read = Sums::of_directory(directory, &mut self.opener)?;
                self.sums.entry(directory.to_owned()).or_insert(read)
            }
        };
        if let Some(sums) = sums {
            sums.verify(path, file)?;
        }
        Ok(text::parse(&elf::read_text(file)?)?)
    }

    /// Both, for one file.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and [`text`](Self::text).
    pub fn check(&mut self, path: &Path) -> Result<PluginText, CheckError> {
        let (file, _) = self.open(path)?;
        self.text(path, &file)
    }
}
