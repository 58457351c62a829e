//! The type's name and the names of its files: what the engine knows, and what it would pass over in silence.

use std::{fs, path::Path};

use super::Findings;
use crate::config::declare::types::visible_entries;

/// What a type may hold, and whether it is a directory. Tests are the author's business.
const ENTRIES: [(&str, bool); 14] = [
    ("manifest", false),
    ("gencode-local", false),
    ("gencode-remote", false),
    ("gencode-diff", false),
    ("explorer", true),
    ("parameter", true),
    ("files", true),
    ("singleton", false),
    ("install", false),
    ("nonparallel", false),
    ("disconnects", false),
    ("secret", false),
    ("deprecated", false),
    ("man.rst", false),
];
/// What `parameter` may hold, and whether it is a directory.
const PARAMETER_ENTRIES: [(&str, bool); 7] = [
    ("required", false),
    ("required_multiple", false),
    ("optional", false),
    ("optional_multiple", false),
    ("boolean", false),
    ("default", true),
    ("deprecated", true),
];
/// For people; the engine does not look at them.
const OTHERS: [&str; 7] = ["README", "LICENSE", "COPYING", "CHANGELOG", "TODO", "notes", "test"];

/// True for a name that works as a type: what a shell takes as a command and the engine as a type call.
pub fn is_good_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
    name.strip_prefix("__").is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
}

pub(super) fn check(dir: &Path, name: &str, findings: &mut Findings) {
    if !name.starts_with("__") {
        findings.error(dir, "the name of a type begins with two underscores, or calling it starts no type; rename the directory");
    } else if !is_good_name(name) {
        findings.error(dir, "the name does not work as a command in a manifest; use letters, digits and underscores after '__'");
    }
    check_entries(dir, &ENTRIES, "a type", findings);
    let parameters = dir.join("parameter");
    if parameters.is_dir() {
        check_entries(&parameters, &PARAMETER_ENTRIES, "'parameter'", findings);
    }
    let works = ["manifest", "gencode-local", "gencode-remote"].iter().any(|file| dir.join(file).is_file());
    if !works {
        findings.warning(dir, "has no manifest and no gencode, so its objects do nothing; add one of them");
    }
}

fn check_entries(dir: &Path, known: &[(&str, bool)], whole: &str, findings: &mut Findings) {
    let names = match visible_entries(dir) {
        Ok(names) => names,
        Err(error) => return findings.error(dir, format!("cannot be read: {error}")),
    };
    for name in names {
        let path = dir.join(&name);
        let name = name.to_string_lossy();
        let Some((_, is_dir)) = known.iter().find(|(entry, _)| *entry == name) else {
            unknown(&path, &name, known, whole, findings);
            continue;
        };
        match fs::metadata(&path) {
            Err(error) => findings.error(&path, format!("leads nowhere, so it is ignored: {error}")),
            Ok(found) if found.is_dir() && !is_dir => {
                findings.error(&path, "is a directory, so it is ignored; it has to be a file");
            }
            Ok(found) if !found.is_dir() && *is_dir => {
                findings.error(&path, "is no directory, so it is ignored; it has to be one");
            }
            Ok(_) => {}
        }
    }
}

fn unknown(path: &Path, name: &str, known: &[(&str, bool)], whole: &str, findings: &mut Findings) {
    if let Some(near) = near(name, known) {
        findings.error(path, format!("is ignored; rename it to '{near}'"));
    } else if !OTHERS.iter().any(|other| name.starts_with(other)) && !name.ends_with(".md") {
        let place =
            if whole == "a type" { "put what scripts need into files/, or remove it" } else { "remove it" };
        findings.warning(path, format!("is no part of {whole} and is ignored; {place}"));
    }
}

/// The known name that `name` is a misspelling of: gencode_remote, parameters, manifest.sh.
fn near(name: &str, known: &[(&str, bool)]) -> Option<String> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let stem = name.split_once('.').filter(|_| name != "man.rst").map_or(name, |(stem, _)| stem);
    let ranked = known.iter().map(|(entry, _)| {
        let distance = |name: &str| strsim::damerau_levenshtein(&plain(name), &plain(entry));
        (distance(stem).min(distance(name)), entry)
    });
    let (distance, entry) = ranked.min_by_key(|(distance, _)| *distance)?;
    // A short name is near to everything.
    let limit = if entry.len() < 6 { 1 } else { 2 };
    (distance <= limit).then(|| (*entry).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::found, *};

    #[test]
    fn what_the_engine_ignores() {
        let lines = found(&[
            ("gencode_remote", ""),
            ("explorers/state", ""),
            ("manifest.sh", ""),
            ("parameter/requireds", ""),
            ("parameter/Boolean", ""),
            ("data", ""),
            ("README.md", ""),
            (".gitignore", ""),
            ("singleton/x", ""),
            ("files", ""),
        ]);
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_type_that_does_nothing() {
        let (_dir, path) =
            super::super::tests::type_with(&[("singleton", ""), ("man.rst", "cdist-type__t(7)\n")]);
        let texts: Vec<String> = super::super::check(&path).into_iter().map(|f| f.text).collect();
        assert_eq!(texts, ["has no manifest and no gencode, so its objects do nothing; add one of them"]);
    }

    #[test]
    fn names_of_types() {
        for good in ["__t", "__package_apt", "__9", "__a-b.c+d"] {
            assert!(is_good_name(good), "{good}");
        }
        for bad in ["", "_", "__", "t", "_t", "__a b", "__a/b", "__a\n", "__ä", "__$x"] {
            assert!(!is_good_name(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_known_name_is_never_far_from_itself(index in 0..ENTRIES.len(), suffix in "[._-]?") {
            let (name, _) = ENTRIES[index];
            prop_assert_eq!(near(&format!("{name}{suffix}"), &ENTRIES), Some(name.to_owned()));
        }
    }
}
