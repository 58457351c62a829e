//! `cdist plugin new`: a project that builds, passes its test and runs as it is. The templates are in `cli/templates`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cdist_core::{host::atomic::write_tree, plugin::text::is_name};

use crate::{
    layout::Layout,
    terminal::{
        failure::Failure,
        printable::{line, quoted},
        stdout::print,
    },
};

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Language {
    Rust,
    C,
    Python,
}

/// Name in the project, and template.
type Files = &'static [(&'static str, &'static str)];

impl Language {
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

    /// A directory of this cdist that the project needs, and a file in it.
    fn needs(self, layout: &Layout) -> Option<(PathBuf, &'static str)> {
        match self {
            Self::Rust => Some((layout.conf.with_file_name("plugin-api"), "Cargo.toml")),
            Self::C => Some((layout.conf.with_file_name("include"), "cdist_preos.h")),
            Self::Python => None,
        }
    }
}

/// Makes the project `name` in `dir`, else in a directory of its name here, and tells how to go on.
pub(crate) fn run(name: &str, language: Language, dir: Option<&Path>) -> Result<i32, Failure> {
    if !is_name(name) {
        let message = format!(
            "{name:?} does not work as the name of a PreOS; take 1 to 64 letters, digits, '.', '_', '+' or '-', \
             the first one a letter or digit"
        );
        return Err(Failure::usage(message));
    }
    let dir = dir.unwrap_or(Path::new(name));
    let needs = match language.needs(&Layout::find_or_fail()?) {
        Some((needs, file)) => checked(&needs, file)?,
        None => String::new(),
    };
    let part = |other| name.replace(|c: char| !c.is_ascii_alphanumeric(), other);
    let (ident, package, type_name) = (part("_"), name.replace(['.', '+'], "-"), type_name(name));
    let values =
        [("name", name), ("ident", &ident), ("package", &package), ("type", &type_name), ("needs", &needs)];
    is_free(dir)?;
    let files: Vec<(String, String)> =
        language.files().iter().map(|(file, text)| (fill(file, &values), fill(text, &values))).collect();
    let contents = files.iter().map(|(file, text)| (file.as_str(), text.clone()));
    write_tree(dir, contents).map_err(|error| Failure::new(format!("making {}: {error}", shown(dir))))?;
    let names: Vec<&str> = files.iter().map(|(file, _)| file.as_str()).collect();
    let (build, built) = language.build();
    print(&format!(
        "made {}: {}\nto go on:\n  cd {}\n  {build}\n  cdist preos --plugin-dir {built} {name} -h\n",
        shown(dir),
        names.join(", "),
        quoted(dir),
    ))?;
    Ok(0)
}

/// The directory `needs` as it can stand in a project's file, whichever that is.
fn checked(needs: &Path, file: &str) -> Result<String, Failure> {
    if !needs.join(file).is_file() {
        let message = format!("{} is missing, which the project needs", shown(&needs.join(file)));
        return Err(Failure::new(message).hint("install cdist whole, as with `make install`"));
    }
    let plain = |text: &&str| !text.contains(|c: char| c.is_control() || "\"'\\$#".contains(c));
    needs.to_str().filter(plain).map(str::to_owned).ok_or_else(|| {
        let message = format!("{} cannot stand in a project's file", shown(needs));
        Failure::new(message).hint("install cdist where no name has quotes, '\\', '$' or '#'")
    })
}

/// Fails unless `dir` can be made, or is there and empty.
fn is_free(dir: &Path) -> Result<(), Failure> {
    if dir.file_name().is_none() {
        let message = format!("'{}' does not end in a name; name the directory to make", shown(dir));
        return Err(Failure::usage(message));
    }
    let problem = match fs::symlink_metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => "is there and no directory",
        Ok(_) => match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
            Ok(false) => return Ok(()),
            Ok(true) => "is not empty",
            Err(error) => return Err(Failure::new(format!("reading {}: {error}", shown(dir)))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match dir.parent().filter(|above| !above.as_os_str().is_empty() && !above.exists()) {
                Some(above) => Err(Failure::new(format!("{} is missing; make it first", shown(above)))),
                None => Ok(()),
            };
        }
        Err(error) => return Err(Failure::new(format!("looking at {}: {error}", shown(dir)))),
    };
    Err(Failure::new(format!("{} {problem}", shown(dir))).hint("name another directory with --dir"))
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
        for language in [Language::Rust, Language::C, Language::Python] {
            for (file, text) in language.files() {
                for (key, _) in text.split("{{").skip(1).filter_map(|part| part.split_once("}}")) {
                    assert!(!is_key(key) || known.contains(&key), "{key} in {file}");
                }
            }
        }
    }
}
