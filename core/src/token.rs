//! Tokens that machines and administrators show to the trigger server: read from files that others cannot read, compared
//! in constant time, never shown.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use subtle::ConstantTimeEq;

use crate::host::atomic::write_atomic;

/// Shortest token that cannot be guessed.
const LENGTH_MIN: usize = 16;
/// Longest token, without the newline at its end.
const LENGTH_MAX: usize = 512;

/// A secret that a caller has to know: a `b68token` (RFC 6750, 2.1).
#[derive(Clone)]
pub struct Token(String);

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
    #[error("the token file {} can be read by others than its owner; change that with chmod 600, and make a new token", .0.display())]
    Open(PathBuf),
    /// There is nothing in it.
    #[error("the token file {} holds no token", .0.display())]
    Empty(PathBuf),
    /// The token is so short that it can be guessed.
    #[error("the token file {} holds less than {LENGTH_MIN} characters; `openssl rand -base64 33` makes a good token", .0.display())]
    Short(PathBuf),
    /// The token is too long.
    #[error("the token file {} holds more than {LENGTH_MAX} bytes", .0.display())]
    Long(PathBuf),
    /// There is something else in it.
    #[error(
        "the token file {} holds something else than one token: letters, digits and -._~+/, with = at the end",
        .0.display()
    )]
    NoToken(PathBuf),
    /// A new one cannot be kept.
    #[error("making the token file {}", .path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Token {
    /// Reads a token from the only line of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, others can read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let fail = |source| TokenError::Read { path: path.to_owned(), source };
        // Opening a pipe would wait for a writer.
        if !path.metadata().map_err(fail)?.is_file() {
            return Err(fail(io::Error::other("it is no regular file")));
        }
        let file = File::open(path).map_err(fail)?;
        // Of the file that is open, not of the one that has the name by now.
        if file.metadata().map_err(fail)?.mode() & others(path) != 0 {
            return Err(TokenError::Open(path.to_owned()));
        }
        let mut bytes = Vec::new();
        file.take(LENGTH_MAX as u64 + 2).read_to_end(&mut bytes).map_err(fail)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match text {
            [] => Err(TokenError::Empty(path.to_owned())),
            text if text.len() > LENGTH_MAX => Err(TokenError::Long(path.to_owned())),
            text if !is_token(text) => Err(TokenError::NoToken(path.to_owned())),
            text if text.len() < LENGTH_MIN => Err(TokenError::Short(path.to_owned())),
            text => Ok(Self(String::from_utf8_lossy(text).into_owned())),
        }
    }

    /// The token of a file, which is made with a random one if it is not there.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read), or the file cannot be made.
    pub fn keep(path: &Path) -> Result<Self, TokenError> {
        match Self::read(path) {
            Err(TokenError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let made =
                    random().and_then(|text| write_atomic(path, 0o600, format!("{text}\n").as_bytes()));
                made.map_err(|source| TokenError::Make { path: path.to_owned(), source })?;
                Self::read(path)
            }
            token => token,
        }
    }

    /// A token of these characters. `None` if it is too short, too long, or none.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) && is_token(text.as_bytes());
        fits.then(|| Self(text.to_owned()))
    }

    /// True if the value of an `Authorization` header is `Bearer` with this token (RFC 6750, 2.1).
    pub fn is_in(&self, authorization: Option<&[u8]>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && self.is(token.trim_ascii())
    }

    /// True if this is the token. Takes the same time wherever the first difference is.
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The permissions that a token file must not have. What systemd hands to a service (`LoadCredential=`, systemd.exec(5)) is
/// for that service alone, by an access control list, whose mask looks like a permission of the group.
fn others(path: &Path) -> u32 {
    let handed = env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| path.starts_with(dir));
    if handed { 0o007 } else { 0o077 }
}

/// 256 unpredictable bits.
fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_token(bytes: &[u8]) -> bool {
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let (start, _) = bytes.split_at(bytes.len() - padding);
    !start.is_empty() && start.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn files_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let with = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Token::read(&path).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        for good in [&b"abc-._~+/019AZ=="[..], b"0123456789abcdef\n", &[b'x'; 512]] {
            assert_eq!(with(good, 0o600), "");
            assert_eq!(with(good, 0o400), "");
        }
        assert!(with(b"0123456789abcdef", 0o640).contains("read by others"));
        assert!(with(b"0123456789abcdef", 0o604).contains("read by others"));
        assert!(with(b"", 0o600).contains("no token"));
        assert!(with(b"\n", 0o600).contains("no token"));
        assert!(with(b"0123456789abcde\n", 0o600).contains("less than 16"));
        assert!(with(&[b'x'; 513], 0o600).contains("more than 512 bytes"));
        assert!(with(&[b'x'; 5000], 0o600).contains("more than 512 bytes"));
        for bad in ["a b", "a\"b", "a\\b", "a=b", "=", "a\r\n", "a\nb\n", "a\n\n", "\na", "a\0b", "ü"] {
            let error = with(bad.as_bytes(), 0o600);
            assert!(error.contains("something else than one token"), "{bad:?}: {error}");
        }
        let missing = Token::read(&dir.path().join("none")).unwrap_err();
        assert!(missing.to_string().starts_with("reading the token file"));
        assert!(Token::read(dir.path()).unwrap_err().to_string().starts_with("reading the token file"));
    }

    #[test]
    fn a_token_that_is_made_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        Token::keep(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), fs::metadata(&path).unwrap().mode() & 0o777), (65, 0o600));
        assert!(Token::keep(&path).unwrap().is(text.trim().as_bytes()));
        fs::write(&path, "short").unwrap();
        assert!(matches!(Token::keep(&path), Err(TokenError::Short(_))));
        assert!(matches!(Token::keep(&dir.path().join("no/dir")), Err(TokenError::Make { .. })));
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Token::new("0123456789abcdef").unwrap();
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(token.is_in(Some(right.as_bytes())), "{right}");
        }
        for wrong in [
            "",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.is_in(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!token.is_in(None));
        assert_eq!(format!("{token:?}"), "Token");
        assert!(Token::new("too short").is_none() && Token::new("0123456789 abcdef").is_none());
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
