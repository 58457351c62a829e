//! Objects: their names, and where their files are.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The longest file name of Linux file systems.
const NAME_MAX: usize = 255;

/// Why a word is no object id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Two slashes in a row.
    #[error("object_id may not contain //: {0}")]
    DoubleSlash(String),
    /// Just `.` or `/`.
    #[error("object_id may not be a {0}: {0}")]
    NoName(String),
    /// A component that would lead out of the object's own directory.
    #[error("object_id may not contain the path component '{component}': {id}")]
    DotComponent {
        /// `.` or `..`.
        component: String,
        /// The whole id.
        id: String,
    },
    /// A component that equals the marker of the run.
    #[error("object_id may not contain '{marker}': {id}")]
    Marker {
        /// Name of the leaf directories of this run.
        marker: String,
        /// The whole id.
        id: String,
    },
    /// No id for a type that needs one.
    #[error("Type {0} requires object id (is not a singleton type)")]
    Missing(String),
    /// An id for a singleton.
    #[error("Illegal object id: singleton objects can't have an object_id")]
    Singleton,
    /// A component that no file system takes.
    #[error("object_id has a part longer than {NAME_MAX} bytes: {0}")]
    TooLong(String),
    /// A NUL byte, which no path can hold.
    #[error("object_id may not contain a NUL byte: {0}")]
    Nul(String),
}

/// Type and id of an object. The id of a singleton is empty, and its name ends in a slash: `__motd/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    type_name: OsString,
    id: OsString,
}

impl ObjectName {
    /// Checks an id and removes one slash at each end.
    ///
    /// # Errors
    ///
    /// The rule that `id` breaks.
    pub fn new(type_name: &OsStr, id: &OsStr, singleton: bool, marker: &OsStr) -> Result<Self, IdError> {
        let text = || id.to_string_lossy().into_owned();
        let bytes = id.as_bytes();
        let parts = || bytes.split(|&b| b == b'/');
        if singleton && !bytes.is_empty() {
            return Err(IdError::Singleton);
        }
        if !marker.is_empty() && parts().any(|p| p == marker.as_bytes()) {
            return Err(IdError::Marker { marker: marker.to_string_lossy().into_owned(), id: text() });
        }
        if bytes.windows(2).any(|w| w == b"//") {
            return Err(IdError::DoubleSlash(text()));
        }
        if bytes == b"." || bytes == b"/" {
            return Err(IdError::NoName(text()));
        }
        if bytes.is_empty() && !singleton {
            return Err(IdError::Missing(type_name.to_string_lossy().into_owned()));
        }
        if bytes.contains(&0) {
            return Err(IdError::Nul(text()));
        }
        if let Some(part) = parts().find(|p| *p == b"." || *p == b"..") {
            let component = String::from_utf8_lossy(part).into_owned();
            return Err(IdError::DotComponent { component, id: text() });
        }
        if parts().any(|p| p.len() > NAME_MAX) {
            return Err(IdError::TooLong(text()));
        }
        let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        Ok(Self { type_name: type_name.to_owned(), id: OsStr::from_bytes(bytes).to_owned() })
    }

    /// Splits a name that the engine has written itself.
    pub fn parse(name: &OsStr) -> Self {
        let (type_name, id) = split(name);
        Self { type_name: type_name.to_owned(), id: id.to_owned() }
    }

    /// Type, such as `__file`.
    pub fn type_name(&self) -> &OsStr {
        &self.type_name
    }

    /// Id, empty for a singleton.
    pub fn id(&self) -> &OsStr {
        &self.id
    }

    /// `type/id`; a singleton's ends in a slash.
    pub fn full(&self) -> OsString {
        let mut name = self.type_name.clone();
        name.push("/");
        name.push(&self.id);
        name
    }

    /// The object's directory, relative to the directory that holds `object/`.
    pub fn dir(&self, marker: &OsStr) -> PathBuf {
        Path::new("object").join(&self.type_name).join(&self.id).join(marker)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full().to_string_lossy())
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.full())
    }
}

/// Type and rest of a name as users write it in `require`; the rest is empty when there is no slash.
pub(in crate::config) fn split(name: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = name.as_bytes();
    match bytes.iter().position(|&b| b == b'/') {
        Some(at) => (
            OsStr::from_bytes(bytes.get(..at).unwrap_or_default()),
            OsStr::from_bytes(bytes.get(at + 1..).unwrap_or_default()),
        ),
        None => (name, OsStr::new("")),
    }
}

/// The names in a list whose entries end in NUL; the engine's own list of objects in creation order is one.
pub(in crate::config) fn names_in(list: &[u8]) -> Vec<ObjectName> {
    let mut names: Vec<&[u8]> = list.split(|&b| b == 0).collect();
    // What follows the last NUL is empty, or half a name of a process that was killed.
    names.pop();
    names.into_iter().map(|n| ObjectName::parse(&OsString::from_vec(n.to_vec()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(id: &str) -> Result<String, IdError> {
        ObjectName::new(OsStr::new("__t"), OsStr::new(id), false, OsStr::new(".cdist-abc"))
            .map(|n| n.id().to_string_lossy().into_owned())
    }

    #[test]
    fn one_slash_at_each_end_goes() {
        assert_eq!(id("/etc/foo/").unwrap(), "etc/foo");
        assert_eq!(id("a b/'$\n").unwrap(), "a b/'$\n");
        assert_eq!(id("x.cdist-abc").unwrap(), "x.cdist-abc");
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(id("a//b"), Err(IdError::DoubleSlash("a//b".into())));
        assert_eq!(id("/").unwrap_err().to_string(), "object_id may not be a /: /");
        assert_eq!(id("."), Err(IdError::NoName(".".into())));
        assert!(matches!(id("a/../b"), Err(IdError::DotComponent { .. })));
        assert!(matches!(id("a/.cdist-abc"), Err(IdError::Marker { .. })));
        assert!(matches!(id(""), Err(IdError::Missing(_))));
        assert!(matches!(id(&"x".repeat(300)), Err(IdError::TooLong(_))));
    }

    #[test]
    fn a_singleton_has_a_slash_at_the_end_of_its_name() {
        let name = ObjectName::new(OsStr::new("__s"), OsStr::new(""), true, OsStr::new("")).unwrap();
        assert_eq!(name.full(), "__s/");
        assert_eq!(ObjectName::parse(&name.full()), name);
        assert_eq!(name.dir(OsStr::new(".m")), Path::new("object/__s/.m"));
    }

    proptest! {
        #[test]
        fn an_accepted_id_stays_inside_the_type_directory(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let id = OsString::from_vec(bytes);
            if let Ok(name) = ObjectName::new(OsStr::new("__t"), &id, false, OsStr::new(".m")) {
                prop_assert!(name.dir(OsStr::new(".m")).starts_with("object/__t"));
                prop_assert!(name.dir(OsStr::new(".m")).components().all(|c| c.as_os_str() != ".."));
                prop_assert_eq!(ObjectName::parse(&name.full()), name);
            }
        }
    }
}
