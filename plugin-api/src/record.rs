//! The versioned text in which recipes, requests and reports cross the ABI.
//!
//! ```text
//! recipe 1
//! name debian
//! package curl
//! package openssh-server
//! configure.manifest __package curl\n__package file\n
//! ```
//!
//! The first line is the kind and its version. Every other line is a key, one space, and a value in which `\\`
//! stands for a backslash, `\n` for a line end and `\r` for a carriage return. A key may come several times. C
//! and Python write this as easily as Rust does. cdist refuses a key of a request that it does not know, unless the key
//! begins with `?`: then it may be ignored. A plugin passes over what it does not know in a report.

use std::fmt;

/// A parsed or growing record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    kind: String,
    version: u32,
    fields: Vec<(String, String)>,
}

/// Why a text is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for RecordError {}

impl Record {
    /// An empty record of a kind and version. `kind` must not be empty nor hold white space; such a character
    /// becomes `_`.
    pub fn new(kind: &str, version: u32) -> Self {
        Self { kind: word(kind), version, fields: Vec::new() }
    }

    /// What this is: `recipe`, `configure`, `command`, `report`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The version of the kind; a reader refuses one that it does not know.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Appends a field. `key` must not be empty nor hold white space; such a character becomes `_`.
    pub fn push(&mut self, key: &str, value: impl Into<String>) {
        self.fields.push((word(key), value.into()));
    }

    /// Replaces every field of this key by one.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let key = word(key);
        self.fields.retain(|(k, _)| *k != key);
        self.fields.push((key, value.into()));
    }

    /// The last value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a key, in order.
    pub fn all<'r>(&'r self, key: &'r str) -> impl Iterator<Item = &'r str> + 'r {
        self.fields.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.fields.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} {}\n", self.kind, self.version);
        for (key, value) in &self.fields {
            text.push_str(key);
            text.push(' ');
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '\n' => text.push_str("\\n"),
                    '\r' => text.push_str("\\r"),
                    c => text.push(c),
                }
            }
            text.push('\n');
        }
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// The first line that is not of the form above.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let mut lines = text.split('\n').enumerate();
        let fail = |line: usize, reason: &str| RecordError { line: line + 1, reason: reason.to_owned() };
        let (at, head) = lines.next().unwrap_or((0, ""));
        let (kind, version) = head
            .split_once(' ')
            .and_then(|(kind, version)| Some((kind, version.parse().ok()?)))
            .filter(|(kind, _)| !kind.is_empty())
            .ok_or_else(|| fail(at, "expected a kind and a version, such as `recipe 1`"))?;
        let mut record = Self::new(kind, version);
        for (at, line) in lines {
            if line.is_empty() {
                continue;
            }
            let (key, value) =
                line.split_once(' ').ok_or_else(|| fail(at, "expected a key, a space and a value"))?;
            if key.is_empty() {
                return Err(fail(at, "the key is empty"));
            }
            let value =
                unescape(value).ok_or_else(|| fail(at, "a backslash must be followed by \\, n or r"))?;
            record.fields.push((key.to_owned(), value));
        }
        Ok(record)
    }
}

/// What can stand before a space.
fn word(text: &str) -> String {
    let word: String = text.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
    if word.is_empty() {
        "_".to_owned()
    } else {
        word
    }
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut record = Record::new("recipe", 1);
        record.push("manifest", "a\\n\n\r b \\");
        record.push("package", "");
        record.push("package", "curl");
        let text = record.to_text();
        assert_eq!(text, "recipe 1\nmanifest a\\\\n\\n\\r b \\\\\npackage \npackage curl\n");
        assert_eq!(Record::parse(&text), Ok(record));
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [
            ("", 1),
            ("recipe", 1),
            (" 1", 1),
            ("recipe x", 1),
            ("r 1\nkey", 2),
            ("r 1\n\n v", 3),
            ("r 1\nk \\x", 2),
        ] {
            assert_eq!(Record::parse(text).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn last_value_wins_and_set_replaces() {
        let mut record = Record::new("r", 1);
        record.push("a b", "1");
        assert_eq!(record.get("a_b"), Some("1"));
        record.push("k", "1");
        record.push("k", "2");
        assert_eq!(record.get("k"), Some("2"));
        assert_eq!(record.all("k").collect::<Vec<_>>(), ["1", "2"]);
        record.set("a b", "2");
        assert_eq!(record.all("a_b").collect::<Vec<_>>(), ["2"]);
        assert_eq!(Record::new("two\nlines", 1).to_text(), "two_lines 1\n");
        record.set("k", "3");
        assert_eq!(record.all("k").collect::<Vec<_>>(), ["3"]);
    }
}
