//! Each script by itself: who runs it, and whether that works.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Findings;
use crate::config::declare::types::visible_entries;

/// What kind of script a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Manifest,
    Gencode,
    Explorer,
}

/// A script of a type, as far as the other checks need it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) text: String,
}

/// Shells whose `-n` reads a script without running it.
const SHELLS: [&str; 6] = ["sh", "dash", "ash", "bash", "ksh", "mksh"];

pub(super) fn check(dir: &Path, findings: &mut Findings) -> Vec<Script> {
    let mut all = Vec::new();
    for (name, role) in [
        ("manifest", Role::Manifest),
        ("gencode-local", Role::Gencode),
        ("gencode-remote", Role::Gencode),
        ("gencode-diff", Role::Gencode),
    ] {
        let path = dir.join(name);
        if path.is_file() {
            all.extend(check_one(path, role, findings));
        }
    }
    let explorers = dir.join("explorer");
    for name in visible_entries(&explorers).unwrap_or_default() {
        let path = explorers.join(&name);
        if path.is_dir() {
            findings.error(
                &path,
                "is a directory, which does not travel to the target; put explorers directly into 'explorer'",
            );
        } else if !path.exists() {
            findings.error(&path, "leads nowhere, so the run fails; remove the link or repair it");
        } else if !path.is_file() {
            findings.error(&path, "is no regular file, so it cannot be sent to the target; remove it");
        } else if is_leftover(&name) {
            findings.error(&path, "looks like what an editor left, but every file here is run; remove it");
        } else {
            all.extend(check_one(path, Role::Explorer, findings));
        }
    }
    all
}

fn is_leftover(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with('~') || [".swp", ".orig", ".bak", ".rej"].iter().any(|end| name.ends_with(end))
}

fn check_one(path: PathBuf, role: Role, findings: &mut Findings) -> Option<Script> {
    let bytes = findings.read(&path)?;
    let executable = fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.contains("\r\n") {
        findings.error(&path, "has DOS line ends, and a shell takes the carriage returns as part of the words; convert it with dos2unix");
        return Some(Script { path, role, text });
    }
    let interpreter = Interpreter::of(&text);
    match (&interpreter, role, executable) {
        (Some(found), Role::Explorer, _) if !found.is_sh() => {
            let text = format!("names {} in its first line, but explorers are always run by 'sh -e'; write it for sh, with the first line '#!/bin/sh -e'", found.name);
            findings.error(&path, text);
        }
        (_, Role::Explorer, _) => {}
        (None, _, true) => findings.error(
            &path,
            "is executable but its first line names no interpreter, so it cannot be started; begin it with '#!/bin/sh -e'",
        ),
        (Some(found), _, false) if !found.is_sh() => {
            let text = format!("names {} in its first line, but is run by 'sh -e' because it is not executable; use chmod +x", found.name);
            findings.error(&path, text);
        }
        (Some(found), _, true) if found.is_shell() && !found.ends_at_errors && !sets_errexit(&text) => {
            // `env` takes only one word.
            let remedy = match found.path.contains(' ') {
                true => "add the line 'set -e'".to_owned(),
                false => format!("begin it with '#!{} -e'", found.path),
            };
            findings.warning(&path, format!("goes on after commands that fail; {remedy}"));
        }
        _ => {}
    }
    let as_sh = role == Role::Explorer || !executable;
    let reader = match interpreter {
        Some(found) if found.is_shell() && !as_sh => Some(found.name),
        Some(found) if !found.is_shell() => None,
        _ => Some("sh".to_owned()),
    };
    if let Some(complaint) = reader.and_then(|shell| syntax_error(&shell, &path)) {
        findings.error(&path, complaint);
    }
    Some(Script { path, role, text })
}

/// What the first line of a script says.
struct Interpreter {
    /// As written, without arguments.
    path: String,
    /// Last part of the path, or the word after `env`.
    name: String,
    /// Has `-e`.
    ends_at_errors: bool,
}

