//! The argument grammar of a type call: `__type [--option value]... object_id`.
//!
//! It is the grammar that manifests in the wild were written against: Python's argparse with one option per
//! parameter, unique prefixes, `--name=value`, options and id in any order.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use super::{
    parameters::Value,
    types::{Parameter, ParameterKind},
};

/// What a type call says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Parsed {
    /// The values given, by parameter name.
    pub values: BTreeMap<OsString, Value>,
    /// The object id as given; `None` for a singleton.
    pub id: Option<OsString>,
}

/// What is wrong with a type call.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A prefix of several options.
    #[error("ambiguous option: {given} could match {}", .matches.join(", "))]
    Ambiguous {
        /// As given.
        given: String,
        /// All options that it could mean.
        matches: Vec<String>,
    },
    /// An option at the end, or before another option.
    #[error("argument --{0}: expected one argument")]
    ValueMissing(String),
    /// A value for a boolean.
    #[error("argument --{option}: ignored explicit argument '{value}'")]
    ValueForBoolean {
        /// Its name.
        option: String,
        /// The value.
        value: String,
    },
    /// Required parameters or the id are missing.
    #[error("the following arguments are required: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// Unknown options or more words than the id.
    #[error("unrecognized arguments: {}", .0.join(" "))]
    Unrecognized(Vec<String>),
}

/// How a word is read before its place is known.
enum Word<'a> {
    /// A value or an id.
    Plain(&'a OsStr),
    /// A declared option, with the value after `=`.
    Option(&'a Parameter, Option<&'a [u8]>),
    /// It looks like an option and is none.
    Unknown(&'a OsStr),
    /// The first `--`.
    EndOfOptions,
}

/// Reads the words of a type call.
///
/// # Errors
///
/// The first thing that the grammar does not allow.
pub(in crate::config) fn parse(
    parameters: &[Parameter],
    singleton: bool,
    args: &[OsString],
) -> Result<Parsed, ArgsError> {
    let words = classify(parameters, args)?;
    let mut parsed = Parsed::default();
    let mut extra: Vec<String> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        match word {
            Word::EndOfOptions => {}
            Word::Plain(id) if !singleton && parsed.id.is_none() => parsed.id = Some(id.to_owned()),
            Word::Plain(word) | Word::Unknown(word) => extra.push(word.to_string_lossy().into_owned()),
            Word::Option(parameter, explicit) => {
                let option = || parameter.name.to_string_lossy().into_owned();
                let value = match (parameter.kind, explicit) {
                    (ParameterKind::Boolean, None) => {
                        parsed.values.insert(parameter.name.clone(), Value::Given);
                        continue;
                    }
                    (ParameterKind::Boolean, Some(value)) => {
                        let value = String::from_utf8_lossy(value).into_owned();
                        return Err(ArgsError::ValueForBoolean { option: option(), value });
                    }
                    (_, Some(value)) => value.to_vec(),
                    (_, None) => match words.next_if(|w| matches!(w, Word::Plain(_))) {
                        Some(Word::Plain(value)) => value.as_bytes().to_vec(),
                        _ => return Err(ArgsError::ValueMissing(option())),
                    },
                };
                add(&mut parsed.values, parameter, value);
            }
        }
    }
    let mut missing: Vec<String> = parameters
        .iter()
        .filter(|p| p.kind.is_required() && !parsed.values.contains_key(&p.name))
        .map(|p| format!("--{}", p.name.to_string_lossy()))
        .collect();
    if !singleton && parsed.id.is_none() {
        missing.push("object_id".to_owned());
    }
    if !missing.is_empty() {
        return Err(ArgsError::Missing(missing));
    }
    if extra.is_empty() { Ok(parsed) } else { Err(ArgsError::Unrecognized(extra)) }
}

fn add(values: &mut BTreeMap<OsString, Value>, parameter: &Parameter, value: Vec<u8>) {
    if !parameter.kind.is_multiple() {
        values.insert(parameter.name.clone(), Value::Single(value));
        return;
    }
    match values.get_mut(&parameter.name) {
        Some(Value::Multiple(all)) => all.push(value),
        _ => {
            values.insert(parameter.name.clone(), Value::Multiple(vec![value]));
        }
    }
}

