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

/// Whether a file of this name is a plugin in Python.
pub fn is_python(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "py")
}

/// The shared libraries and Python files in a directory, sorted by name. A missing directory has none.
///
/// # Errors
///
/// The directory exists and cannot be read.
pub fn plugins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_plugin(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file of this name is looked at.
pub fn is_plugin(file: &Path) -> bool {
    is_python(file) || file.extension().is_some_and(|extension| extension == "so")
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
    fn plugins_are_sorted_and_a_missing_directory_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.so", "a.so", "README", "c.txt", "ab.py", "d.pyc"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(plugins(dir.path()).unwrap(), ["a.so", "ab.py", "b.so"].map(|name| dir.path().join(name)));
        assert!(plugins(&dir.path().join("none")).unwrap().is_empty());
    }
}