impl Interpreter {
    fn of(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("#!")?;
        let mut words = line.split_whitespace();
        let mut path = words.next()?.to_owned();
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut name = last(&path);
        if name == "env" {
            let program = words.by_ref().find(|word| !word.starts_with('-'))?;
            path = format!("{path} {program}");
            name = last(program);
        }
        let ends_at_errors = words.any(|word| word.starts_with('-') && word.contains('e'));
        Some(Self { path, name, ends_at_errors })
    }

    fn is_shell(&self) -> bool {
        SHELLS.contains(&self.name.as_str())
    }

    /// True for a shell whose scripts any `sh` runs.
    fn is_sh(&self) -> bool {
        ["sh", "dash", "ash"].contains(&self.name.as_str())
    }
}

fn sets_errexit(text: &str) -> bool {
    let sets = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some("set")
            && words.any(|word| word == "errexit" || (word.starts_with('-') && word.contains('e')))
    };
    text.lines().any(sets)
}

/// What the shell says to a script that it cannot parse. A shell that is not installed says nothing.
fn syntax_error(shell: &str, path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let output = Command::new(shell).arg("-n").arg(&absolute).stdin(Stdio::null()).output().ok()?;
    if output.status.success() {
        return None;
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let first = told.lines().next().unwrap_or("it says nothing");
    let prefix = format!("{}: ", absolute.display());
    let reason = first.strip_prefix(&prefix).unwrap_or(first).trim();
    Some(format!("is no {shell} script ({reason}); correct the syntax"))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    #[test]
    fn who_runs_it() {
        let lines = found(&[
            ("manifest", "echo fine without first line\n"),
            ("gencode-local", "#!/bin/sh\necho\n"),
            ("gencode-remote", "#!/usr/bin/env python3\nif True: pass\n"),
            ("explorer/python", "#!/usr/bin/python3\nprint(1)\n"),
            ("explorer/bash", "#!/bin/bash -e\necho\n"),
            ("explorer/sh", "#!/bin/sh\necho\n"),
            ("explorer/plain", "echo\n"),
            ("explorer/sh~", "echo\n"),
            ("explorer/sub/x", "echo\n"),
        ]);
        let own: Vec<&str> = lines.iter().map(String::as_str).filter(|l| !l.contains("never")).collect();
        insta::assert_snapshot!(own.join("\n"));
    }

    #[test]
    fn what_cannot_be_run() {
        let lines = found(&[
            ("gencode-remote", "#!/bin/sh -e\nif true; then\necho\n"),
            ("manifest", "#!/bin/sh -e\r\necho\r\n"),
        ]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        // What stands between the parentheses is the shell's own.
        assert!(lines[0].starts_with("__t/gencode-remote: error: is no sh script ("), "{lines:?}");
        assert!(
            lines[0].ends_with("); correct the syntax") && !lines[0].contains("/__t/gencode-remote:"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("__t/manifest: error: has DOS line ends"), "{lines:?}");
    }

    #[test]
    fn an_executable_needs_an_interpreter() {
        let (_dir, path) = super::super::tests::type_with(&[
            ("manifest", "#!\necho\n"),
            ("gencode-local", "#!/bin/bash\nset -ue\n"),
        ]);
        let mut findings = Findings::default();
        check(&path, &mut findings);
        let texts: Vec<&str> = findings.0.iter().map(|f| f.text.as_str()).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].starts_with("is executable but its first line names no interpreter"), "{texts:?}");
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let (_dir, path) = super::super::tests::type_with(&[("explorer/x", ""), ("parameter/default/y", "")]);
        for name in ["explorer/pipe", "parameter/default/pipe"] {
            nix::unistd::mkfifo(&path.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let texts: Vec<String> = super::super::check(&path).into_iter().map(|f| f.text).collect();
        assert!(texts.iter().any(|text| text.starts_with("is no regular file, so it cannot")), "{texts:?}");
    }

    #[test]
    fn first_lines() {
        let of = |line: &str| Interpreter::of(line).map(|i| (i.name, i.ends_at_errors));
        assert_eq!(of("#!/bin/sh -e\n"), Some(("sh".into(), true)));
        assert_eq!(of("#! /usr/bin/env -S bash -eu"), Some(("bash".into(), true)));
        assert_eq!(of("#!/usr/bin/env"), None);
        assert_eq!(of("#!"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("echo"), None);
    }
}
