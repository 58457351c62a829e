//! Where plugins are looked for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The places that name plugin directories. A later directory wins over an earlier one, as in the original.
#[derive(Debug, Default, Clone)]
pub struct SearchPath {
    /// The distribution's own directory, `lib/cdist/preos` beside the program.
    pub distribution: Option<PathBuf>,
    /// The user's home directory; `~/.cdist/preos` is searched.
    pub home: Option<PathBuf>,
    /// Further conf directories; `preos/` in each is searched.
    pub conf_dirs: Vec<PathBuf>,
    /// Directories named by `CDIST_PREOS_PATH`.
    pub environment: Vec<PathBuf>,
    /// Directories named by `--plugin-dir`.
    pub plugin_dirs: Vec<PathBuf>,
}

impl SearchPath {
    /// The directories, in order.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self.distribution.iter().cloned().collect();
        directories.extend(self.home.iter().map(|home| home.join(".cdist/preos")));
        directories.extend(self.conf_dirs.iter().map(|dir| dir.join("preos")));
        directories.extend(self.environment.iter().cloned());
        directories.extend(self.plugin_dirs.iter().cloned());
        directories
    }
}

/// The shared libraries in a directory, sorted by name. A missing directory has none.
///
/// # Errors
///
/// The directory exists and cannot be read.
pub fn libraries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_library_name(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of this name is looked at.
pub fn is_library_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_directories() {
        let path = SearchPath {
            distribution: Some("/usr/lib/cdist/preos".into()),
            home: Some("/root".into()),
            conf_dirs: vec!["/etc/cdist".into()],
            environment: vec!["/env".into()],
            plugin_dirs: vec!["/opt".into()],
        };
        let expected = ["/usr/lib/cdist/preos", "/root/.cdist/preos", "/etc/cdist/preos", "/env", "/opt"];
        assert_eq!(path.directories(), expected.map(PathBuf::from));
    }

    #[test]
    fn libraries_are_sorted_and_a_missing_directory_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.so", "a.so", "README", "c.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(libraries(dir.path()).unwrap(), ["a.so", "b.so"].map(|name| dir.path().join(name)));
        assert!(libraries(&dir.path().join("none")).unwrap().is_empty());
    }
}