fn classify<'a>(parameters: &'a [Parameter], args: &'a [OsString]) -> Result<Vec<Word<'a>>, ArgsError> {
    let mut words = Vec::with_capacity(args.len());
    let mut only_plain = false;
    for arg in args {
        words.push(if only_plain {
            Word::Plain(arg)
        } else if arg == "--" {
            only_plain = true;
            Word::EndOfOptions
        } else {
            classify_word(parameters, arg)?
        });
    }
    Ok(words)
}

fn classify_word<'a>(parameters: &'a [Parameter], arg: &'a OsStr) -> Result<Word<'a>, ArgsError> {
    let bytes = arg.as_bytes();
    if !bytes.starts_with(b"-") || bytes == b"-" {
        return Ok(Word::Plain(arg));
    }
    if let Some(long) = bytes.strip_prefix(b"--") {
        let exact = |name: &[u8]| parameters.iter().find(|p| p.name.as_bytes() == name);
        if let Some(parameter) = exact(long) {
            return Ok(Word::Option(parameter, None));
        }
        let (name, value) = match long.iter().position(|&b| b == b'=') {
            Some(at) => (long.get(..at).unwrap_or_default(), long.get(at + 1..)),
            None => (long, None),
        };
        if let Some(parameter) = exact(name).filter(|_| value.is_some()) {
            return Ok(Word::Option(parameter, value));
        }
        let matches: Vec<&Parameter> =
            parameters.iter().filter(|p| p.name.as_bytes().starts_with(name)).collect();
        match matches.as_slice() {
            [] => {}
            [parameter] => return Ok(Word::Option(parameter, value)),
            several => {
                let matches = several.iter().map(|p| format!("--{}", p.name.to_string_lossy())).collect();
                return Err(ArgsError::Ambiguous { given: arg.to_string_lossy().into_owned(), matches });
            }
        }
    }
    let plain = is_negative_number(bytes) || bytes.contains(&b' ');
    Ok(if plain { Word::Plain(arg) } else { Word::Unknown(arg) })
}

/// `-1`, `-1.5`, `-.5`
fn is_negative_number(bytes: &[u8]) -> bool {
    let Some(number) = bytes.strip_prefix(b"-") else { return false };
    // A final newline is overlooked by the pattern of the original.
    let number = number.strip_suffix(b"\n").unwrap_or(number);
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    match number.iter().position(|&b| b == b'.') {
        None => !number.is_empty() && digits(number),
        Some(at) => {
            let (whole, fraction) = number.split_at(at);
            digits(whole) && fraction.len() > 1 && digits(fraction.get(1..).unwrap_or_default())
        }
    }
}

