//! Tokens: read from files that others cannot read, compared in constant time, never shown.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use subtle::ConstantTimeEq;

/// Shortest token: nobody guesses 16 characters.
const SHORTEST: usize = 16;
/// Longest.
const LONGEST: usize = 512;

/// A secret that whoever asks has to know.
#[derive(Clone)]
pub struct Token(String);

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("reading the token file {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Others can read it.
    #[error("the token file {} is open to other users; `chmod 600` it and make a new token", .0.display())]
    Open(PathBuf),
    /// Not a token.
    #[error(
        "the token file {} must hold one line of 16 to 512 letters, digits and -._~+/=", .0.display()
    )]
    Text(PathBuf),
}

impl Token {
    /// Reads a token from the only line of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, others can read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let io = |error| TokenError::Io(path.to_owned(), error);
        let file = File::open(path).map_err(io)?;
        // Of the file that is open, not of the one that has the name by now.
        if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
            return Err(TokenError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(2 * LONGEST as u64).read_to_string(&mut text).map_err(io)?;
        Self::new(text.strip_suffix('\n').unwrap_or(&text)).ok_or_else(|| TokenError::Text(path.to_owned()))
    }

    /// A token of these characters, as RFC 6750 allows them. `None` if it is too short, or none.
    pub fn new(text: &str) -> Option<Self> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        ((SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(is_token))
            .then(|| Self(text.to_owned()))
    }

    /// True if the value of an `Authorization` header is `Bearer` with this token (RFC 6750, section 2.1).
    pub fn is_in(&self, authorization: Option<&[u8]>) -> bool {
        let Some(value) = authorization else { return false };
        let Some((scheme, token)) = value.split_at_checked(7) else { return false };
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

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
    }

    #[test]
    fn a_file_that_others_can_read_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(matches!(Token::read(&path), Err(TokenError::Open(_))));
        mode(0o400);
        assert!(Token::read(&path).unwrap().is(b"0123456789abcdef"));
        mode(0o600);
        for bad in ["", "short\n", "0123456789abcdef\n\n", "0123456789 abcdef", &"x".repeat(600)] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(Token::read(&path), Err(TokenError::Text(_))), "{bad:?}");
        }
        assert!(Token::read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
