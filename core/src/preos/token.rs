//! The file with the token that machines show to the trigger server: checked here, read by the type that uses it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Longest token, without the newline at its end.
const LENGTH_MAX: usize = 512;

/// Why a token file cannot be used. No message has anything of its content.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("reading the token file {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("the token file {} can be read by others than its owner; change that with chmod 600", .0.display())]
    Open(PathBuf),
    /// There is nothing in it.
    #[error("the token file {} holds no token", .0.display())]
    Empty(PathBuf),
    /// There is too much in it.
    #[error("the token file {} holds more than {LENGTH_MAX} bytes", .0.display())]
    Long(PathBuf),
    /// There is something else in it.
    #[error(
        "the token file {} holds something else than one token: letters, digits and -._~+/, with = at the end",
        .0.display()
    )]
    NoToken(PathBuf),
}

/// Checks that `path` holds a token that nobody but its owner can read.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(path: &Path) -> Result<(), TokenError> {
    let fail = |source| TokenError::Read { path: path.to_owned(), source };
    // Opening a pipe would wait for a writer.
    if !path.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("it is no regular file")));
    }
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.permissions().mode() & 0o044 != 0 {
        return Err(TokenError::Open(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX as u64 + 2).read_to_end(&mut bytes).map_err(fail)?;
    let token = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    match token {
        [] => Err(TokenError::Empty(path.to_owned())),
        token if token.len() > LENGTH_MAX => Err(TokenError::Long(path.to_owned())),
        token if !is_token(token) => Err(TokenError::NoToken(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether it is a `b68token` (RFC 6750, 2.1).
fn is_token(bytes: &[u8]) -> bool {
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let (start, _) = bytes.split_at(bytes.len() - padding);
    !start.is_empty() && start.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let with = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            check(&path).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        for good in [&b"abc-._~+/019AZ=="[..], b"abc\n", &[b'x'; 512]] {
            assert_eq!(with(good, 0o600), "");
        }
        assert!(with(b"secret", 0o640).contains("read by others"));
        assert!(with(b"secret", 0o604).contains("read by others"));
        assert!(with(b"", 0o600).contains("no token"));
        assert!(with(b"\n", 0o600).contains("no token"));
        assert!(with(&[b'x'; 513], 0o600).contains("more than 512 bytes"));
        assert!(with(&[b'x'; 5000], 0o600).contains("more than 512 bytes"));
        for bad in ["a b", "a\"b", "a\\b", "a=b", "=", "a\r\n", "a\nb\n", "a\n\n", "\na", "a\0b", "ü"] {
            let error = with(bad.as_bytes(), 0o600);
            assert!(error.contains("something else than one token"), "{bad:?}: {error}");
        }
        assert!(
            check(&dir.path().join("none")).unwrap_err().to_string().starts_with("reading the token file")
        );
        assert!(check(dir.path()).unwrap_err().to_string().starts_with("reading the token file"));
    }

    proptest::proptest! {
        #[test]
        fn a_token_needs_no_quotes_anywhere(bytes: Vec<u8>) {
            if is_token(&bytes) {
                proptest::prop_assert!(bytes.is_ascii());
                proptest::prop_assert!(!bytes.iter().any(|b| b" \t\r\n\0\"'\\$`".contains(b)));
            }
        }
    }
}
