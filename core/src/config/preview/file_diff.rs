//! What is in a file and what shall be there, as the functions of `gencode-diff` tell it, and the difference.

use std::{fs::File, io::Read, path::Path, time::Duration};

use similar::{
    Algorithm, DiffOp, DiffTag,
    algorithms::{Capture, Replace, diff_slices_deadline},
    group_diff_ops,
};

use crate::printable;

/// Longer files are not compared line by line.
pub(in crate::config) const SIZE_MAX: usize = 1024 * 1024;
/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Two long files without a common line would take minutes; after this time the difference is coarse, but right.
const TIME_MAX: Duration = Duration::from_secs(2);

/// One side of a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum Content {
    /// There is no file.
    #[default]
    None,
    /// A regular file, with its first [`SIZE_MAX`] + 1 bytes at most.
    File(Vec<u8>),
    /// Something else, such as `symlink`.
    Other(String),
}

/// A file that an object changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct FileChange {
    path: Vec<u8>,
    current: Content,
    /// `None`: the type has not told.
    wanted: Option<Content>,
    /// Neither side is known.
    secret: bool,
}

/// What is wrong with what a type has printed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::config) enum FormatError {
    /// A line that means nothing.
    #[error("its gencode-diff has printed a line that means nothing: '{0}'")]
    Line(String),
    /// Content or a word outside of a file.
    #[error("its gencode-diff tells a content before it names a file with diff_file")]
    NoFile,
    /// A local file that is not there.
    #[error("its gencode-diff names '{0}', which is no file in the object's directory 'files'")]
    NotHere(String),
}

/// Where the digits that follow belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Current,
    Wanted,
    Nothing,
}

/// Reads what the functions have printed. `files` is the local directory for `diff_wanted_here`.
pub(in crate::config) fn parse(text: &[u8], files: &Path) -> Result<Vec<FileChange>, FormatError> {
    let mut all: Vec<FileChange> = Vec::new();
    let mut part = Part::Nothing;
    for line in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let meaningless = || FormatError::Line(String::from_utf8_lossy(line).chars().take(80).collect());
        if line == b"file" {
            all.push(FileChange::default());
            part = Part::Path;
            continue;
        }
        let change = all.last_mut().ok_or(FormatError::NoFile)?;
        let mut words = line.splitn(2, |b| *b == b' ');
        let (word, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match word {
            b"secret" if rest.is_empty() => (change.secret, part) = (true, Part::Nothing),
            b"current" => (change.current, part) = (content(rest).ok_or_else(meaningless)?, Part::Current),
            b"wanted" => {
                change.wanted = Some(match rest.strip_prefix(b"here ") {
                    Some(name) => Content::File(local(name, files)?),
                    None => content(rest).ok_or_else(meaningless)?,
                });
                part = Part::Wanted;
            }
            _ => {
                let bytes = hex(line).ok_or_else(meaningless)?;
                match (part, &mut change.current, &mut change.wanted) {
                    (Part::Path, ..) => change.path.extend(bytes),
                    (Part::Current, Content::File(file), _)
                    | (Part::Wanted, _, Some(Content::File(file))) => {
                        file.extend(bytes);
                    }
                    _ => return Err(meaningless()),
                }
            }
        }
    }
    Ok(all)
}

fn content(word: &[u8]) -> Option<Content> {
    Some(match word {
        b"none" => Content::None,
        b"file" => Content::File(Vec::new()),
        b"symlink" | b"directory" | b"other" => Content::Other(String::from_utf8_lossy(word).into_owned()),
        _ => return None,
    })
}

/// The beginning of a local file. The name comes from the target, so it must not lead anywhere else.
fn local(name: &[u8], files: &Path) -> Result<Vec<u8>, FormatError> {
    let text = String::from_utf8_lossy(name).into_owned();
    let plain = !text.is_empty() && !text.contains('/') && text != "." && text != "..";
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(files.join(&text)).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file()))?;
        file.take(SIZE_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    plain.then(read).flatten().ok_or(FormatError::NotHere(text))
}

/// Digits in pairs, with blanks between.
fn hex(line: &[u8]) -> Option<Vec<u8>> {
    let pairs = line.split(|b| b" \t".contains(b)).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok())
        .collect()
}

impl FileChange {
    /// True if not everybody may read the file.
    pub(in crate::config) fn is_secret(&self) -> bool {
        self.secret
    }

    /// The difference as a unified diff, or one line that tells why there is none; nothing if nothing changes.
    pub(in crate::config) fn unified(&self) -> Vec<u8> {
        let path = shown(&self.path);
        if self.secret {
            return format!(
                "# {path}: not shown, for not everybody may read it (--reveal-secrets shows it)\n"
            )
            .into();
        }
        let Some(wanted) = &self.wanted else { return Vec::new() };
        let mut text = Vec::new();
        if let Content::Other(what) = &self.current {
            text.extend(format!("# {path} is no regular file now, but: {what}\n").into_bytes());
        }
        let (old, new) = (self.current.bytes(), wanted.bytes());
        if self.current == *wanted || (old.is_none() && new.is_none()) {
            return text;
        }
        let (old_path, new_path) = (header(old, &path), header(new, &path));
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        if old.len().max(new.len()) > SIZE_MAX {
            text.extend(format!("# {path}: too large to show, more than {SIZE_MAX} bytes\n").into_bytes());
        } else if old.contains(&0) || new.contains(&0) {
            let sizes = format!("{} bytes now, {} wanted", old.len(), new.len());
            text.extend(format!("Binary files {old_path} and {new_path} differ ({sizes})\n").into_bytes());
        } else {
            text.extend(format!("--- {old_path}\n+++ {new_path}\n").into_bytes());
            write_hunks(&mut text, old, new);
        }
        text
    }
}

