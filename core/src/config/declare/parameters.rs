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

use super::types::{Parameter, ParameterKind};

/// The value of one parameter of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Value {
    /// One text.
    Single(Vec<u8>),
    /// One text per use of the option.
    Multiple(Vec<Vec<u8>>),
    /// A boolean that was given.
    Given,
}

impl Value {
    /// The content of the parameter file.
    pub(in crate::config) fn stored(&self) -> Vec<u8> {
        match self {
            Self::Single(text) if text.is_empty() || text.ends_with(b"\n") => text.clone(),
            Self::Single(text) => [text.as_slice(), b"\n"].concat(),
            Self::Multiple(values) => values.iter().flat_map(|v| [v.as_slice(), b"\n"].concat()).collect(),
            Self::Given => Vec::new(),
        }
    }
}

/// The parameter files of an object: name and content.
pub(in crate::config) type Stored = BTreeMap<OsString, Vec<u8>>;

/// What is stored for `given` values of a type that declares `declared`: defaults fill what was not given.
pub(in crate::config) fn with_defaults(declared: &[Parameter], given: &BTreeMap<OsString, Value>) -> Stored {
    let mut stored = Stored::new();
    for parameter in declared {
        let value = match (given.get(&parameter.name), &parameter.default) {
            (Some(value), _) => value.clone(),
            (None, None) => continue,
            (None, Some(text)) if parameter.kind == ParameterKind::OptionalMultiple => {
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
/// A parameter file or the directory cannot be read.
pub(in crate::config) fn read(dir: &Path) -> io::Result<Stored> {
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
/// A parameter file cannot be removed or written.
pub(in crate::config) fn write(dir: &Path, stored: &Stored) -> io::Result<()> {
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
pub(in crate::config) fn difference(these: &Stored, others: &Stored) -> String {
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
    use crate::config::declare::types::strip;
    use proptest::prelude::*;

    fn optional(name: &str, kind: ParameterKind, default: Option<&str>) -> Parameter {
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
        let declared = [
            optional("o", ParameterKind::Optional, Some("")),
            optional("m", ParameterKind::OptionalMultiple, Some("")),
        ];
        let stored = with_defaults(&declared, &BTreeMap::new());
        assert_eq!(stored, Stored::from([("o".into(), vec![])]));
    }

    #[test]
    fn a_default_given_as_value_is_equal() {
        let declared = [optional("m", ParameterKind::OptionalMultiple, Some("l1\n\nl3"))];
        let values = ["l1", "", "l3"].map(|v| v.as_bytes().to_vec()).to_vec();
        let given = BTreeMap::from([("m".into(), Value::Multiple(values))]);
        assert_eq!(with_defaults(&declared, &given), with_defaults(&declared, &BTreeMap::new()));
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![prop::collection::vec(any::<u8>(), 0..60), "[a\n ]{0,6}".prop_map(String::into_bytes)]
    }

    /// Parameters as types declare them, and values as type calls give them.
    fn object() -> impl Strategy<Value = (Vec<Parameter>, BTreeMap<OsString, Value>)> {
        let kind = prop::sample::select(ParameterKind::ALL.map(|(kind, _)| kind).to_vec());
        let default = prop::option::of("[a-c\n]{0,4}".prop_map(String::into_bytes));
        let one = (kind, default, prop::collection::vec(text(), 1..4), any::<bool>());
        prop::collection::btree_map("[a-z][a-z0-9_-]{0,5}", one, 0..6).prop_map(|all| {
            let mut declared = Vec::new();
            let mut given = BTreeMap::new();
            for (name, (kind, default, mut values, is_given)) in all {
                let may_have_default =
                    matches!(kind, ParameterKind::Optional | ParameterKind::OptionalMultiple);
                let default = default.filter(|_| may_have_default).map(|d| strip(&d).to_vec());
                declared.push(Parameter { name: name.clone().into(), kind, default });
                if is_given || kind.is_required() {
                    let value = match kind {
                        ParameterKind::Boolean => Value::Given,
                        kind if kind.is_multiple() => Value::Multiple(values),
                        _ => Value::Single(values.swap_remove(0)),
                    };
                    given.insert(name.into(), value);
                }
            }
            (declared, given)
        })
    }

    proptest! {
        #[test]
        fn files_hold_what_was_written(first in text(), second in text()) {
            let dir = tempfile::tempdir().unwrap();
            let old = Stored::from([("a".into(), first.clone()), ("b".into(), first)]);
            write(dir.path(), &old).unwrap();
            let new = Stored::from([("b".into(), Value::Single(second).stored())]);
            write(dir.path(), &new).unwrap();
            prop_assert_eq!(read(dir.path()).unwrap(), new);
        }

        /// The files of an object are those of the same call once more; and of one that spells its defaults out.
        #[test]
        fn an_equal_call_is_equal_to_the_files((declared, given) in object()) {
            let dir = tempfile::tempdir().unwrap();
            let stored = with_defaults(&declared, &given);
            write(dir.path(), &stored).unwrap();
            let found = read(dir.path()).unwrap();
            prop_assert_eq!(&found, &stored);
            prop_assert_eq!(&with_defaults(&declared, &given), &found);
            prop_assert_eq!(difference(&found, &stored), "{}");

            let mut spelled = given.clone();
            for parameter in declared.iter().filter(|p| !given.contains_key(&p.name)) {
                match (&parameter.default, parameter.kind) {
                    (Some(text), ParameterKind::Optional) => {
                        spelled.insert(parameter.name.clone(), Value::Single(text.clone()));
                    }
                    (Some(text), ParameterKind::OptionalMultiple) if !text.is_empty() => {
                        let values = text.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
                        spelled.insert(parameter.name.clone(), Value::Multiple(values));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(&with_defaults(&declared, &spelled), &found);
        }

        /// A newline at the end of a value says nothing: `"$(cat file)"` drops it, a here document has it.
        #[test]
        fn a_value_with_its_newline_is_equal((declared, given) in object()) {
            let with_newline = given.iter().map(|(name, value)| match value {
                Value::Single(text) if !text.is_empty() && !text.ends_with(b"\n") => {
                    (name.clone(), Value::Single([text.as_slice(), b"\n"].concat()))
                }
                other => (name.clone(), other.clone()),
            }).collect();
            prop_assert_eq!(with_defaults(&declared, &with_newline), with_defaults(&declared, &given));
        }

        /// A call that says something else is not equal, and the message names what differs and nothing else.
        #[test]
        fn another_value_is_a_conflict_that_is_named((declared, mut given) in object(), value in "[A-Z]{7}", at: prop::sample::Index) {
            let values: Vec<&Parameter> = declared.iter().filter(|p| p.kind != ParameterKind::Boolean).collect();
            prop_assume!(!values.is_empty());
            let parameter = *at.get(&values);
            let stored = with_defaults(&declared, &given);
            let value = value.into_bytes();
            let other = if parameter.kind.is_multiple() { Value::Multiple(vec![value.clone()]) } else { Value::Single(value.clone()) };
            given.insert(parameter.name.clone(), other);
            let changed = with_defaults(&declared, &given);
            prop_assert_ne!(&changed, &stored);
            let shown = format!("{{{}: {:?}}}", parameter.name.to_string_lossy(), String::from_utf8(value).unwrap());
            prop_assert_eq!(difference(&changed, &stored), shown);
        }
    }
}
