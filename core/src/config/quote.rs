//! The one place that writes words for a POSIX shell.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// A word that a POSIX shell reads back as `value`, byte for byte.
///
/// A value of letters, digits and `_./:@%+,=-` comes back unchanged, so that a remote exec script that
/// looks for such a word finds what the original program wrote. `value` must not hold a NUL byte: no
/// shell word can.
///
/// ```
/// use cdist_core::config::quote::posix;
/// assert_eq!(posix("/etc/motd"), "/etc/motd");
/// assert_eq!(posix("it's"), r"'it'\''s'");
/// assert_eq!(posix(""), "''");
/// ```
pub fn posix(value: impl AsRef<OsStr>) -> OsString {
    let value = value.as_ref();
    if !value.is_empty() && value.as_bytes().iter().all(|&b| is_plain(b)) {
        return value.to_owned();
    }
    posix_always(value)
}

/// Like [`posix`], but with quotes even where none are needed.
pub fn posix_always(value: impl AsRef<OsStr>) -> OsString {
    let value = value.as_ref().as_bytes();
    let mut quoted = Vec::with_capacity(value.len() + 2);
    quoted.push(b'\'');
    for &byte in value {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

/// The words, each quoted if it must be, with blanks between.
pub fn posix_line<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> OsString {
    let words: Vec<OsString> = words.into_iter().map(posix).collect();
    words.join(OsStr::new(" "))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// What `sh` makes of `line`: its words, each followed by a NUL.
    fn words_by_shell(line: &OsStr) -> Vec<u8> {
        let mut script = OsString::from("printf '%s\\0' ");
        script.push(line);
        Command::new("/bin/sh").env("LC_ALL", "C").arg("-c").arg(script).output().unwrap().stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn shell_reads_back_what_was_quoted(words in prop::collection::vec(prop::collection::vec(1u8..=255, 0..40), 1..8)) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            let expected: Vec<u8> = words.iter().flat_map(|w| [w.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(words_by_shell(&posix_line(&words)), expected);
        }

        #[test]
        fn quoting_twice_survives_two_shells(word in prop::collection::vec(1u8..=255, 0..40)) {
            let word = OsString::from_vec(word);
            let mut inner = OsString::from("printf '%s\\0' ");
            inner.push(posix(&word));
            let output = Command::new("/bin/sh").env("LC_ALL", "C").arg("-c")
                .arg([OsStr::new("/bin/sh -c "), &posix_always(inner)].concat_os()).output().unwrap();
            prop_assert_eq!(output.stdout, [word.as_bytes(), b"\0"].concat());
        }
    }

    trait ConcatOs {
        fn concat_os(&self) -> OsString;
    }
    impl ConcatOs for [&OsStr; 2] {
        fn concat_os(&self) -> OsString {
            let mut whole = self[0].to_owned();
            whole.push(self[1]);
            whole
        }
    }
}
