//! What scripts use: parameters, explorers and variables that are not there, and those that are not used.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    Findings,
    declared::Declared,
    scripts::{Role, Script},
};

/// What is set on this machine only.
const NOT_ON_TARGET: [&str; 10] = [
    "__global",
    "__files",
    "__manifest",
    "__type",
    "__messages_in",
    "__messages_out",
    "__cdist_manifest",
    "__cdist_type_base_path",
    "__remote_exec",
    "__remote_copy",
];
/// What only explorers have.
const OF_EXPLORERS: [&str; 3] = ["__explorer", "__type_explorer", "__object_fq"];

pub(super) fn check(dir: &Path, declared: &Declared, scripts: &[Script], findings: &mut Findings) {
    let explorers: BTreeSet<String> = scripts
        .iter()
        .filter(|script| script.role == Role::Explorer)
        .filter_map(|script| Some(script.path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let singleton = dir.join("singleton").is_file();
    // A manifest may add files to the parameters for its gencode.
    let made: BTreeSet<String> =
        scripts.iter().flat_map(|script| written_to(&script.text, "__object/parameter/")).collect();
    for script in scripts {
        let code = without_comments(&script.text);
        for name in named_after(&code, "__object/parameter/") {
            if !declared.contains_key(&name) && !made.contains(&name) {
                findings.error(
                    &script.path,
                    format!("reads the parameter '{name}', which is not declared; declare it in parameter/"),
                );
            }
        }
        for name in named_after(&code, "__object/explorer/") {
            if script.role == Role::Explorer {
                findings.error(&script.path, format!("reads the result of the explorer '{name}', which is not on the target; call \"$__type_explorer/{name}\""));
            } else if !explorers.contains(&name) {
                findings.error(
                    &script.path,
                    format!("reads the explorer '{name}', which the type does not have; add explorer/{name}"),
                );
            }
        }
        check_variables(script, &code, singleton, findings);
    }
    check_unused(dir, declared, &explorers, scripts, findings);
}

fn check_variables(script: &Script, code: &str, singleton: bool, findings: &mut Findings) {
    let used = variables(code);
    if singleton && used.contains("__object_id") {
        findings.warning(&script.path, "uses $__object_id, which is empty because the type is a singleton; remove 'singleton' or take a parameter");
    }
    let (missing, place): (&[&str], _) = match script.role {
        Role::Explorer => {
            (&NOT_ON_TARGET, "on the target; only the parameters and $__type_explorer are there")
        }
        Role::Manifest => (
            &OF_EXPLORERS,
            "in the manifest of a type; the results of global explorers are in $__global/explorer",
        ),
        Role::Gencode => {
            (&OF_EXPLORERS, "in gencode; the results of global explorers are in $__global/explorer")
        }
    };
    for name in missing.iter().filter(|name| used.contains(**name)) {
        findings.error(&script.path, format!("uses ${name}, which is not set {place}"));
    }
}

/// Explorers and parameters that no script names. Where a script walks over all of them, nothing is said.
fn check_unused(
    dir: &Path,
    declared: &Declared,
    explorers: &BTreeSet<String>,
    scripts: &[Script],
    findings: &mut Findings,
) {
    let mut text = String::new();
    for script in scripts {
        text.push_str(&script.text);
    }
    read_all(&dir.join("files"), 0, &mut text);
    if !names_all(&text, "__object/explorer") {
        for name in explorers.iter().filter(|name| !has_word(&text, name)) {
            let path = dir.join("explorer").join(name);
            findings.warning(
                &path,
                "is never read, but costs a run on the target for every object; use it or remove it",
            );
        }
    }
    if !names_all(&text, "__object/parameter") {
        for name in declared.keys().filter(|name| !has_word(&text, name)) {
            findings.warning(
                &dir.join("parameter"),
                format!("declares '{name}', which no script reads; use it or remove it"),
            );
        }
    }
}

/// More than any script; what is larger is data.
const SCRIPT_MAX: u64 = 1024 * 1024;

/// The text below `dir`, two levels deep; what is not text does no harm.
fn read_all(dir: &Path, depth: u8, text: &mut String) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && depth < 2 {
            read_all(&path, depth + 1, text);
        } else if fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= SCRIPT_MAX) {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
        }
    }
}

/// The text with lines that are comments empty.
fn without_comments(text: &str) -> String {
    let kept = text.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line });
    kept.collect::<Vec<_>>().join("\n")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

/// The text before and after each `base`, without the closing brace or quote of the variable, as in
/// `${__object}/parameter/x`.
fn places<'a>(text: &'a str, base: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let (variable, path) = base.split_once('/').unwrap_or((base, ""));
    text.match_indices(variable).filter_map(move |(at, _)| {
        let (before, rest) = (text.get(..at)?, text.get(at + variable.len()..)?);
        let rest = rest.strip_prefix('}').unwrap_or(rest);
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        Some((before, rest.strip_prefix('/')?.strip_prefix(path)?))
    })
}

