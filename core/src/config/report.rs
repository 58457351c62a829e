//! What was worked on when something failed, and what its scripts said.

use std::{fmt, fs, path::Path};

use super::{object::ObjectName, stage::Stage};

/// The most of one stream that a report shows; it is the end that tells.
const STREAM_MAX: usize = 64 * 1024;

/// A script, explorer or object, for an error report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// Such as `object '__file/etc/motd'`.
    pub what: String,
    /// Where things are: name, path, source, type.
    pub facts: Vec<(&'static str, String)>,
    /// `stderr/manifest` and what it holds; only those that hold something.
    pub streams: Vec<(String, String)>,
}

impl Entity {
    /// The initial manifest.
    pub(super) fn initial_manifest(path: &Path, stage: &Stage) -> Self {
        let mut entity = Self { what: "initial manifest".into(), ..Self::default() };
        entity.facts.push(("path", path.display().to_string()));
        for stream in ["stdout", "stderr"] {
            entity.add_stream(&format!("init:{stream}"), &stage.out.join(stream).join("init"), 0);
        }
        entity
    }

    /// A global explorer; `from` is where its part of the stream begins.
    pub(super) fn global_explorer(name: &str, stage: &Stage, from: u64) -> Self {
        let mut entity = Self { what: format!("global explorer '{name}'"), ..Self::default() };
        entity.facts.push(("name", name.to_owned()));
        let path = real_path(&stage.conf("explorer").join(name));
        entity.facts.push(("path", path));
        entity.add_stream("remote:stderr", &stage.out.join("stderr/remote"), from);
        entity
    }

    /// A type explorer.
    pub(super) fn type_explorer(explorer: &str, object: &ObjectName, stage: &Stage, from: u64) -> Self {
        let mut entity =
            Self { what: format!("explorer '{explorer}' of object '{object}'"), ..Self::default() };
        let facts = ["object name", "object path", "object source", "object type"];
        entity.facts.extend(facts.into_iter().zip(object_facts(object, stage)));
        entity.facts.push(("explorer name", explorer.to_owned()));
        let path = stage.conf("type").join(object.type_name()).join("explorer").join(explorer);
        entity.facts.push(("explorer path", real_path(&path)));
        entity.add_stream("remote:stderr", &stage.out.join("stderr/remote"), from);
        entity
    }

    /// An object with everything that its scripts have said.
    pub(super) fn object(object: &ObjectName, stage: &Stage) -> Self {
        let mut entity = Self { what: format!("object '{object}'"), ..Self::default() };
        entity.facts.extend(["name", "path", "source", "type"].into_iter().zip(object_facts(object, stage)));
        let dir = stage.object_dir(object);
        for script in ["manifest", "gencode-local", "gencode-remote", "code-local", "code-remote"] {
            for stream in ["stdout", "stderr"] {
                entity.add_stream(&format!("{script}:{stream}"), &dir.join(stream).join(script), 0);
            }
        }
        entity
    }

    fn add_stream(&mut self, name: &str, file: &Path, from: u64) {
        let Ok(bytes) = fs::read(file) else { return };
        let start = usize::try_from(from).unwrap_or(usize::MAX).max(bytes.len().saturating_sub(STREAM_MAX));
        let text = String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned();
        if !text.is_empty() {
            self.streams.push((name.to_owned(), text));
        }
    }
}

fn object_facts(object: &ObjectName, stage: &Stage) -> [String; 4] {
    let dir = stage.object_dir(object);
    let source = fs::read(dir.join("source")).unwrap_or_default();
    [
        object.to_string(),
        dir.display().to_string(),
        String::from_utf8_lossy(&source).trim_end().replace('\n', " "),
        real_path(&stage.conf("type").join(object.type_name())),
    ]
}

/// Where a link of the merged configuration leads: that is the file that the user can edit.
fn real_path(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("Error processing {}", self.what);
        writeln!(f, "{title}\n{}", "=".repeat(title.chars().count()))?;
        for (key, value) in &self.facts {
            writeln!(f, "{key}: {value}")?;
        }
        for (name, text) in &self.streams {
            writeln!(f, "\n{name}\n{}", "-".repeat(name.chars().count()))?;
            f.write_str(text)?;
            if !text.ends_with('\n') {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
