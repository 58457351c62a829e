//! The inventory: a directory with a file per host that holds the host's tags, one per line.

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::trust;

/// Why the inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The inventory is something else.
    #[error("Invalid inventory db basedir '{}', must be a directory", .0.display())]
    NotADirectory(PathBuf),
    /// Root would use what others can change.
    #[error(transparent)]
    Untrusted(#[from] trust::Untrusted),
    /// A host's entry is something else.
    #[error("Host path '{}' exists, but is not a valid file", .0.display())]
    NotAFile(PathBuf),
    /// A name that would leave the inventory.
    #[error("Invalid host name '{0}': it must not be empty, begin with a dot or contain a slash")]
    Name(String),
    /// A tag that its line in the host's file cannot hold.
    #[error("Invalid tag {0:?}: it must not be empty, have blanks at its ends or hold a line break")]
    Tag(String),
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
    /// `dir` is something else than a directory; or this process is root's, and others can change what is in it.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, InventoryError> {
        let dir = dir.into();
        // Its entries decide which hosts are configured, and how.
        trust::tree_for_root("the inventory", &dir)?;
        if dir.exists() && !dir.is_dir() {
            return Err(InventoryError::NotADirectory(dir));
        }
        Ok(Self { dir })
    }

    /// All hosts, sorted.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
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
        let Some(path) = self.path(host)? else { return Ok(None) };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(sorted(text.lines().map(str::trim).filter(|t| !t.is_empty())))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(format!("reading {}", path.display()))(e)),
        }
    }

    /// Where a host's tags are, or would be; `None` for what is no name of an entry.
    fn path(&self, host: &str) -> Result<Option<PathBuf>, InventoryError> {
        if !is_name(host) {
            return Ok(None);
        }
        let path = self.dir.join(host);
        if path.exists() && !path.is_file() { Err(InventoryError::NotAFile(path)) } else { Ok(Some(path)) }
    }

    /// The hosts that have one of `tags`, or all of them, sorted.
    ///
    /// # Errors
    ///
    /// An entry cannot be read.
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
    /// The name is not allowed, or the entry cannot be written.
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
    /// The host is unknown, or its entry cannot be removed.
    pub fn remove_host(&self, host: &str) -> Result<(), InventoryError> {
        // What the file holds does not matter: one that cannot be read should go all the more.
        let path = self.path(host)?.ok_or_else(|| InventoryError::Unknown(host.to_owned()))?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(InventoryError::Unknown(host.to_owned())),
            done => done.map_err(failed(format!("removing {}", path.display()))),
        }
    }

    /// Changes the tags of a host.
    ///
    /// # Errors
    ///
    /// The host is unknown, its entry cannot be written, or a tag is not allowed; the host then keeps the tags it has.
    pub fn change_tags(
        &self,
        host: &str,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<(), InventoryError> {
        let mut tags = self.tags(host)?.ok_or_else(|| InventoryError::Unknown(host.to_owned()))?;
        change(&mut tags);
        if let Some(tag) = tags.iter().find(|tag| !is_tag(tag)) {
            return Err(InventoryError::Tag(tag.clone()));
        }
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

/// True if a line can hold it and it is read back as it is.
fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.trim() == tag && !tag.contains('\n')
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
    use proptest::prelude::*;

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

    #[test]
    fn a_host_whose_tags_cannot_be_read_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(dir.path()).unwrap();
        fs::write(dir.path().join("a"), b"web\n\xff\n").unwrap();
        assert!(matches!(inventory.tags("a"), Err(InventoryError::Io { .. })));
        inventory.remove_host("a").unwrap();
        assert_eq!(inventory.hosts().unwrap(), Vec::<String>::new());
        for unknown in ["a", "..", ""] {
            assert!(matches!(inventory.remove_host(unknown), Err(InventoryError::Unknown(_))));
        }
    }

    #[test]
    fn a_tag_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let inventory = Inventory::open(dir.path()).unwrap();
        inventory.add_host("a").unwrap();
        inventory.change_tags("a", |t| t.push("web".to_owned())).unwrap();
        for tag in ["mail\ndb", "", " web", "web\r"] {
            let error = inventory.change_tags("a", |t| t.push(tag.to_owned())).unwrap_err();
            assert!(error.to_string().starts_with("Invalid tag"), "{error}");
        }
        assert_eq!(inventory.tags("a").unwrap().unwrap(), ["web"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever hosts and tags are stored is what is read, and chooses the hosts that a plain search finds.
        #[test]
        fn what_is_stored_is_what_is_read(
            hosts in prop::collection::btree_map("[^/.\\pC][^/\\pC]{0,9}", prop::collection::btree_set("[a-c]{1,2}|[^\\s\\pC]{1,5}", 0..4), 0..5),
            asked in prop::collection::vec("[a-c]{1,2}", 1..3),
            all: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let inventory = Inventory::open(dir.path()).unwrap();
            for (host, tags) in &hosts {
                inventory.add_host(host).unwrap();
                inventory.change_tags(host, |t| t.extend(tags.iter().rev().cloned())).unwrap();
                // A second time changes nothing.
                inventory.change_tags(host, |t| t.extend(tags.iter().cloned())).unwrap();
            }
            prop_assert_eq!(inventory.hosts().unwrap(), hosts.keys().cloned().collect::<Vec<_>>());
            for (host, tags) in &hosts {
                prop_assert_eq!(inventory.tags(host).unwrap().unwrap(), tags.iter().cloned().collect::<Vec<_>>());
            }
            let wanted: Vec<String> = hosts
                .iter()
                .filter(|(_, tags)| asked.iter().filter(|t| tags.contains(*t)).count() >= if all { asked.len() } else { 1 })
                .map(|(host, _)| host.clone())
                .collect();
            prop_assert_eq!(inventory.hosts_with(&asked, all).unwrap(), wanted);
        }
    }
}
