//! What the fuzz targets call: private parsers with arbitrary bytes, and what must hold of the answer.
//!
//! Not for programs: the functions panic when something does not hold.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path},
};

pub use super::target::batch::fuzzing::framed_stream;
use super::{
    declare::{
        emulator_args,
        object::{self, ObjectName},
        parameters::{Value, with_defaults},
        types::{Parameter, ParameterKind},
    },
    settings::Settings,
};

/// A type call. `data` is words that end in NUL; the first one declares parameters, a kind and a name on each
/// line, and its first byte tells whether the type is a singleton.
pub fn emulator_args(data: &[u8]) {
    let mut words = data.split(|&b| b == 0);
    let declaration = words.next().unwrap_or_default();
    let singleton = declaration.first().is_some_and(|b| b & 1 == 1);
    let declared = declared(declaration);
    let args: Vec<OsString> = words.map(|w| OsString::from_vec(w.to_vec())).collect();
    // The usage text is shown with every error.
    let _ = emulator_args::usage(OsStr::new("__t"), &declared, singleton);
    let parsed = match emulator_args::parse(&declared, singleton, &args) {
        Ok(parsed) => parsed,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(parsed.id.is_none(), singleton);
    for (name, value) in &parsed.values {
        let parameter = declared.iter().find(|p| p.name == *name);
        let kind = parameter.map(|p| p.kind);
        let fits = match value {
            Value::Given => kind == Some(ParameterKind::Boolean),
            Value::Multiple(all) => kind.is_some_and(ParameterKind::is_multiple) && !all.is_empty(),
            Value::Single(_) => matches!(kind, Some(ParameterKind::Required | ParameterKind::Optional)),
        };
        assert!(fits, "{name:?}: {value:?} for {kind:?}");
    }
    let required = declared.iter().filter(|p| p.kind.is_required());
    assert!(required.clone().all(|p| parsed.values.contains_key(&p.name)));
    assert_eq!(with_defaults(&declared, &parsed.values).len(), parsed.values.len());

    // Written in the one form that leaves nothing to guess, it says the same.
    if declared.iter().all(|p| !p.name.as_bytes().contains(&b'=')) {
        let mut words = Vec::new();
        for (name, value) in &parsed.values {
            let option = [b"--", name.as_bytes()].concat();
            match value {
                Value::Given => words.push(OsString::from_vec(option)),
                Value::Single(text) => words.push(OsString::from_vec([&option, &b"="[..], text].concat())),
                Value::Multiple(all) => words
                    .extend(all.iter().map(|text| OsString::from_vec([&option, &b"="[..], text].concat()))),
            }
        }
        words.push("--".into());
        words.extend(parsed.id.clone());
        assert_eq!(emulator_args::parse(&declared, singleton, &words), Ok(parsed));
    }
}

fn declared(text: &[u8]) -> Vec<Parameter> {
    let mut all: Vec<Parameter> = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        let Some((kind, name)) = line.split_first().filter(|(_, name)| !name.is_empty()) else { continue };
        let (kind, _) = ParameterKind::ALL[usize::from(*kind) % ParameterKind::ALL.len()];
        let name = OsStr::from_bytes(name).to_owned();
        if all.iter().all(|p| p.name != name) {
            all.push(Parameter { name, kind, default: None });
        }
    }
    all
}

/// Names of objects. `data` is type, marker and id, with a byte between that no UTF-8 has.
pub fn object_name(data: &[u8]) {
    let _ = object::names_in(data);
    let mut parts = data.splitn(3, |&b| b == 0xff).map(OsStr::from_bytes);
    let mut part = || parts.next().unwrap_or_default();
    let (type_name, marker, id) = (part(), part(), part());
    // Types and markers are names of directories, and no run has another kind.
    let is_name = |name: &OsStr| {
        let mut components = Path::new(name).components();
        let one = matches!(components.next(), Some(Component::Normal(part)) if part == name);
        one && components.next().is_none() && !name.as_bytes().contains(&0)
    };
    if !is_name(type_name) || !is_name(marker) {
        return;
    }
    for singleton in [false, true] {
        let name = match ObjectName::new(type_name, id, singleton, marker) {
            Ok(name) => name,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        assert_eq!(name.id().is_empty(), singleton);
        assert_eq!(ObjectName::parse(&name.full()), name);
        assert_eq!(ObjectName::new(type_name, name.id(), singleton, marker).as_ref(), Ok(&name));
        assert_eq!(object::split(&name.full()), (type_name, name.id()));

        let mut list = name.full().into_vec();
        list.extend_from_slice(b"\0half a na");
        assert_eq!(object::names_in(&list), std::slice::from_ref(&name));

        // Inside the type's directory, and the marker ends the path: no object is inside another's files.
        let dir = name.dir(marker);
        let parts: Vec<Component<'_>> = dir.components().collect();
        assert!(parts.iter().all(|c| matches!(c, Component::Normal(_))), "{dir:?}");
        assert!(dir.starts_with(Path::new("object").join(type_name)), "{dir:?}");
        let inner = Path::new(name.id());
        assert!(inner.components().all(|c| c.as_os_str() != marker), "{dir:?}");
        assert!(!dir.as_os_str().as_bytes().contains(&0));
    }
}

/// A configuration file.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(settings) = Settings::parse(&text) else { return };
    assert_eq!(settings.clone().overlaid(Settings::default()), settings, "nothing was said on top");
    assert_eq!(Settings::default().overlaid(settings.clone()), settings, "there was nothing below");

    // Every key stands for itself, so their order says nothing.
    let is_section = |line: &str| line.trim().starts_with('[') && line.trim().ends_with(']');
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_section(line)).collect();
    lines.reverse();
    let turned = format!("# c\r\n[GLOBAL]\r\n{}", lines.join("\r\n"));
    assert_eq!(Settings::parse(&turned).expect("the same lines in another order"), settings);
}
