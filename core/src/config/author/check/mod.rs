//! What is wrong with a type, seen without running it.
//!
//! The engine takes every directory as a type and ignores what it does not know in it, so a typo shows late or never.
//! Errors are what the engine refuses, ignores or misunderstands; warnings are what its author has probably not meant.
//! [`layout`] looks at files and their names, [`declared`] at parameters, [`scripts`] at each script by itself,
//! [`references`] at what scripts use, [`manual`] at the man page.

mod declared;
mod layout;
mod manual;
mod references;
mod scripts;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

pub use layout::is_good_name;

use crate::printable;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The type does not do what it says.
    Error,
    /// It works, but not as its author may expect.
    Warning,
}

impl Severity {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what to do, on one line.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path.display(), self.severity.name(), self.text)
    }
}

/// Checks the type in `dir`. Scripts are read and handed to `sh -n`, nothing is run.
pub fn check(dir: &Path) -> Vec<Finding> {
    let mut findings = Findings::default();
    if !dir.is_dir() {
        let what = if dir.exists() { "is no directory" } else { "does not exist" };
        findings.error(dir, format!("{what}; give the directory of a type"));
        return findings.0;
    }
    let name = name_of(dir);
    layout::check(dir, &name, &mut findings);
    let parameters = declared::check(dir, &mut findings);
    let scripts = scripts::check(dir, &mut findings);
    references::check(dir, &parameters, &scripts, &mut findings);
    manual::check(dir, &name, &parameters, &mut findings);
    findings.0
}

/// The directory's own name, also of `.`.
fn name_of(dir: &Path) -> String {
    let named = if dir.file_name().is_some() { Ok(dir.to_owned()) } else { fs::canonicalize(dir) };
    named.ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned())).unwrap_or_default()
}

/// Collects what is found.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, path: &Path, text: impl Into<String>) {
        self.push(path, Severity::Error, &text.into());
    }

    fn warning(&mut self, path: &Path, text: impl Into<String>) {
        self.push(path, Severity::Warning, &text.into());
    }

    fn push(&mut self, path: &Path, severity: Severity, text: &str) {
        // One finding is one line, whatever a name holds.
        self.0.push(Finding { path: path.to_owned(), severity, text: printable::line(text) });
    }

    /// The bytes of a file. One that cannot be read is a finding of its own.
    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.error(path, format!("cannot be read: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A type `__t` of these files. Those that begin with `#!` are made executable.
    pub(super) fn type_with(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("__t");
        fs::create_dir(&path).unwrap();
        for (name, text) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            if text.starts_with("#!") {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        (dir, path)
    }

    /// What is found, with paths from the type on, sorted; a man page and a script are there if not given.
    pub(super) fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = files.to_vec();
        let man = "cdist-type__t(7)\n================\n";
        for (name, text) in [("man.rst", man), ("gencode-remote", "#!/bin/sh -e\necho true\n")] {
            if !all.iter().any(|(given, _)| *given == name) {
                all.push((name, text));
            }
        }
        let (dir, path) = type_with(&all);
        let prefix = format!("{}/", dir.path().display());
        let mut lines: Vec<String> =
            check(&path).iter().map(|f| f.to_string().replace(&prefix, "")).collect();
        lines.sort();
        lines
    }

    #[test]
    fn nothing_is_wrong_with_a_small_type() {
        assert_eq!(found(&[]), [""; 0]);
    }

    #[test]
    fn what_is_no_type_at_all() {
        let (_dir, path) = type_with(&[("file", "")]);
        let texts = |path: PathBuf| check(&path).into_iter().map(|f| f.text).collect::<Vec<_>>();
        assert_eq!(texts(path.join("none")), ["does not exist; give the directory of a type"]);
        assert_eq!(texts(path.join("file")), ["is no directory; give the directory of a type"]);
    }

    #[test]
    fn a_finding_is_one_line() {
        let lines = found(&[("parameter/optional", "a\nb c\u{1b}[2J\n")]);
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains(char::is_control)), "{lines:?}");
    }
}
