//! A type: one directory `type/<name>` of the merged configuration.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// What kind of parameter a type declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// One value, must be given.
    Required,
    /// One or more values.
    RequiredMultiple,
    /// One value or none.
    Optional,
    /// Any number of values.
    OptionalMultiple,
    /// Given or not.
    Boolean,
}

impl ParameterKind {
    /// In the order in which a usage message lists them, with the file that declares them.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Required, "required"),
        (Self::RequiredMultiple, "required_multiple"),
        (Self::Optional, "optional"),
        (Self::OptionalMultiple, "optional_multiple"),
        (Self::Boolean, "boolean"),
    ];

    /// True if the parameter must be given.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Required | Self::RequiredMultiple)
    }

    /// True if every value counts, not only the last one.
    pub fn is_multiple(self) -> bool {
        matches!(self, Self::RequiredMultiple | Self::OptionalMultiple)
    }
}

/// A parameter that a type declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name without dashes.
    pub name: OsString,
    /// Kind.
    pub kind: ParameterKind,
    /// Default, stripped of white space at both ends; for kinds that may have one.
    pub default: Option<Vec<u8>>,
}

/// A type. What is not needed for a type call is read from its directory when it is asked for.
#[derive(Clone, Debug)]
pub struct Type {
    /// Name, such as `__file`.
    pub name: OsString,
    /// Directory, inside the merged configuration.
    pub dir: PathBuf,
}

impl Type {
    /// The type `name` below `types`, the merged `type` directory; `None` if there is none.
    pub fn find(types: &Path, name: &OsStr) -> Option<Self> {
        let plain =
            !name.is_empty() && !name.as_bytes().contains(&b'/') && !name.as_bytes().starts_with(b".");
        let dir = types.join(name);
        (plain && dir.is_dir()).then(|| Self { name: name.to_owned(), dir })
    }

    /// True if there is one object of it at most, without id.
    pub fn is_singleton(&self) -> bool {
        self.dir.join("singleton").is_file()
    }

    /// True if its objects are for `cdist install` only.
    pub fn is_install(&self) -> bool {
        self.dir.join("install").is_file()
    }

    /// True if no two of its objects may run at the same time.
    pub fn is_nonparallel(&self) -> bool {
        self.dir.join("nonparallel").is_file()
    }

    /// True if code of its objects may end the connection: a reboot, a restart of sshd or of the network.
    pub(in crate::config) fn disconnects(&self) -> bool {
        self.dir.join("disconnects").is_file()
    }

    /// The text of a deprecated type, as it is in the file.
    pub fn deprecated(&self) -> Option<Vec<u8>> {
        fs::read(self.dir.join("deprecated")).ok()
    }

    /// The text of a deprecated parameter, stripped.
    pub fn parameter_deprecated(&self, name: &OsStr) -> Option<Vec<u8>> {
        fs::read(self.dir.join("parameter/deprecated").join(name)).ok().map(|text| strip(&text).to_vec())
    }

    /// The script `name` (`manifest`, `gencode-local`, `gencode-remote`), if it is there.
    pub(in crate::config) fn script(&self, name: &str) -> Option<PathBuf> {
        let path = self.dir.join(name);
        path.is_file().then_some(path)
    }

    /// The names of its explorers, sorted. A directory is none: a shell that is told to run one says that all is well.
    pub fn explorers(&self) -> Vec<OsString> {
        let dir = self.dir.join("explorer");
        let mut names = visible_entries(&dir).unwrap_or_default();
        names.retain(|name| !dir.join(name).is_dir());
        names
    }

    /// All parameters it declares. A missing file declares none.
    pub fn parameters(&self) -> Vec<Parameter> {
        let dir = self.dir.join("parameter");
        let mut all: Vec<Parameter> = Vec::new();
        for (kind, file) in ParameterKind::ALL {
            let Ok(text) = fs::read(dir.join(file)) else { continue };
            for name in text.split(|&b| b == b'\n').map(strip).filter(|n| !n.is_empty()) {
                let name = OsStr::from_bytes(name).to_owned();
                if all.iter().any(|p| p.name == name) {
                    continue;
                }
                let default = match kind {
                    ParameterKind::Optional | ParameterKind::OptionalMultiple => {
                        fs::read(dir.join("default").join(&name)).ok()
                    }
                    _ => None,
                };
                all.push(Parameter { name, kind, default: default.map(|d| strip(&d).to_vec()) });
            }
        }
        all
    }
}

/// The entries of a directory that do not begin with a dot, sorted.
pub(in crate::config) fn visible_entries(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// `text` without white space at both ends.
pub(in crate::config) fn strip(text: &[u8]) -> &[u8] {
    let white = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let Some(start) = text.iter().position(|b| !white(b)) else { return &[] };
    let end = text.iter().rposition(|b| !white(b)).map_or(start, |i| i + 1);
    text.get(start..end).unwrap_or_default()
}

/// The lines of a file that holds a name per line, without empty ones; nothing if it is not there.
pub(in crate::config) fn lines_of(path: &Path) -> Vec<OsString> {
    let Ok(text) = fs::read(path) else { return Vec::new() };
    text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).map(|l| OsString::from_vec(l.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Type) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("__t");
        for (name, text) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        (dir, Type { name: "__t".into(), dir: path })
    }

    #[test]
    fn names_are_stripped_and_blank_lines_skipped() {
        let (_dir, kind) = type_with(&[("parameter/required", " a \n\nb"), ("parameter/boolean", "flag\n")]);
        let names: Vec<_> = kind.parameters().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["a", "b", "flag"]);
    }

    #[test]
    fn defaults_count_for_optional_parameters_only() {
        let (_dir, kind) = type_with(&[
            ("parameter/required", "r"),
            ("parameter/optional", "o"),
            ("parameter/default/r", "x"),
            ("parameter/default/o", "\n v \n\n"),
        ]);
        let defaults: Vec<_> = kind.parameters().into_iter().map(|p| p.default).collect();
        assert_eq!(defaults, [None, Some(b"v".to_vec())]);
    }

    #[test]
    fn a_type_name_is_one_visible_directory_name() {
        let (dir, _) = type_with(&[("manifest", "")]);
        assert!(Type::find(dir.path(), OsStr::new("__t")).is_some());
        for name in ["", ".", "..", "__t/", "__none"] {
            assert!(Type::find(dir.path(), OsStr::new(name)).is_none(), "{name}");
        }
    }
}