impl Content {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::File(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn header(content: Option<&[u8]>, path: &str) -> String {
    if content.is_some() { path.to_owned() } else { "/dev/null".to_owned() }
}

/// A path on one line.
fn shown(path: &[u8]) -> String {
    printable::line(&String::from_utf8_lossy(path))
}

fn write_hunks(text: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let (old, new): (Vec<&[u8]>, Vec<&[u8]>) = (lines(old), lines(new));
    let deadline = std::time::Instant::now() + TIME_MAX;
    // Not `capture_diff_slices`: the ranges that it makes compact do not always begin where the hunk does.
    let mut capture = Replace::new(Capture::new());
    let Ok(()) = diff_slices_deadline(Algorithm::Myers, &mut capture, &old, &new, Some(deadline));
    for hunk in group_diff_ops(capture.into_inner().into_ops(), CONTEXT) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let old_range = range(first.old_range().start, last.old_range().end);
        let new_range = range(first.new_range().start, last.new_range().end);
        text.extend(format!("@@ -{old_range} +{new_range} @@\n").into_bytes());
        for op in &hunk {
            write_op(text, op, &old, &new);
        }
    }
}

fn write_op(text: &mut Vec<u8>, op: &DiffOp, old: &[&[u8]], new: &[&[u8]]) {
    let mut write = |sign: u8, lines: &[&[u8]]| {
        for line in lines {
            text.push(sign);
            text.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                text.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    };
    let (tag, old_range, new_range) = op.as_tag_tuple();
    let (removed, added) = (old.get(old_range).unwrap_or_default(), new.get(new_range).unwrap_or_default());
    match tag {
        DiffTag::Equal => write(b' ', removed),
        DiffTag::Delete => write(b'-', removed),
        DiffTag::Insert => write(b'+', added),
        DiffTag::Replace => {
            write(b'-', removed);
            write(b'+', added);
        }
    }
}

/// First line and count, as in the head of a hunk; an empty range is named by the line before it.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => (start + 1).to_string(),
        count => format!("{},{count}", start + 1),
    }
}

/// Lines with their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn change(current: Content, wanted: Content) -> String {
        let change = FileChange { path: b"/etc/x".to_vec(), current, wanted: Some(wanted), secret: false };
        String::from_utf8(change.unified()).unwrap()
    }

    fn file(text: &str) -> Content {
        Content::File(text.as_bytes().to_vec())
    }

    #[test]
    fn from_nothing_and_to_nothing() {
        assert_eq!(
            change(Content::None, file("a\nb")),
            "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n"
        );
        assert_eq!(change(file("a\n"), Content::None), "--- /etc/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
        assert_eq!(change(file("a\n"), file("a\n")), "");
        assert_eq!(
            change(Content::Other("symlink".into()), Content::None),
            "# /etc/x is no regular file now, but: symlink\n"
        );
    }

    #[test]
    fn binary_and_large_files_are_named_only() {
        let binary = change(file("a\n"), file("\0b"));
        assert_eq!(binary, "Binary files /etc/x and /etc/x differ (2 bytes now, 2 wanted)\n");
        let large = change(file("a\n"), Content::File(vec![b'x'; SIZE_MAX + 1]));
        assert_eq!(large, "# /etc/x: too large to show, more than 1048576 bytes\n");
    }

    #[test]
    fn what_the_functions_print_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("content"), "new\n").unwrap();
        let text = b"file\n 2f 65\n 0a\ncurrent file\n 6f 6c 64 0a\nwanted here content\nfile\n 2f\ncurrent none\nsecret\n";
        let changes = parse(text, dir.path()).unwrap();
        assert_eq!(changes.len(), 2);
        assert_eq!(
            String::from_utf8_lossy(&changes[0].unified()),
            "--- /e\\n\n+++ /e\\n\n@@ -1 +1 @@\n-old\n+new\n"
        );
        assert!(changes[1].secret);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(parse(b"hello\n", dir.path()), Err(FormatError::NoFile));
        assert_eq!(parse(b"file\n 2f\nhello\n", dir.path()), Err(FormatError::Line("hello".into())));
        assert_eq!(parse(b"file\n 2f\nsecret\n 2f\n", dir.path()), Err(FormatError::Line("2f".into())));
        for name in ["../x", "/etc/passwd", "..", "none"] {
            let text = format!("file\n 2f\ncurrent none\nwanted here {name}\n");
            assert_eq!(parse(text.as_bytes(), dir.path()), Err(FormatError::NotHere(name.into())));
        }
    }

    proptest! {
        #[test]
        fn no_panic_on_any_output(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(changes) = parse(&text, Path::new("/proc/none")) {
                changes.iter().for_each(|change| drop(change.unified()));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// patch(1) is the judge: the difference turns the old text into the new one.
        #[test]
        fn patch_makes_the_new_text(old in "([abc]{0,2}\n){0,14}[a]?", new in "([abc]{0,2}\n){0,14}[a]?") {
            prop_assume!(old != new);
            let dir = tempfile::tempdir().unwrap();
            let (text, diff) = (dir.path().join("text"), dir.path().join("diff"));
            std::fs::write(&text, &old).unwrap();
            std::fs::write(&diff, change(file(&old), file(&new))).unwrap();
            let status = Command::new("patch").args(["-s", "-u"]).arg(&text).arg(&diff).status().unwrap();
            prop_assert!(status.success());
            // patch removes a file that has become empty.
            prop_assert_eq!(std::fs::read_to_string(&text).unwrap_or_default(), new);
        }
    }
}
