//! New projects for plugins, which build, pass their tests and run as they are. The templates are in `core/templates`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::text::is_name;
use crate::{host::atomic::write_tree, printable::line};

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// A library, built by cargo.
    Rust,
    /// A library, built by make.
    C,
    /// A Python file.
    Python,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The name is none of a PreOS.
    #[error(
        "{0:?} does not work as the name of a PreOS; take 1 to 64 letters, digits, '.', '_', '+' or '-', the first one a \
         letter or digit"
    )]
    Name(String),
    /// The directory is one like `..`.
    #[error("'{}' does not end in a name; name the directory to make", shown(.0))]
    Directory(PathBuf),
    /// A file of cdist is missing.
    #[error("{} is missing, which the project needs", shown(.0))]
    Missing(PathBuf),
    /// The path of a directory of cdist has characters with a meaning in makefiles and the like.
    #[error("{} cannot stand in a project's file", shown(.0))]
    Unfit(PathBuf),
    /// The directory holds something, or is none.
    #[error("{} {problem}", shown(.dir))]
    Taken {
        /// The directory.
        dir: PathBuf,
        /// In the words of a sentence.
        problem: &'static str,
    },
    /// The directory above is missing.
    #[error("{} is missing; make it first", shown(.0))]
    NothingAbove(PathBuf),
    /// A file or directory cannot be used.
    #[error("{doing} {}: {error}", shown(.dir))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The directory of the project.
        dir: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
}

impl ProjectError {
    /// What to try next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("install cdist whole, as with `make install`"),
            Self::Unfit(_) => Some("install cdist where no name has quotes, '\\', '$' or '#'"),
            Self::Taken { .. } => Some("name another directory with --dir"),
            Self::Name(_) | Self::Directory(_) | Self::NothingAbove(_) | Self::Io { .. } => None,
        }
    }

    /// True if something else should have been asked for.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Directory(_))
    }
}

/// A project that was made.
#[derive(Debug)]
pub struct Project {
    /// Its files.
    pub files: Vec<String>,
    /// The command that builds and tests it.
    pub build: &'static str,
    /// The directory in it in which cdist finds what was built.
    pub built: &'static str,
}

/// Name in the project, and template.
type Files = &'static [(&'static str, &'static str)];

impl Template {
    fn files(self) -> Files {
        match self {
            Self::Rust => &[
                (".gitignore", include_str!("../../templates/rust/gitignore")),
                ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml.in")),
                ("README.md", include_str!("../../templates/rust/README.md")),
                ("ci.sh", include_str!("../../templates/rust/ci.sh")),
                ("src/bootstrap.sh", include_str!("../../templates/rust/src/bootstrap.sh")),
                ("src/lib.rs", include_str!("../../templates/rust/src/lib.rs")),
            ],
            Self::C => &[
                (".gitignore", include_str!("../../templates/c/gitignore")),
                ("Makefile", include_str!("../../templates/c/Makefile")),
                ("README.md", include_str!("../../templates/c/README.md")),
                ("ci.sh", include_str!("../../templates/c/ci.sh")),
                ("{{name}}.c", include_str!("../../templates/c/plugin.c")),
                ("test_{{name}}.c", include_str!("../../templates/c/test_plugin.c")),
            ],
            Self::Python => &[
                (".gitignore", include_str!("../../templates/python/gitignore")),
                ("README.md", include_str!("../../templates/python/README.md")),
                ("ci.sh", include_str!("../../templates/python/ci.sh")),
                ("preos/{{name}}.py", include_str!("../../templates/python/plugin.py")),
                ("test_plugin.py", include_str!("../../templates/python/test_plugin.py")),
            ],
        }
    }

    /// How to build it, and where cdist finds what was built.
    fn build(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => ("cargo build --release", "target/release"),
            Self::C => ("make", "."),
            Self::Python => ("python3 -m unittest", "preos"),
        }
    }

    /// A directory of this cdist that the project needs, and a file in it. `share` is the directory of its data.
    fn needs(self, share: &Path) -> Option<(PathBuf, &'static str)> {
        match self {
            Self::Rust => Some((share.join("plugin-api"), "Cargo.toml")),
            Self::C => Some((share.join("include"), "cdist_preos.h")),
            Self::Python => None,
        }
    }
}

