//! The inventory: a directory with a file per host that holds the host's tags, one per line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why the inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The inventory is something else.
    #[error("Invalid inventory db basedir '{}', must be a directory", .0.display())]
    NotADirectory(PathBuf),
    /// A host's entry is something else.
    #[error("Host path '{}' exists, but is not a valid file", .0.display())]
    NotAFile(PathBuf),
    /// A name that would leave the inventory.
    #[error("Invalid host name '{0}': it must not be empty, begin with a dot or contain a slash")]
    Name(String),
    /// A host that is not there.
    #[error("Host '{0}' does not exist")]
    Unknown(String),
    /// Reading or writing.
    #[error("{doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

fn failed(doing: String) -> impl FnOnce(io::Error) -> InventoryError {
    move |source| InventoryError::Io { doing, source }
}

/// The inventory below one directory. A directory that does not exist is an empty inventory.
#[derive(Clone, Debug)]
pub struct Inventory {
    dir: PathBuf,
}

impl Inventory {
    /// The inventory in `dir`.
    ///
    /// # Errors
    ///
    /// `dir` is something else than a directory.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, InventoryError> {
        let dir = dir.into();
        if dir.exists() && !dir.is_dir() {
            return Err(InventoryError::NotADirectory(dir));
        }
        Ok(Self { dir })
    }

    /// All hosts, sorted.
    ///
    /// # Errors
    ///
    /// Reading the directory.
    pub fn hosts(&self) -> Result<Vec<String>, InventoryError> {
        let reading = || failed(format!("reading inventory {}", self.dir.display()));
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(reading())?,
        };
        let mut hosts = Vec::new();
        for entry in entries {
            if let Ok(name) = entry.map_err(reading())?.file_name().into_string() {
                hosts.push(name);
            }
        }
        hosts.retain(|name| is_name(name));
        hosts.sort();
        Ok(hosts)
    }

    /// The tags of a host, sorted; `None` if the inventory does not have it. Whatever is no name of an entry,
    /// such as a path, is no host of the inventory.
    ///
    /// # Errors
    ///
    /// The entry is no file, or cannot be read.
    pub fn tags(&self, host: &str) -> Result<Option<Vec<String>>, InventoryError> {
        if !is_name(host) {
            return Ok(None);
        }
        let path = self.dir.join(host);
        if path.exists() && !path.is_file() {
            return Err(InventoryError::NotAFile(path));
        }
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(sorted(text.lines().map(str::trim).filter(|t| !t.is_empty())))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(format!("reading {}", path.display()))(e)),
        }
    }

    /// The hosts that have one of `tags`, or all of them, sorted.
    ///
    /// # Errors
    ///
    /// Reading an entry.
    pub fn hosts_with(&self, tags: &[String], all: bool) -> Result<Vec<String>, InventoryError> {
        let mut found = Vec::new();
        for host in self.hosts()? {
            let has = self.tags(&host)?.unwrap_or_default();
            let matches =
                if all { tags.iter().all(|t| has.contains(t)) } else { tags.iter().any(|t| has.contains(t)) };
            if matches {
                found.push(host);
            }
        }
        Ok(found)
    }

    /// Adds a host without tags; one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// A bad name, or writing.
    pub fn add_host(&self, host: &str) -> Result<(), InventoryError> {
        match self.tags(host)? {
            Some(_) => Ok(()),
            None => self.write(host, &[]),
        }
    }

    /// Removes a host.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be removed.
    pub fn remove_host(&self, host: &str) -> Result<(), InventoryError> {
        if self.tags(host)?.is_none() {
            return Err(InventoryError::Unknown(host.to_owned()));
        }
        let path = self.dir.join(host);
        fs::remove_file(&path).map_err(failed(format!("removing {}", path.display())))
    }

    /// Changes the tags of a host.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be written.
    pub fn change_tags(
        &self,
        host: &str,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<(), InventoryError> {
        let mut tags = self.tags(host)?.ok_or_else(|| InventoryError::Unknown(host.to_owned()))?;
        change(&mut tags);
        self.write(host, &sorted(tags.iter().map(String::as_str)))
    }

    fn write(&self, host: &str, tags: &[String]) -> Result<(), InventoryError> {
        if !is_name(host) {
            return Err(InventoryError::Name(host.to_owned()));
        }
        fs::create_dir_all(&self.dir).map_err(failed(format!("making {}", self.dir.display())))?;
        let path = self.dir.join(host);
        let text: String = tags.iter().map(|t| format!("{t}\n")).collect();
        write_whole(&self.dir, &path, &text).map_err(failed(format!("writing {}", path.display())))
    }
}

/// A killed program leaves the old entry or the new one.
fn write_whole(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && !host.starts_with('.') && !host.contains(['/', '\0'])
}

fn sorted<'a>(tags: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut tags: Vec<String> = tags.map(str::to_owned).collect();
    tags.sort();
    tags.dedup();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_choose_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(dir.path().join("inventory")).unwrap();
        assert_eq!(inventory.hosts().unwrap(), Vec::<String>::new());
        for (host, tags) in [("b", &["web", "db"][..]), ("a", &["db"]), ("c", &[])] {
            inventory.add_host(host).unwrap();
            inventory.change_tags(host, |t| t.extend(tags.iter().map(ToString::to_string))).unwrap();
        }
        let tags = ["web".to_owned(), "db".to_owned()];
        assert_eq!(inventory.hosts_with(&tags, false).unwrap(), ["a", "b"]);
        assert_eq!(inventory.hosts_with(&tags, true).unwrap(), ["b"]);
        assert_eq!(inventory.tags("b").unwrap().unwrap(), ["db", "web"]);
        inventory.remove_host("b").unwrap();
        assert_eq!(inventory.tags("b").unwrap(), None);
    }

    #[test]
    fn a_path_is_no_host_of_the_inventory() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(dir.path()).unwrap();
        assert_eq!(inventory.tags("/etc").unwrap(), None);
        assert_eq!(inventory.tags("..").unwrap(), None);
        assert!(matches!(inventory.add_host("../x"), Err(InventoryError::Name(_))));
    }
}