/// `usage: __t --req REQ [--opt OPT] [--flag] object_id`
pub(in crate::config) fn usage(type_name: &OsStr, parameters: &[Parameter], singleton: bool) -> String {
    let mut usage = format!("usage: {}", type_name.to_string_lossy());
    for parameter in parameters {
        let name = parameter.name.to_string_lossy();
        let value = OsString::from_vec(parameter.name.as_bytes().to_ascii_uppercase());
        let value = value.to_string_lossy();
        let text = match parameter.kind {
            ParameterKind::Boolean => format!(" [--{name}]"),
            kind if kind.is_required() => format!(" --{name} {value}"),
            _ => format!(" [--{name} {value}]"),
        };
        usage.push_str(&text);
    }
    if !singleton {
        usage.push_str(" object_id");
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parameters() -> Vec<Parameter> {
        [
            ("req", ParameterKind::Required),
            ("rm", ParameterKind::RequiredMultiple),
            ("opt", ParameterKind::Optional),
            ("option", ParameterKind::Optional),
            ("om", ParameterKind::OptionalMultiple),
            ("flag", ParameterKind::Boolean),
        ]
        .into_iter()
        .map(|(name, kind)| Parameter { name: name.into(), kind, default: None })
        .collect()
    }

    /// Parses with the required parameters already given; shows values as `name=stored` and the id as `@id`.
    fn run(words: &[&str]) -> Result<Vec<String>, String> {
        let mut args: Vec<OsString> = ["--req=r", "--rm=m"].map(Into::into).to_vec();
        args.extend(words.iter().map(Into::into));
        let parsed = parse(&parameters(), false, &args).map_err(|e| e.to_string())?;
        let mut shown: Vec<String> = parsed
            .values
            .iter()
            .filter(|(name, _)| *name != "req" && *name != "rm")
            .map(|(name, value)| {
                format!("{}={}", name.to_string_lossy(), String::from_utf8_lossy(&value.stored()).trim_end())
            })
            .collect();
        shown.push(format!("@{}", parsed.id.unwrap().to_string_lossy()));
        Ok(shown)
    }

    #[test]
    fn accepted() {
        for (words, expected) in [
            (&["id"][..], &["@id"][..]),
            (&["--opt", "v", "id"], &["opt=v", "@id"]),
            (&["id", "--opt=v=w"], &["opt=v=w", "@id"]),
            (&["id", "--opt", "a", "--opt", "b"], &["opt=b", "@id"]),
            (&["id", "--om", "a", "--om", "b"], &["om=a\nb", "@id"]),
            (&["id", "--fl"], &["flag=", "@id"]),
            (&["--fla", "id", "--flag"], &["flag=", "@id"]),
            (&["id", "--opti", "x"], &["option=x", "@id"]),
            (&["id", "--opt", "-"], &["opt=-", "@id"]),
            (&["id", "--opt", "-1.5"], &["opt=-1.5", "@id"]),
            (&["id", "--opt", "-x y"], &["opt=-x y", "@id"]),
            (&["id", "--opt=--foo"], &["opt=--foo", "@id"]),
            (&["id", "--opt", ""], &["opt=", "@id"]),
            (&["-5"], &["@-5"]),
            (&["--", "-id"], &["@-id"]),
            (&["--flag", "--", "--flag"], &["flag=", "@--flag"]),
            (&[""], &["@"]),
        ] {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(run(words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn refused() {
        for (words, expected) in [
            (&[][..], "the following arguments are required: object_id"),
            (&["id", "more"], "unrecognized arguments: more"),
            (&["id", "--nope", "--opt", "x"], "unrecognized arguments: --nope"),
            (&["-id"], "the following arguments are required: object_id"),
            (&["id", "-x"], "unrecognized arguments: -x"),
            (&["id", "--opt"], "argument --opt: expected one argument"),
            (&["id", "--opt", "--flag"], "argument --opt: expected one argument"),
            (&["id", "--opt", "--", "x"], "argument --opt: expected one argument"),
            (&["id", "--flag=1"], "argument --flag: ignored explicit argument '1'"),
            (&["id", "--op", "x"], "ambiguous option: --op could match --opt, --option"),
        ] {
            assert_eq!(run(words), Err(expected.to_owned()), "{words:?}");
        }
        let error = parse(&parameters(), true, &["x".into()]).unwrap_err();
        assert_eq!(error.to_string(), "the following arguments are required: --req, --rm");
    }

    proptest! {
        /// Whatever bytes come, the answer is a value or an error.
        #[test]
        fn no_panic_on_any_words(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..8), singleton: bool) {
            let args: Vec<OsString> = args.into_iter().map(OsString::from_vec).collect();
            let _ = parse(&parameters(), singleton, &args);
        }

        /// Words of the grammar itself reach more of it than random bytes.
        #[test]
        fn no_panic_on_likely_words(args in prop::collection::vec("(-{0,3})(req|rm|o|opt|option|om|f|flag|1|x|)((=)(a b|-|))?", 0..8)) {
            let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
            let _ = parse(&parameters(), false, &args);
        }

        /// Any value arrives unchanged after `=`, whatever stands around it.
        #[test]
        fn values_arrive_unchanged(value in prop::collection::vec(any::<u8>(), 0..40), id_first: bool) {
            let option = OsString::from_vec([b"--opt=", value.as_slice()].concat());
            let mut args: Vec<OsString> = vec!["--req=r".into(), "--rm=m".into(), option, "id".into()];
            if id_first { args.rotate_right(1); }
            let parsed = parse(&parameters(), false, &args).unwrap();
            prop_assert_eq!(parsed.values.get(OsStr::new("opt")), Some(&Value::Single(value)));
        }
    }
}
