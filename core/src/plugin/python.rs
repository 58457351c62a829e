//! PreOSes written in Python: the interpreter, the program that it runs, and what that says.
//!
//! Such a file has to be executed to be listed. `shim.py` does so, in one interpreter for all files and a process for
//! each; it also calls the `commandline` of the chosen one. It travels as a word of the command line, so there is no
//! file of it that another user could replace.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    check::Checker,
    search,
    text::{self, PreosText, TextError},
};
use crate::host::parent_of;

/// How long all files together may take to be listed.
pub const LIST_LIMIT: Duration = Duration::from_secs(10);
/// What the interpreter runs.
const SHIM: &str = include_str!("shim.py");
/// Debian's interpreter. It comes first: another one in the path may lack the modules that packages bring.
const INTERPRETER: &str = "/usr/bin/python3";

/// What the files hold, in the order in which they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The interpreter and its version.
    pub version: String,
    /// For each file its PreOSes, or why it is skipped.
    pub files: Vec<Result<Vec<PreosText>, String>>,
}

/// The interpreter.
///
/// # Errors
///
/// No `python3` is installed; one sentence with the remedy.
pub fn interpreter() -> Result<PathBuf, String> {
    find(Path::new(INTERPRETER), std::env::var_os("PATH").as_deref())
        .ok_or_else(|| "there is no python3; install the package python3".to_owned())
}

fn find(first: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    let runs = |program: &PathBuf| {
        program.is_absolute()
            && fs::metadata(program)
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    let others = path.into_iter().flat_map(std::env::split_paths).map(|directory| directory.join("python3"));
    std::iter::once(first.to_owned()).chain(others).find(runs)
}

/// Whether a file is there for the others to import, and is no plugin: its name begins with `_`.
pub fn is_helper(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"_"))
}

/// Isolated: neither the environment nor the current directory names code to run. Without `__pycache__`.
fn words(mode: &str) -> Vec<OsString> {
    ["-I", "-B", "-c", SHIM, mode].map(OsString::from).to_vec()
}

/// The words after the interpreter that list `files`, which have to be absolute.
pub fn list_words(files: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words("list");
    words.push(LIST_LIMIT.as_secs().to_string().into());
    words.extend(files);
    words
}

/// The words after the interpreter that run the PreOS `name` of `file` with `arguments`.
///
/// The file is checked once more, and those beside it that it may import.
///
/// # Errors
///
/// The reason why the file is not run, in one sentence.
pub fn run_words(
    verbosity: i32,
    name: &str,
    file: &Path,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, String> {
    let file = std::path::absolute(file).map_err(|error| error.to_string())?;
    let mut checker = Checker::default();
    checker.check(&file).map_err(|error| error.to_string())?;
    let beside: Vec<OsString> =
        importable(&file, &mut checker).into_iter().map(PathBuf::into_os_string).collect();

    let mut words = words("run");
    words.extend([verbosity.to_string().into(), name.into(), file.into_os_string()]);
    words.push(beside.len().to_string().into());
    words.extend(beside);
    words.extend(arguments);
    Ok(words)
}

/// The Python files in the directory of `file` that it may import: those that are as well protected. It is one of them.
pub fn importable(file: &Path, checker: &mut Checker) -> Vec<PathBuf> {
    let mut beside = search::plugins(parent_of(file)).unwrap_or_default();
    beside.retain(|other| search::is_python(other) && checker.check(other).is_ok());
    beside
}

/// One line of the list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Version { python: String },
    Preoses { file: usize, preoses: Vec<Entry> },
    Failed { file: usize, failed: String },
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    summary: String,
}

/// Reads what the list of `files` said. What is no line of a list counts for nothing.
pub fn parse(output: &[u8], files: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    listing.files.extend(files.iter().map(|file| {
        if is_helper(file) {
            Ok(Vec::new())
        } else {
            Err("the list of Python files ended before it".to_owned())
        }
    }));
    for line in output.split(|&byte| byte == b'\n') {
        let (file, outcome) = match serde_json::from_slice(line) {
            Ok(Record::Version { python }) => {
                listing.version = python;
                continue;
            }
            Ok(Record::Preoses { file, preoses }) => (file, checked(preoses)),
            Ok(Record::Failed { file, failed }) => (file, Err(failed)),
            Err(_) => continue,
        };
        if let Some(entry) = listing.files.get_mut(file) {
            *entry = outcome;
        }
    }
    listing
}

fn checked(entries: Vec<Entry>) -> Result<Vec<PreosText>, String> {
    let check = |entry: Entry| {
        if text::is_name(&entry.name) {
            let Entry { name, type_name, summary } = entry;
            return Ok(PreosText { preos_name: Some(name), type_name, summary });
        }
        Err(TextError::Name(entry.name.chars().take(64).collect()).to_string())
    };
    entries.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_the_system_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        for (directory, mode) in [(&first, 0o644), (&second, 0o755)] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("python3"), "").unwrap();
            fs::set_permissions(directory.join("python3"), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = std::env::join_paths([Path::new("relative"), &first, &second]).unwrap();
        let none = dir.path().join("none");
        assert_eq!(find(Path::new("/bin/sh"), Some(&path)), Some("/bin/sh".into()));
        assert_eq!(find(&none, Some(&path)), Some(second.join("python3")), "the first one is not executable");
        assert_eq!(find(&none, Some(first.as_os_str())), None);
        assert_eq!(find(&none, None), None);
    }

    #[test]
    fn a_list_is_read_whatever_else_is_in_it() {
        let files = ["a.py", "b.py", "_c.py", "d.py", "e.py"].map(PathBuf::from);
        let output = br#"{"python": "Python 3.11.2"}
{"preoses": [{"name": "a", "type": "A", "summary": "makes a"}], "file": 0}
junk
{"preoses": [], "file": 77}
{"failed": "why", "file": 3}
{"preoses": [{"name": "e\u001b", "type": "E", "summary": ""}], "file": 4}
{"preoses": [{"na"#;
        let listing = parse(output, &files);
        let a = PreosText { preos_name: Some("a".into()), type_name: "A".into(), summary: "makes a".into() };
        assert_eq!(listing.version, "Python 3.11.2");
        assert_eq!(listing.files[0], Ok(vec![a]));
        assert_eq!(listing.files[1], Err("the list of Python files ended before it".to_owned()));
        assert_eq!(listing.files[2], Ok(Vec::new()));
        assert_eq!(listing.files[3], Err("why".to_owned()));
        assert!(listing.files[4].as_ref().unwrap_err().starts_with("it names a PreOS \"e\\u{1b}\""));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes, &["a.py".into()]);
        }
    }
}
