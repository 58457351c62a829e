//! All PreOSes by name.

use std::{
    collections::{BTreeMap, HashSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    check::{Checker, Content, FileCheckError},
    python::{self, Listing},
    search::{self, SearchPath},
    text::PreosText,
};

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A shared library, built with this version of the API, major and minor.
    Native((u32, u32)),
    /// A Python file.
    Python,
}

/// A PreOS that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The name for the command line.
    pub name: String,
    /// The name of the implementing type.
    pub type_name: String,
    /// One line that says what it makes, as the plugin has it: escape it before showing.
    pub summary: String,
    /// What it is written in.
    pub language: Language,
    /// The compiler that built the plugin, or the interpreter of its language.
    pub built_with: String,
    /// The library or Python file.
    pub file: PathBuf,
}

/// A file that was not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file or directory.
    pub file: PathBuf,
    /// One clause that says why, and what to do.
    pub reason: String,
}

/// A PreOS that another file took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The name.
    pub name: String,
    /// The file that counts.
    pub by: PathBuf,
    /// The file that does not.
    pub was: PathBuf,
}

/// What the plugin directories hold. Made without running code of any library.
#[derive(Debug, Default)]
pub struct Registry {
    preoses: BTreeMap<String, Registered>,
    /// Files that were not registered, in the order of the search.
    pub skipped: Vec<Skipped>,
    /// PreOSes that a later directory replaced.
    pub replaced: Vec<Replaced>,
    /// Why no Python file at all could be listed.
    pub no_python: Option<String>,
}

impl Registry {
    /// Searches all directories of `path`, for all PreOSes or for the one that is `wanted`.
    ///
    /// `list_python` executes the Python files that it is given, absolute, and says what they hold. It is called at
    /// most once, and for a wanted PreOS only with the files that come after the last library that has it: the earlier
    /// ones cannot replace it.
    pub fn scan(
        path: &SearchPath,
        wanted: Option<&str>,
        list_python: impl FnOnce(&[PathBuf]) -> Result<Listing, String>,
    ) -> Self {
        let found = find(path);
        let has_wanted = |content: &Result<Content, String>| match content {
            Ok(Content::Library(text)) => text.preoses.iter().any(|preos| Some(&*preos.name()) == wanted),
            _ => false,
        };
        let first = found.iter().rposition(|(_, content)| has_wanted(content)).map_or(0, |at| at + 1);
        let files: Vec<&PathBuf> = found[first..]
            .iter()
            .filter(|(_, content)| matches!(content, Ok(Content::Python)))
            .map(|(file, _)| file)
            .collect();

        let mut registry = Self::default();
        let mut listing = Listing::default();
        if files.iter().any(|file| !python::is_helper(file)) {
            let absolute: Vec<PathBuf> = files
                .iter()
                .map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf()))
                .collect();
            listing = list_python(&absolute).unwrap_or_else(|reason| {
                registry.no_python = Some(reason);
                Listing::default()
            });
        }
        let mut listed = listing.files.into_iter();
        for (at, (file, content)) in found.into_iter().enumerate() {
            let (preoses, language, built_with) = match content {
                Ok(Content::Library(text)) => (Ok(text.preoses), Language::Native(text.api), text.built_with),
                Ok(Content::Python) if at < first => continue,
                Ok(Content::Python) => {
                    let preoses = listed.next().unwrap_or(Ok(Vec::new()));
                    (preoses, Language::Python, listing.version.clone())
                }
                Err(reason) => (Err(reason), Language::Python, String::new()),
            };
            match preoses {
                Ok(preoses) => registry.add(&file, &preoses, language, &built_with),
                Err(reason) => registry.skipped.push(Skipped { file, reason }),
            }
        }
        registry
    }

    fn add(&mut self, file: &Path, preoses: &[PreosText], language: Language, built_with: &str) {
        for preos in preoses {
            let registered = Registered {
                name: preos.name(),
                type_name: preos.type_name.clone(),
                summary: preos.summary.clone(),
                language,
                built_with: built_with.to_owned(),
                file: file.to_owned(),
            };
            if let Some(was) = self.preoses.insert(registered.name.clone(), registered) {
                self.replaced.push(Replaced { name: was.name, by: file.to_owned(), was: was.file });
            }
        }
    }

    /// All PreOSes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.preoses.values()
    }

    /// The names of all PreOSes that a file brings, also of those that another file replaced.
    pub fn names_of(&self, file: &Path) -> Vec<String> {
        let used = self.iter().filter(|preos| preos.file == file).map(|preos| &preos.name);
        let replaced =
            self.replaced.iter().filter(|replaced| replaced.was == file).map(|replaced| &replaced.name);
        used.chain(replaced).cloned().collect()
    }

    /// The PreOS of a name.
    pub fn get(&self, name: &str) -> Option<&Registered> {
        self.preoses.get(name)
    }

    /// The name most like `wrong`, if one is near.
    pub fn near_match(&self, wrong: &str) -> Option<&str> {
        crate::near_match(self.preoses.keys().map(String::as_str), wrong)
    }
}

/// All files, in the order of the search, each but once. A directory that cannot be read is among them.
fn find(path: &SearchPath) -> Vec<(PathBuf, Result<Content, String>)> {
    let (mut found, mut checker, mut seen) = (Vec::new(), Checker::default(), HashSet::new());
    for directory in path.directories() {
        let files = match search::plugins(&directory) {
            Ok(files) => files,
            Err(error) => {
                found.push((directory, Err(format!("the directory cannot be read: {error}"))));
                continue;
            }
        };
        for file in files {
            match read(&file, &mut checker, &mut seen) {
                Ok(None) => {}
                Ok(Some(content)) => found.push((file, Ok(content))),
                Err(error) => found.push((file, Err(error.to_string()))),
            }
        }
    }
    found
}

/// What a file is; nothing if it was seen under another name.
fn read(
    file: &Path,
    checker: &mut Checker,
    seen: &mut HashSet<(u64, u64)>,
) -> Result<Option<Content>, FileCheckError> {
    let (opened, metadata) = checker.open(file)?;
    if !seen.insert((metadata.dev(), metadata.ino())) {
        return Ok(None);
    }
    checker.content(file, &opened).map(Some)
}
