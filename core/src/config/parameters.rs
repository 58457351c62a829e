//! Parameter values and the files that hold them.
//!
//! One file per parameter: a single value as text that ends in a newline unless it is empty; several values
//! one per line; a boolean as an empty file. What was not given and has no default has no file.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::Path,
};

use super::types::{Kind, Parameter};

/// The value of one parameter of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// One text.
    Single(Vec<u8>),
    /// One text per use of the option.
    Multiple(Vec<Vec<u8>>),
    /// A boolean that was given.
    Given,
}

impl Value {
    /// The content of the parameter file.
    pub(super) fn stored(&self) -> Vec<u8> {
        match self {
            Self::Single(text) if text.is_empty() || text.ends_with(b"\n") => text.clone(),
            Self::Single(text) => [text.as_slice(), b"\n"].concat(),
            Self::Multiple(values) => values.iter().flat_map(|v| [v.as_slice(), b"\n"].concat()).collect(),
            Self::Given => Vec::new(),
        }
    }
}

/// The parameter files of an object: name and content.
pub(super) type Stored = BTreeMap<OsString, Vec<u8>>;

/// What is stored for `given` values of a type that declares `declared`: defaults fill what was not given.
pub(super) fn with_defaults(declared: &[Parameter], given: &BTreeMap<OsString, Value>) -> Stored {
    let mut stored = Stored::new();
    for parameter in declared {
        let value = match (given.get(&parameter.name), &parameter.default) {
            (Some(value), _) => value.clone(),
            (None, None) => continue,
            (None, Some(text)) if parameter.kind == Kind::OptionalMultiple => {
                if text.is_empty() {
                    continue;
                }
                Value::Multiple(text.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect())
            }
            (None, Some(text)) => Value::Single(text.clone()),
        };
        stored.insert(parameter.name.clone(), value.stored());
    }
    stored
}

/// Reads the parameter files in `dir`; a missing directory holds none.
///
/// # Errors
///
/// Reading.
pub(super) fn read(dir: &Path) -> io::Result<Stored> {
    let mut stored = Stored::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(stored),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        stored.insert(entry.file_name(), fs::read(entry.path())?);
    }
    Ok(stored)
}

/// Replaces the parameter files in `dir`, which exists.
///
/// # Errors
///
/// Writing.
pub(super) fn write(dir: &Path, stored: &Stored) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !stored.contains_key(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    for (name, content) in stored {
        fs::write(dir.join(name), content)?;
    }
    Ok(())
}

/// The parameters in which two objects differ, as `name: value` for the first one, for a message.
pub(super) fn difference(these: &Stored, others: &Stored) -> String {
    let shown = |(name, content): (&OsString, &Vec<u8>)| {
        let text = String::from_utf8_lossy(content);
        format!("{}: {:?}", name.to_string_lossy(), text.trim_end_matches('\n'))
    };
    let differs = |name: &OsStr| these.get(name) != others.get(name);
    let parts: Vec<String> = these.iter().filter(|(name, _)| differs(name)).map(shown).collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn optional(name: &str, kind: Kind, default: Option<&str>) -> Parameter {
        Parameter { name: name.into(), kind, default: default.map(|d| d.as_bytes().to_vec()) }
    }

    #[test]
    fn newline_is_added_only_where_there_is_none() {
        let single = |v: &str| String::from_utf8(Value::Single(v.into()).stored()).unwrap();
        assert_eq!(["", "x", "x\n", "x\n\n", "\n"].map(single), ["", "x\n", "x\n", "x\n\n", "\n"]);
        let multiple = Value::Multiple(vec![b"a\nb".to_vec(), vec![], b"d\n".to_vec()]);
        assert_eq!(multiple.stored(), b"a\nb\n\nd\n\n");
    }

    #[test]
    fn an_empty_default_is_a_value_of_a_single_parameter_only() {
        let declared =
            [optional("o", Kind::Optional, Some("")), optional("m", Kind::OptionalMultiple, Some(""))];
        let stored = with_defaults(&declared, &BTreeMap::new());
        assert_eq!(stored, Stored::from([("o".into(), vec![])]));
    }

    #[test]
    fn a_default_given_as_value_is_equal() {
        let declared = [optional("m", Kind::OptionalMultiple, Some("l1\n\nl3"))];
        let values = ["l1", "", "l3"].map(|v| v.as_bytes().to_vec()).to_vec();
        let given = BTreeMap::from([("m".into(), Value::Multiple(values))]);
        assert_eq!(with_defaults(&declared, &given), with_defaults(&declared, &BTreeMap::new()));
    }

    proptest! {
        #[test]
        fn files_hold_what_was_written(first in prop::collection::vec(any::<u8>(), 0..60), second in prop::collection::vec(any::<u8>(), 0..60)) {
            let dir = tempfile::tempdir().unwrap();
            let old = Stored::from([("a".into(), first.clone()), ("b".into(), first)]);
            write(dir.path(), &old).unwrap();
            let new = Stored::from([("b".into(), Value::Single(second).stored())]);
            write(dir.path(), &new).unwrap();
            prop_assert_eq!(read(dir.path()).unwrap(), new);
        }
    }
}
