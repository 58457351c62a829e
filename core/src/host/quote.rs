//! Words for a POSIX shell, in what is sent to a target and in what is run here.

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
/// use cdist_core::host::quote::posix;
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

    /// The shells that targets have. A busybox may come without its `sh` link, so it is told what to be.
    const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

    /// What `shell` makes of `line`: its words, each followed by a NUL.
    fn words_by_shell(shell: &[&str], locale: &str, line: &OsStr) -> Vec<u8> {
        let mut script = OsString::from("printf '%s\\0' ");
        script.push(line);
        let (program, args) = shell.split_first().unwrap();
        let mut command = Command::new(program);
        command.env("LC_ALL", locale).args(args).arg("-c").arg(script);
        let output = command.output().unwrap_or_else(|e| panic!("{program}: {e}"));
        assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Any byte, but those more often that mean something to a shell or begin a character of several bytes.
    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![1u8..=255, prop::sample::select(b"'\"\\$`!*?[]{}()<>|&;#~= \t\n\r-\xe2\xc3\xff".to_vec())]
    }

    /// Any text; or a short one of what needs no quotes, and of what looks as if it needed none.
    fn word() -> impl Strategy<Value = Vec<u8>> {
        let nearly_plain = prop::sample::select(b"az09_./:@%+,=-~#^!".to_vec());
        prop_oneof![prop::collection::vec(byte(), 0..40), prop::collection::vec(nearly_plain, 1..3)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn shell_reads_back_what_was_quoted(
            words in prop::collection::vec(word(), 1..20),
            utf8: bool,
        ) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            let expected: Vec<u8> = words.iter().flat_map(|w| [w.as_bytes(), b"\0"].concat()).collect();
            let locale = if utf8 { "C.UTF-8" } else { "C" };
            for shell in SHELLS {
                let always = words.iter().map(posix_always).collect::<Vec<_>>().join(OsStr::new(" "));
                prop_assert_eq!(&words_by_shell(shell, locale, &always), &expected, "{:?}, quoted always", shell);
                prop_assert_eq!(&words_by_shell(shell, locale, &posix_line(&words)), &expected, "{:?}", shell);
            }
        }

        /// As in `ssh host /bin/sh -c ...`: the words are read by a shell on the way.
        #[test]
        fn quoting_twice_survives_two_shells(word in word()) {
            let word = OsString::from_vec(word);
            let mut inner = OsString::from("printf '%s\\0' ");
            inner.push(posix(&word));
            for outer in SHELLS {
                for shell in SHELLS {
                    let words = shell.iter().map(OsString::from).chain(["-c".into(), inner.clone()]);
                    let mut script = OsString::from("exec ");
                    script.push(posix_line(words));
                    let (program, args) = outer.split_first().unwrap();
                    let output = Command::new(program).env("LC_ALL", "C").args(args).arg("-c").arg(script).output().unwrap();
                    prop_assert_eq!(output.stdout, [word.as_bytes(), b"\0"].concat(), "{:?} in {:?}", shell, outer);
                }
            }
        }
    }
}
