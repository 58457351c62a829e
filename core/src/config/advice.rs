//! What to say about a failure besides the whole report: its reason in one line, and what to try next.

use std::{io, process::ExitStatus};

use super::{
    entity::Entity,
    error::{ConfigError, in_parentheses},
};

/// The scripts of an object and of a run, as they are called in their directories.
const SCRIPTS: [&str; 6] =
    ["manifest", "gencode-local", "gencode-remote", "gencode-diff", "code-local", "code-remote"];
/// Longer reasons do not fit into a line of a table.
const REASON_MAX: usize = 200;

impl ConfigError {
    /// What was worked on when it happened, if that is known.
    pub fn entity(&self) -> Option<&Entity> {
        match self {
            Self::Entity { entity, .. } => Some(entity),
            _ => None,
        }
    }

    /// How the script or command that failed has ended.
    pub fn status(&self) -> Option<ExitStatus> {
        match self {
            Self::Failed { status, .. } => Some(*status),
            Self::Entity { source, .. } => source.status(),
            _ => None,
        }
    }

    /// The script of the object, type or run that failed, such as `code-remote`.
    pub fn script(&self) -> Option<&'static str> {
        match self {
            Self::Failed { command, .. } => script_in(command),
            Self::Entity { source, .. } => source.script(),
            _ => None,
        }
    }

    /// What is wrong with the script that failed, if its beginning tells.
    fn why(&self) -> Option<&String> {
        match self {
            Self::Failed { why, .. } => why.as_ref(),
            Self::Entity { source, .. } => source.why(),
            _ => None,
        }
    }

    /// The failure in one line: what was worked on, what failed, and the last words of its standard error.
    pub fn reason(&self) -> String {
        let Some(entity) = self.entity() else { return one_line(&self.chain()) };
        let what = match (self.script(), self.status()) {
            (Some(script), Some(status)) => {
                format!("{script}: {}{}", crate::host::describe(status), in_parentheses(self.why()))
            }
            (None, Some(status)) => {
                format!("{}{}", crate::host::describe(status), in_parentheses(self.why()))
            }
            _ => self.chain(),
        };
        let mut text = format!("{}: {what}", entity.what);
        if self.status().is_some()
            && let Some(words) = entity.last_words(self.script())
        {
            text = format!("{text}: {words}");
        }
        one_line(&text)
    }

    /// What the user can try next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Entity { source, entity } => {
                if let Some(hint) = source.hint_of_cause() {
                    return Some(hint);
                }
                let dir = entity.facts.iter().find(|(key, _)| *key == "path").map(|(_, path)| path.as_str());
                match (source.script()?, dir) {
                    (script @ ("code-local" | "code-remote"), Some(dir)) => format!(
                        "the code that failed is {dir}/{script}; 'cdist config -n' shows it without running it"
                    ),
                    _ => "-vvvv shows every script and command as it is run".to_owned(),
                }
            }
            other => return other.hint_of_cause(),
        })
    }

    fn hint_of_cause(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } | Self::Cache { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                "make room there, or choose another place with -o and TMPDIR".to_owned()
            }
            Self::ManifestMissing(_) | Self::ManifestKind(_) => {
                "make this file, or name another one with -i; '-i -' reads standard input".to_owned()
            }
            Self::RemoteDir(_) => "name a directory of its own with -r, such as /var/lib/cdist".to_owned(),
            Self::NoType { .. } => {
                "'cdist info -t' lists the types; a type of your own is found with -c, or in ~/.cdist/type".to_owned()
            }
            Self::Cycle(_) => "take one of these requirements back".to_owned(),
            Self::Unresolved(_) => "declare the objects that are missing, or do not require them".to_owned(),
            Self::Connector(error) => error.remedy().unwrap_or_else(|| {
                "see whether the target can be reached with the same command by hand".to_owned()
            }),
            Self::Failed { status, command, .. } if script_in(command).is_none() && status.code() == Some(255) => {
                "see whether the target can be reached with the same command by hand".to_owned()
            }
            Self::Failed { status, why: None, .. } if matches!(status.code(), Some(126 | 127)) => {
                "126 and 127 are the shell's words for a program that is missing, or not executable, or called with \
                 more than the kernel takes"
                    .to_owned()
            }
            _ => return None,
        })
    }

    /// The error and its causes without the entity.
    fn chain(&self) -> String {
        if let Self::Entity { source, .. } = self {
            return source.chain();
        }
        crate::chain(self)
    }
}

/// The script that a command line runs: it is the last path in it.
fn script_in(command: &str) -> Option<&'static str> {
    let path = command.trim_end_matches(['\'', '"', '\\']);
    let name = path.rsplit('/').next()?;
    SCRIPTS.into_iter().find(|script| *script == name)
}

/// The text without line ends, cut to what fits into a line.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > REASON_MAX {
        line = line.chars().take(REASON_MAX - 1).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn failed(command: &str, status: i32) -> ConfigError {
        ConfigError::Failed { command: command.into(), status: ExitStatus::from_raw(status << 8), why: None }
    }

    #[test]
    fn the_reason_is_one_line_with_the_last_words() {
        let entity = Entity {
            what: "object '__x/y'".into(),
            facts: vec![("path", "/o".into())],
            streams: vec![
                ("manifest:stderr".into(), "something else\n".into()),
                ("code-remote:stderr".into(), "first\nlast words\n\n".into()),
            ],
        };
        let source = failed("/bin/sh -c ' export A=b;/bin/sh -e /r/object/__x/y/.cdist-m/code-remote'", 3);
        let error = ConfigError::Entity { entity: Box::new(entity), source: Box::new(source) };
        assert_eq!(error.reason(), "object '__x/y': code-remote: exit status 3: last words");
        assert!(error.hint().unwrap().starts_with("the code that failed is /o/code-remote;"));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let error = ConfigError::ManifestMissing("x\ny ".repeat(300));
        assert_eq!(error.reason().chars().count(), REASON_MAX);
        assert!(!error.reason().contains('\n'));
    }

    #[test]
    fn scripts_are_found_at_the_end_of_a_command() {
        assert_eq!(script_in("/bin/sh -e '/tmp/a b/gencode-local'"), Some("gencode-local"));
        assert_eq!(script_in("ssh h mkdir -p /x/code-remote/y"), None);
        assert_eq!(script_in(""), None);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let source = io::Error::from_raw_os_error(nix::errno::Errno::ENOSPC as i32);
        let error = ConfigError::Io { doing: "writing /x".into(), source };
        assert!(error.hint().unwrap().contains("TMPDIR"));
        assert!(error.reason().starts_with("writing /x: "));
    }
}
