//! A directory tree as something that can be compared.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// Each name with mode, owner and content. Times are left out: packing levels them.
#[derive(Debug)]
pub struct Tree(BTreeMap<PathBuf, String>);

impl Tree {
    /// Reads everything below `root`.
    ///
    /// # Panics
    ///
    /// If something cannot be read.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        let mut waiting = vec![root.to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(&dir).expect("reading a directory of the tree").flatten() {
                let path = entry.path();
                let metadata = fs::symlink_metadata(&path).expect("looking at a file of the tree");
                let kind = metadata.file_type();
                let content = if kind.is_dir() {
                    waiting.push(path.clone());
                    String::new()
                } else if kind.is_symlink() {
                    format!("-> {}", fs::read_link(&path).expect("reading a link").display())
                } else if kind.is_file() {
                    format!("{} bytes, {:016x}", metadata.len(), hash(&path))
                } else if kind.is_char_device() || kind.is_block_device() {
                    format!("device {:x}", metadata.rdev())
                } else {
                    "special".to_owned()
                };
                let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
                let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
                entries.insert(name, format!("{mode:o} {uid}:{gid} {content}"));
            }
        }
        Self(entries)
    }

    /// The names that are not the same in both, sorted.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        let mut names: Vec<String> = names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| String::from_utf8_lossy(name.as_os_str().as_bytes()).into_owned())
            .collect();
        names.sort();
        names
    }
}

fn hash(path: &Path) -> u64 {
    let mut file = File::open(path).expect("opening a file of the tree");
    let mut hasher = DefaultHasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).expect("reading a file of the tree") {
            0 => return hasher.finish(),
            count => hasher.write(&buffer[..count]),
        }
    }
}