/// The names that stand after `base` whole, without a variable or a pattern in them.
fn named_after(text: &str, base: &str) -> BTreeSet<String> {
    places(text, base).filter_map(|(_, rest)| first_name(rest)).collect()
}

/// The names of files below `base` to which a script sends output.
fn written_to(text: &str, base: &str) -> BTreeSet<String> {
    let is_target =
        |before: &str| before.trim_end_matches(['"', '$', '{']).trim_end_matches(' ').ends_with('>');
    places(text, base)
        .filter(|(before, _)| is_target(before))
        .filter_map(|(_, rest)| first_name(rest))
        .collect()
}

fn first_name(rest: &str) -> Option<String> {
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    // What follows may be a part of the name that is known at run time only.
    let open = after.starts_with(['$', '*', '?', '[', '{', '`', '(', '%', '\\', '<', '\'', '/'])
        || after.starts_with("\"$");
    (!name.is_empty() && !open).then(|| name.trim_end_matches('.').to_owned())
}

/// True if `base` is used as a whole, or with names that are known at run time only.
fn names_all(text: &str, base: &str) -> bool {
    let mut all = places(text, base);
    all.any(|(_, rest)| !rest.strip_prefix('/').is_some_and(|name| name.starts_with(is_name)))
}

/// The variables that are used, each without `$` and braces. Escaped ones are of the code that is made.
fn variables(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices('$') {
        if text.get(..at).is_some_and(|before| before.ends_with('\\')) {
            continue;
        }
        let rest = text.get(at + 1..).unwrap_or_default();
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        names.extend(rest.get(..end));
    }
    names
}

/// True if `word` stands somewhere by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let joins = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
        // An option such as --name is one, too.
        !before.is_some_and(|c| joins(c) && c != '-') && !after.is_some_and(joins)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::found, *};

    #[test]
    fn what_is_not_there() {
        let lines = found(&[
            ("singleton", ""),
            ("parameter/optional", "used\nunused\n"),
            ("man.rst", "cdist-type__t(7)\n================\n\nused unused\n"),
            (
                "explorer/state",
                "#!/bin/sh -e\ncat \"$__object/parameter/used\" \"$__global/x\" \"$__type_explorer/pkg\" \"$__object/explorer/lost\"\n",
            ),
            ("explorer/lost", "#!/bin/sh -e\n"),
            (
                "gencode-remote",
                "#!/bin/sh -e\n# $__object/parameter/comment\ncat \"$__object/explorer/stats\" \"${__object}/parameter/$x\" \"$__object\"/parameter/typo\n\
                 cat \"$__explorer/os\" \"$__object/explorer/state\"; echo \"\\$__explorer $__object_id\"\n",
            ),
        ]);
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_nobody_uses() {
        let man = "cdist-type__t(7)\n================\n\none other\n";
        let lines = found(&[
            ("man.rst", man),
            ("parameter/boolean", "one\nother\n"),
            ("explorer/state", "#!/bin/sh -e\n"),
            ("explorer/helper", "#!/bin/sh -e\n"),
            (
                "gencode-remote",
                "#!/bin/sh -e\n[ -f \"$__object/parameter/one\" ] || \"$__type/files/code\"\n",
            ),
            ("files/code", "cat \"$__object/explorer/helper\"\n"),
        ]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("__t/explorer/state: warning: is never read"), "{lines:?}");
        assert!(
            lines[1].starts_with("__t/parameter: warning: declares 'other', which no script reads"),
            "{lines:?}"
        );
    }

    #[test]
    fn names_after_a_path() {
        let names = |text| named_after(text, "__object/parameter/").into_iter().collect::<Vec<_>>();
        assert_eq!(
            names("cat \"$__object/parameter/state\"; [ -f ${__object}/parameter/a-b ]"),
            ["a-b", "state"]
        );
        assert_eq!(
            names("\"$__object/parameter/$x\" $__object/parameter/*/x $__object/parameter/pre$x"),
            [""; 0]
        );
        assert_eq!(names("$__object_id/parameter/x"), [""; 0]);
        assert_eq!(names("$__object/parameter/x. It"), ["x"]);
        let text =
            "echo x > \"$__object/parameter/made\"; cat ${__object}/parameter/read >>$__object/parameter/too";
        assert_eq!(written_to(text, "__object/parameter/").into_iter().collect::<Vec<_>>(), ["made", "too"]);
    }

    #[test]
    fn all_of_them() {
        let all = |text| names_all(text, "__object/parameter");
        assert!(
            all("ls \"$__object/parameter\"")
                && all("for p in $__object/parameter/*; do")
                && all("$__object/parameter/$p")
        );
        assert!(!all("cat \"$__object/parameter/a\""));
    }

    proptest! {
        #[test]
        fn no_panic_on_any_text(text in "(?s).{0,80}|[$_{}a-z/\"\\\\é]{0,60}") {
            let _ = (named_after(&text, "__object/parameter/"), names_all(&text, "__object/explorer"), variables(&text));
            let _ = (without_comments(&text), has_word(&text, "é"));
        }
    }
}
