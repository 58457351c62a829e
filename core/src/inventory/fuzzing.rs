//! What the fuzz target calls: files of the inventory, and what must hold of them.
//!
//! Not for programs: it panics when something does not hold.

use std::{cell::LazyCell, fs};

use tempfile::TempDir;

use super::Inventory;

thread_local! {
    static DIR: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a temporary directory"));
}

/// `data` is a host name, tags that are given on the command line, and what the host's file holds, each ended by a byte that
/// no UTF-8 has.
pub fn inventory(data: &[u8]) {
    DIR.with(|dir| {
        let mut parts = data.splitn(3, |b| *b == 0xff);
        let mut part = || parts.next().unwrap_or_default();
        let (host, more, file) = (part(), part(), part());
        let host = String::from_utf8_lossy(host);
        let inventory = Inventory::open(dir.path()).expect("a directory");
        if inventory.add_host(&host).is_err() {
            // Refused, or no name of a file; it must not be there either way.
            assert_eq!(inventory.hosts().expect("hosts"), Vec::<String>::new());
            return;
        }
        assert_eq!(inventory.hosts().expect("hosts"), [host.to_string()]);
        fs::write(dir.path().join(host.as_ref()), file).expect("writing the host's file");
        if let Ok(tags) = inventory.tags(&host) {
            let tags = tags.expect("the host is there");
            let whole = |tag: &String| !tag.is_empty() && tag.trim() == tag && !tag.contains('\n');
            assert!(tags.iter().all(whole), "{tags:?}");
            assert!(tags.windows(2).all(|pair| pair[0] < pair[1]), "not sorted, or twice: {tags:?}");

            let more = String::from_utf8_lossy(more);
            let more: Vec<String> = more.split(',').map(str::to_owned).collect();
            match inventory.change_tags(&host, |all| all.extend(more.iter().cloned())) {
                Ok(()) => {
                    let mut all = [tags, more.clone()].concat();
                    all.sort();
                    all.dedup();
                    assert_eq!(inventory.tags(&host).expect("tags"), Some(all));
                    assert_eq!(inventory.hosts_with(&more, true).expect("hosts"), [host.to_string()]);
                }
                Err(_) => {
                    assert_eq!(inventory.tags(&host).expect("tags"), Some(tags), "refused, but changed");
                }
            }
        }
        inventory.remove_host(&host).expect("removing the host");
        assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 0, "something stayed");
    });
}
