//! Whether a file would be used as a plugin: all checks that run none of its code, in their order.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    path::{Path, PathBuf},
};

use super::{
    elf::{self, ElfError},
    search,
    sums::{SumError, Sums},
    text::{self, PluginText, PreosText, TextError},
};
use crate::{
    host::parent_of,
    trust::{Trust, TrustError},
};

/// Why a file is not used. The messages complete the line "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum FileCheckError {
    /// The search passes over it.
    #[error("its name ends in neither .so nor .py")]
    Name,
    /// Others can change it, or it is no regular file.
    #[error(transparent)]
    File(#[from] TrustError),
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

/// What a file is, before anything of it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A shared library that says this about itself.
    Library(PluginText),
    /// A Python file: what it holds is known when it is executed.
    Python,
}

impl Content {
    /// The names of the PreOSes, as far as they are known.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Library(text) => text.preoses.iter().map(PreosText::name).collect(),
            Self::Python => Vec::new(),
        }
    }
}

/// Checks files; reads the record of a directory once.
#[derive(Debug, Default)]
pub struct Checker {
    trust: Trust,
    sums: HashMap<PathBuf, Option<Sums>>,
}

impl Checker {
    /// Opens a file that only root and the effective user can change.
    ///
    /// # Errors
    ///
    /// Those of [`Trust::open`], or the name is not a plugin's.
    pub fn open(&mut self, path: &Path) -> Result<(File, Metadata), FileCheckError> {
        let opened = self.trust.open(path)?;
        if search::is_plugin(path) { Ok(opened) } else { Err(FileCheckError::Name) }
    }

    /// What the opened file `path` is.
    ///
    /// # Errors
    ///
    /// It is not what the record of its directory says; or it is no Python file, and no library with a PreOS, or one that
    /// this program cannot load.
    pub fn content(&mut self, path: &Path, file: &File) -> Result<Content, FileCheckError> {
        let directory = parent_of(path);
        let sums = match self.sums.get(directory) {
            Some(sums) => sums,
            None => {
                let read = Sums::of_directory(directory, &mut self.trust)?;
                self.sums.entry(directory.to_owned()).or_insert(read)
            }
        };
        if let Some(sums) = sums {
            sums.verify(path, file)?;
        }
        if search::is_python(path) {
            return Ok(Content::Python);
        }
        Ok(Content::Library(text::parse(&elf::read_text(file)?)?))
    }

    /// Both, for one file.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and [`content`](Self::content).
    pub fn check(&mut self, path: &Path) -> Result<Content, FileCheckError> {
        let (file, _) = self.open(path)?;
        self.content(path, &file)
    }
}
