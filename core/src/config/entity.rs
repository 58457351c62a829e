//! What was worked on when something failed, and what its scripts said.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    declare::{object::ObjectName, types::lines_of},
    stage::Stage,
};

/// The most of one stream that a report shows; it is the end that tells.
const STREAM_MAX: u64 = 64 * 1024;
/// Longer manifests are not searched for the line of an object.
const MANIFEST_MAX: u64 = 1024 * 1024;

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
        if let Some(line) = line_of(object, stage) {
            entity.facts.push(("line", line));
        }
        let dir = stage.object_dir(object);
        for script in ["manifest", "gencode-local", "gencode-remote", "code-local", "code-remote"] {
            for stream in ["stdout", "stderr"] {
                entity.add_stream(&format!("{script}:{stream}"), &dir.join(stream).join(script), 0);
            }
        }
        entity
    }

    /// Adds the end of what a stream holds from byte `from` on. The file may be as long as the disk is large.
    fn add_stream(&mut self, name: &str, path: &Path, from: u64) {
        let Ok((bytes, left_out)) = read_end(path, from) else { return };
        if bytes.is_empty() {
            return;
        }
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if left_out > 0 {
            text = format!("[{left_out} bytes before this are in {}]\n{text}", path.display());
        }
        self.streams.push((name.to_owned(), text));
    }

    /// The last line that is not empty of the standard error of `script`, or of the last stream of that kind.
    pub(super) fn last_words(&self, script: Option<&str>) -> Option<&str> {
        let wanted = script.map_or_else(|| "stderr".to_owned(), |script| format!("{script}:stderr"));
        let (_, text) = self.streams.iter().rev().find(|(name, _)| name.ends_with(&wanted))?;
        text.lines().rev().find(|line| !line.trim().is_empty())
    }
}

/// What a file holds from byte `from` on, at most the last [`STREAM_MAX`] bytes of it, and how many were left out.
fn read_end(path: &Path, from: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = from.max(length.saturating_sub(STREAM_MAX));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(STREAM_MAX).read_to_end(&mut bytes)?;
    Ok((bytes, start - from))
}

fn object_facts(object: &ObjectName, stage: &Stage) -> [String; 4] {
    let dir = stage.object_dir(object);
    let sources = lines_of(&dir.join("source"));
    let sources: Vec<String> = sources.iter().map(|path| real_path(Path::new(path))).collect();
    [
        object.to_string(),
        dir.display().to_string(),
        sources.join(" "),
        real_path(&stage.conf("type").join(object.type_name())),
    ]
}

/// The line of the source manifest that names the object, if there is just one. A shell does not tell which line
/// it is at, so this is found by the text; an id that the manifest puts together from variables is not.
fn line_of(object: &ObjectName, stage: &Stage) -> Option<String> {
    let source = lines_of(&stage.object_dir(object).join("source")).into_iter().next()?;
    let mut text = Vec::new();
    File::open(source).ok()?.take(MANIFEST_MAX).read_to_end(&mut text).ok()?;
    let (type_name, id) = (object.type_name().as_bytes(), object.id().as_bytes());
    let names_it = |line: &[u8]| {
        let is_word = |word: &[u8]| word == type_name;
        !line.trim_ascii_start().starts_with(b"#")
            && line.split(|b| b" \t;&|(){}\"'".contains(b)).any(is_word)
            && (id.is_empty() || has_word(line, id))
    };
    let mut found = text.split(|b| *b == b'\n').enumerate().filter(|(_, line)| names_it(line));
    let (at, _) = found.next()?;
    // The number only: the text of the line may hold a secret.
    found.next().is_none().then(|| (at + 1).to_string())
}

/// True if `word` stands in `line` and is no part of a longer one.
fn has_word(line: &[u8], word: &[u8]) -> bool {
    let goes_on = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(b));
    line.windows(word.len()).enumerate().any(|(at, part)| {
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        part == word && !goes_on(before) && !goes_on(line.get(at + word.len()))
    })
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn only_the_end_of_a_long_stream_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stderr");
        fs::write(&path, [vec![b'x'; 100_000], b"end".to_vec()].concat()).unwrap();
        let (bytes, left_out) = read_end(&path, 3).unwrap();
        assert_eq!((bytes.len() as u64, left_out), (STREAM_MAX, 100_003 - 3 - STREAM_MAX));
        assert!(bytes.ends_with(b"end"));
        assert_eq!(read_end(&path, 100_000).unwrap(), (b"end".to_vec(), 0));
        // A stream that was emptied in between.
        assert_eq!(read_end(&path, 200_000).unwrap(), (vec![], 0));
    }

    #[test]
    fn the_line_of_an_object_is_the_only_one_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::create(dir.path().join("data"), "/r".into()).unwrap();
        let manifest = dir.path().join("init");
        fs::write(&manifest, "# __x a\n__x a --v 1\n__x b; __y b\n__x b\n__xx c\n").unwrap();
        let line = |name: &str| {
            let object = ObjectName::parse(OsStr::new(name));
            let object_dir = stage.object_dir(&object);
            fs::create_dir_all(&object_dir).unwrap();
            fs::write(object_dir.join("source"), format!("{}\n", manifest.display())).unwrap();
            line_of(&object, &stage)
        };
        assert_eq!(line("__x/a").as_deref(), Some("2"));
        assert_eq!(line("__y/b").as_deref(), Some("3"));
        assert_eq!(line("__x/b"), None);
        assert_eq!(line("__x/c"), None);
    }
}
