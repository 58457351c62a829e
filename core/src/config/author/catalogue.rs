//! What configuration directories hold: global explorers and types, also those that a later directory replaces.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::config::{
    declare::{
        conf_dirs::without_repetitions,
        types::{Type, visible_entries},
    },
    error::ConfigError,
};

/// The global explorers and types of some configuration directories.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The scripts, sorted by path.
    pub explorers: Vec<PathBuf>,
    /// The types, sorted by path.
    pub types: Vec<Type>,
}

impl Catalogue {
    /// Reads the directories. Those that are not there hold nothing, and so do entries of `type` that are no
    /// directories.
    ///
    /// # Errors
    ///
    /// A directory that is there and cannot be read.
    pub fn scan(conf_dirs: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        for dir in without_repetitions(conf_dirs) {
            all.explorers.extend(entries(&dir.join("explorer"))?);
            for path in entries(&dir.join("type"))? {
                let name = path.file_name().unwrap_or_default();
                all.types.extend(Type::find(&dir.join("type"), name));
            }
        }
        all.explorers.sort();
        all.types.sort_by(|a, b| a.dir.cmp(&b.dir));
        Ok(all)
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    match visible_entries(dir) {
        Ok(names) => Ok(names.into_iter().map(|name| dir.join(name)).collect()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(ConfigError::io(format!("reading {}", dir.display()))(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lists_replaced_ones_too_and_skips_what_is_no_type() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["b", "a", "none"].map(|name| dir.path().join(name));
        for conf in dirs.iter().take(2) {
            fs::create_dir_all(conf.join("type/__t")).unwrap();
            fs::create_dir_all(conf.join("explorer")).unwrap();
            fs::write(conf.join("type/README"), "").unwrap();
            fs::write(conf.join("explorer/os"), "").unwrap();
            fs::write(conf.join("explorer/.hidden"), "").unwrap();
        }
        let all = Catalogue::scan(&dirs).unwrap();
        assert_eq!(all.explorers, ["a/explorer/os", "b/explorer/os"].map(|p| dir.path().join(p)));
        let types: Vec<PathBuf> = all.types.into_iter().map(|t| t.dir).collect();
        assert_eq!(types, ["a/type/__t", "b/type/__t"].map(|p| dir.path().join(p)));
    }
}
