//! All PreOSes by name.

use std::{
    collections::{BTreeMap, HashSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    check::Checker,
    search::{self, SearchPath},
};

/// A PreOS that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The name for the command line.
    pub name: String,
    /// The name of the implementing type.
    pub type_name: String,
    /// One line that says what it makes, as the plugin has it: escape it before showing.
    pub summary: String,
    /// The API version the plugin was built with, major and minor.
    pub api: (u32, u32),
    /// The compiler that built the plugin.
    pub built_with: String,
    /// The library.
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

/// What the plugin directories hold. Made without running code of any plugin.
#[derive(Debug, Default)]
pub struct Registry {
    preoses: BTreeMap<String, Registered>,
    /// Files that were not registered, in the order of the search.
    pub skipped: Vec<Skipped>,
    /// PreOSes that a later directory replaced.
    pub replaced: Vec<Replaced>,
}

impl Registry {
    /// Searches all directories of `path`.
    pub fn scan(path: &SearchPath) -> Self {
        let mut registry = Self::default();
        let mut checker = Checker::default();
        let mut seen = HashSet::new();
        for directory in path.directories() {
            let files = search::libraries(&directory).unwrap_or_else(|error| {
                registry.skip(&directory, format!("the directory cannot be read: {error}"));
                Vec::new()
            });
            for file in files {
                if let Err(reason) = registry.add(&file, &mut checker, &mut seen) {
                    registry.skip(&file, reason);
                }
            }
        }
        registry
    }

    fn skip(&mut self, file: &Path, reason: String) {
        self.skipped.push(Skipped { file: file.to_owned(), reason });
    }

    fn add(
        &mut self,
        file: &Path,
        checker: &mut Checker,
        seen: &mut HashSet<(u64, u64)>,
    ) -> Result<(), String> {
        let (opened, metadata) = checker.open(file).map_err(|error| error.to_string())?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let text = checker.text(file, &opened).map_err(|error| error.to_string())?;
        for preos in &text.preoses {
            let registered = Registered {
                name: preos.name(),
                type_name: preos.type_name.clone(),
                summary: preos.summary.clone(),
                api: text.api,
                built_with: text.built_with.clone(),
                file: file.to_owned(),
            };
            if let Some(was) = self.preoses.insert(registered.name.clone(), registered) {
                self.replaced.push(Replaced { name: was.name, by: file.to_owned(), was: was.file });
            }
        }
        Ok(())
    }

    /// All PreOSes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Registered> {
        self.preoses.values()
    }

    /// The PreOS of a name.
    pub fn get(&self, name: &str) -> Option<&Registered> {
        self.preoses.get(name)
    }

    /// The name most like `wrong`, if one is near.
    pub fn near_match(&self, wrong: &str) -> Option<&str> {
        let distance = |name: &str| strsim::damerau_levenshtein(name, &wrong.to_lowercase());
        let (name, distance) =
            self.preoses.keys().map(|name| (name, distance(name))).min_by_key(|&(_, d)| d)?;
        (distance <= 1 + name.len() / 4).then_some(name)
    }
}