/// Makes a project for the PreOS `name` in `dir`, which is missing or empty. `share` is the directory of cdist's data.
///
/// # Errors
///
/// Name or directory do not fit, or cannot be used; then nothing was made.
pub fn make(name: &str, template: Template, dir: &Path, share: &Path) -> Result<Project, ProjectError> {
    if !is_name(name) {
        return Err(ProjectError::Name(name.to_owned()));
    }
    let needs = match template.needs(share) {
        Some((needs, file)) => checked(needs, file)?,
        None => String::new(),
    };
    let part = |other| name.replace(|c: char| !c.is_ascii_alphanumeric(), other);
    let (ident, package, type_name) = (part("_"), name.replace(['.', '+'], "-"), type_name(name));
    let values =
        [("name", name), ("ident", &ident), ("package", &package), ("type", &type_name), ("needs", &needs)];
    is_free(dir)?;
    let files: Vec<(String, String)> =
        template.files().iter().map(|(file, text)| (fill(file, &values), fill(text, &values))).collect();
    let contents = files.iter().map(|(file, text)| (file.as_str(), text.clone()));
    write_tree(dir, contents).map_err(|error| failed("making", dir, error))?;
    let (build, built) = template.build();
    Ok(Project { files: files.into_iter().map(|(file, _)| file).collect(), build, built })
}

/// The directory `needs` as it can stand in a project's file, whichever that is.
fn checked(needs: PathBuf, file: &str) -> Result<String, ProjectError> {
    if !needs.join(file).is_file() {
        return Err(ProjectError::Missing(needs.join(file)));
    }
    let plain = |text: &&str| !text.contains(|c: char| c.is_control() || "\"'\\$#".contains(c));
    let text = needs.to_str().filter(plain).map(str::to_owned);
    text.ok_or(ProjectError::Unfit(needs))
}

/// Fails unless `dir` can be made, or is there and empty.
fn is_free(dir: &Path) -> Result<(), ProjectError> {
    if dir.file_name().is_none() {
        return Err(ProjectError::Directory(dir.to_owned()));
    }
    let problem = match fs::symlink_metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => "is there and no directory",
        Ok(_) => match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
            Ok(false) => return Ok(()),
            Ok(true) => "is not empty",
            Err(error) => return Err(failed("reading", dir, error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match dir.parent().filter(|above| !above.as_os_str().is_empty() && !above.exists()) {
                Some(above) => Err(ProjectError::NothingAbove(above.to_owned())),
                None => Ok(()),
            };
        }
        Err(error) => return Err(failed("looking at", dir, error)),
    };
    Err(ProjectError::Taken { dir: dir.to_owned(), problem })
}

fn failed(doing: &'static str, dir: &Path, error: io::Error) -> ProjectError {
    ProjectError::Io { doing, dir: dir.to_owned(), error }
}

/// Such as `PreosFreeBsd` for `free-bsd`. With the word in front it is no word of Rust and hides no other type, whatever
/// the name is.
fn type_name(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    parts.fold("Preos".to_owned(), |all, part| {
        let (first, rest) = part.split_at(part.len().min(1));
        all + &first.to_ascii_uppercase() + rest
    })
}

/// The template with values in the place of `{{key}}`. Values are not looked at again, so they may hold anything.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part.split_once("}}").and_then(|(key, rest)| {
            let (_, value) = values.iter().find(|(name, _)| *name == key)?;
            Some([value, rest])
        });
        text.extend(known.unwrap_or(["{{", part]));
    }
    text
}

fn shown(path: &Path) -> String {
    line(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_filled_in_once() {
        let values = [("a", "{{b}}"), ("b", "x")];
        assert_eq!(fill("{{a}}-{{b}}{{ {{c}} {{b", &values), "{{b}}-x{{ {{c}} {{b");
    }

    #[test]
    fn type_names() {
        for (name, type_name_of_it) in [
            ("hello", "PreosHello"),
            ("9-front", "Preos9Front"),
            ("a.b_+C", "PreosABC"),
            ("self", "PreosSelf"),
        ] {
            assert_eq!(type_name(name), type_name_of_it);
        }
    }

    #[test]
    fn every_placeholder_is_known() {
        let known = ["name", "ident", "package", "type", "needs"];
        let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
        for template in [Template::Rust, Template::C, Template::Python] {
            for (file, text) in template.files() {
                for (key, _) in text.split("{{").skip(1).filter_map(|part| part.split_once("}}")) {
                    assert!(!is_key(key) || known.contains(&key), "{key} in {file}");
                }
            }
        }
    }
}
