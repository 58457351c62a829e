//! A word in a manifest that looks like a type and is none. To the shell it is a command that it does not find.

use std::{ffi::OsStr, fs, io::Read, path::Path};

use crate::{
    config::{declare::types::Type, engine::Engine, error::ConfigError, log::Level},
    near::near_match,
};

/// How shells end the line about a command that is not there: dash, busybox and ksh, bash, mksh.
const ENDINGS: [&str; 3] = [": command not found", ": inaccessible or not found", ": not found"];
/// More than this of what a manifest says is not searched, in bytes.
const SEARCHED_MAX: u64 = 1024 * 1024;

impl Engine {
    /// Says which types a manifest calls that do not exist, by its standard error in the file `stderr`. What the
    /// shell ended for becomes the reason of the failure; a manifest that went on has a warning.
    pub(in crate::config) fn tell_missing_types(
        &self,
        result: Result<(), ConfigError>,
        stderr: &Path,
    ) -> Result<(), ConfigError> {
        let mut bytes = Vec::new();
        let read = fs::File::open(stderr).and_then(|file| file.take(SEARCHED_MAX).read_to_end(&mut bytes));
        if read.is_err() || bytes.is_empty() {
            return result;
        }
        let types = self.stage.conf("type");
        let text = String::from_utf8_lossy(&bytes);
        let mut missing = missing_words(&text);
        missing.retain(|name| Type::find(&types, OsStr::new(name)).is_none());
        let Some(last) = missing.pop() else { return result };
        let known: Vec<String> = fs::read_dir(&types)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let error = |name: &str| ConfigError::NoType {
            name: name.to_owned(),
            near: near_match(known.iter().map(String::as_str), name).map(str::to_owned),
        };
        for name in missing {
            self.log(Level::Warning, &error(name).to_string());
        }
        match result {
            Err(ConfigError::Failed { status, .. }) if status.code() == Some(127) => Err(error(last)),
            result => {
                self.log(Level::Warning, &error(last).to_string());
                result
            }
        }
    }
}

/// The words that look like types, begin with `__`, among those that a shell did not find; each once.
fn missing_words(stderr: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for line in stderr.lines() {
        let Some(rest) = ENDINGS.iter().find_map(|ending| line.trim_end().strip_suffix(ending)) else {
            continue;
        };
        let word = rest.rsplit(": ").next().unwrap_or(rest);
        let is_type = word.len() > 2
            && word.starts_with("__")
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if is_type && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_all_shells_are_understood() {
        for line in [
            "/m: 3: __foo: not found",
            "/m: line 3: __foo: command not found",
            "/m[3]: __foo: inaccessible or not found",
            "sh: __foo: not found",
        ] {
            assert_eq!(missing_words(line), ["__foo"], "{line}");
        }
        assert_eq!(
            missing_words("a: __x: not found\nb: __y: not found\na: __x: not found\n"),
            ["__x", "__y"]
        );
    }

    #[test]
    fn other_words_are_left_alone() {
        for line in [
            "/m: 3: foo: not found",
            "__foo: bar",
            "file '/x/__foo': not found",
            ": not found",
            "__: not found",
        ] {
            assert!(missing_words(line).is_empty(), "{line}");
        }
    }
}
