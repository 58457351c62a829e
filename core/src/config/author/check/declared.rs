//! The parameters that a type declares.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path};

use super::Findings;
use crate::config::declare::types::{ParameterKind, strip, visible_entries};

/// The declared parameters: name and kind.
pub(super) type Declared = BTreeMap<String, ParameterKind>;

pub(super) fn check(dir: &Path, findings: &mut Findings) -> Declared {
    let dir = dir.join("parameter");
    let mut declared: BTreeMap<String, (ParameterKind, &str)> = BTreeMap::new();
    for (kind, file) in ParameterKind::ALL {
        let path = dir.join(file);
        if !path.is_file() {
            continue;
        }
        let Some(text) = findings.read(&path) else { continue };
        if has_dos_line_ends(&text) {
            findings.warning(&path, "has DOS line ends; convert it with dos2unix");
        }
        for line in text.split(|&b| b == b'\n').map(strip).filter(|line| !line.is_empty()) {
            let name = String::from_utf8_lossy(line).into_owned();
            if let Some(reason) = bad_name(&name) {
                findings.error(&path, format!("'{name}' is no name of a parameter: {reason}"));
                continue;
            }
            match declared.get(&name) {
                Some((_, other)) if *other == file => {
                    findings.warning(&path, format!("declares '{name}' twice; remove one of the lines"));
                }
                Some((_, other)) => {
                    findings.error(&path, format!("declares '{name}', which is in '{other}' too and counts there only; remove one of them"));
                }
                None => {
                    declared.insert(name, (kind, file));
                }
            }
        }
    }
    let declared: Declared = declared.into_iter().map(|(name, (kind, _))| (name, kind)).collect();
    check_defaults(&dir.join("default"), &declared, findings);
    check_deprecated(&dir.join("deprecated"), &declared, findings);
    declared
}

/// Why a name does not work as `--name` in a manifest and as `$__object/parameter/name` in a script.
fn bad_name(name: &str) -> Option<&'static str> {
    if name.starts_with('#') {
        return Some("there are no comments in this file; remove the line");
    }
    if name.starts_with('-') {
        return Some("write it without the dashes in front");
    }
    if name.contains([' ', '\t', ',']) {
        return Some("write one name per line");
    }
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if !name.chars().all(good) || name.starts_with('.') {
        return Some("use letters, digits, '-' and '_'");
    }
    None
}

fn check_defaults(dir: &Path, declared: &Declared, findings: &mut Findings) {
    for (path, name) in files_in(dir, findings) {
        match declared.get(&name) {
            None => findings.error(&path, format!("is a default for '{name}', which is not declared; remove it or declare '{name}' in 'optional'")),
            Some(ParameterKind::Optional | ParameterKind::OptionalMultiple) => {}
            Some(ParameterKind::Boolean) => findings.error(&path, format!("is a default for '{name}', which is boolean and has none; remove it")),
            Some(ParameterKind::Required | ParameterKind::RequiredMultiple) => {
                findings.error(&path, format!("is a default for '{name}', which must be given always; remove it or declare '{name}' in 'optional'"));
            }
        }
        if path.is_dir() {
            findings.error(&path, "is a directory, so it is ignored; a default is a file");
        } else if path.is_file() && findings.read(&path).is_some_and(|text| has_dos_line_ends(strip(&text))) {
            findings.error(
                &path,
                "has DOS line ends, and the carriage returns become part of the values; convert it with dos2unix",
            );
        }
    }
}

fn has_dos_line_ends(text: &[u8]) -> bool {
    text.windows(2).any(|two| two == b"\r\n")
}

fn check_deprecated(dir: &Path, declared: &Declared, findings: &mut Findings) {
    for (path, name) in files_in(dir, findings) {
        if !declared.contains_key(&name) {
            findings.error(&path, format!("is about '{name}', which is not declared; remove it, or declare '{name}' as long as it is accepted"));
        }
    }
}

fn files_in(dir: &Path, findings: &mut Findings) -> Vec<(std::path::PathBuf, String)> {
    if !fs::metadata(dir).is_ok_and(|found| found.is_dir()) {
        return Vec::new();
    }
    match visible_entries(dir) {
        Ok(names) => {
            let name = |name: &OsStr| name.to_string_lossy().into_owned();
            names.iter().map(|entry| (dir.join(entry), name(entry))).collect()
        }
        Err(error) => {
            findings.error(dir, format!("cannot be read: {error}"));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;

    #[test]
    fn line_ends() {
        let lines = found(&[
            ("man.rst", "cdist-type__t(7)\n================\n\na, b\n"),
            ("gencode-remote", "#!/bin/sh -e\nls \"$__object/parameter\"\n"),
            ("parameter/optional_multiple", "a\r\nb\r\n"),
            ("parameter/default/a", "x\r\ny\r\n"),
            // What is at the end is cut off anyway.
            ("parameter/default/b", "x\r\n"),
        ]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("__t/parameter/default/a: error: has DOS line ends"), "{lines:?}");
        assert!(
            lines[1].starts_with("__t/parameter/optional_multiple: warning: has DOS line ends"),
            "{lines:?}"
        );
    }

    #[test]
    fn names_and_places() {
        let man = "cdist-type__t(7)\n================\n\nPARAMETERS\n----------\na, b, c, d, flag\n  x\n";
        let lines = found(&[
            ("man.rst", man),
            ("gencode-remote", "#!/bin/sh -e\nls \"$__object/parameter\"\n"),
            ("parameter/required", "a\n\n  a  \n# comment\n"),
            ("parameter/optional", "b\na\n--dashed\ntwo words\nx=y\n"),
            ("parameter/optional_multiple", "c"),
            ("parameter/boolean", "flag\n"),
            ("parameter/default/a", ""),
            ("parameter/default/b", "fine"),
            ("parameter/default/c/d", ""),
            ("parameter/default/flag", ""),
            ("parameter/default/zzz", ""),
            ("parameter/deprecated/b", ""),
            ("parameter/deprecated/zzz", ""),
        ]);
        let own: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.contains("man.rst")).collect();
        insta::assert_snapshot!(own.join("\n"));
    }
}
