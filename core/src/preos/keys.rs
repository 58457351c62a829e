//! ssh public keys for root: read, checked, and with their options and comments kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Key types of OpenSSH (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const TYPES: [&str; 8] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
    "ssh-dss",
];
/// A key file is small; anything larger is another file.
const SIZE_MAX: u64 = 1024 * 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("reading the key file {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It holds a private key.
    #[error("{} is a private key, which must not leave this machine; give the public one, usually {}.pub", .0.display(), .0.display())]
    Private(PathBuf),
    /// It holds something else.
    #[error("line {line} of {} is no ssh public key; a key file is what ssh-keygen writes as NAME.pub", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// It holds no key at all.
    #[error("{} holds no ssh public key; a key file is what ssh-keygen writes as NAME.pub", .0.display())]
    Empty(PathBuf),
}

/// The keys of all files, in order, each once.
///
/// # Errors
///
/// The first file that cannot be read or holds anything but public keys, comments and empty lines.
pub fn read_all(files: &[PathBuf]) -> Result<Vec<String>, KeyError> {
    let mut keys = Vec::new();
    for path in files {
        for key in read(path)? {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

fn read(path: &Path) -> Result<Vec<String>, KeyError> {
    let fail = |source| KeyError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("it is no regular file")));
    }
    if metadata.len() > SIZE_MAX {
        return Err(KeyError::NoKey { path: path.to_owned(), line: 1 });
    }
    let bytes = fs::read(path).map_err(fail)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private(path.to_owned()));
    }
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if !is_public_key(line) {
            return Err(KeyError::NoKey { path: path.to_owned(), line: number + 1 });
        }
        keys.push(line.to_owned());
    }
    if keys.is_empty() { Err(KeyError::Empty(path.to_owned())) } else { Ok(keys) }
}

/// Whether a line of `authorized_keys` holds a key: options, a type, and base64 data that begins with the same
/// type (RFC 4253, 6.6). Each part is where sshd looks for it, so that no word in an option is taken for the key.
pub fn is_public_key(line: &str) -> bool {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return false;
    }
    begins_with_key(line) || after_options(line).is_some_and(begins_with_key)
}

fn begins_with_key(line: &str) -> bool {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(kind), Some(data)) = (words.next(), words.next()) else { return false };
    TYPES.contains(&kind)
        && decode_base64(data).is_some_and(|data| {
            let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
            data.starts_with(&length) && data[4..].starts_with(kind.as_bytes()) && data.len() > 40
        })
}

/// What follows the options at the beginning of a line: they end at the first blank outside of double quotes,
/// and a backslash keeps a quote from counting (sshd(8), AUTHORIZED_KEYS FILE FORMAT). None if they never end.
fn after_options(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return line.get(at..),
            _ => {}
        }
        escaped = c == '\\';
    }
    None
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut data) = (0u32, 0, Vec::with_capacity(text.len() * 3 / 4));
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            data.push((bits >> count & 0xff) as u8);
        }
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChqBXH4Vj6NN3nXKX5NbTMLN7Yzw7vM3Yd6dFyOk me@100%home";

    #[test]
    fn public_keys_are_told_from_other_text() {
        assert!(is_public_key(KEY));
        assert!(is_public_key(&format!("from=\"10.0.0.0/8\" {KEY}")));
        assert!(is_public_key(&format!("command=\"/bin/sh -c \\\"ssh-rsa x\\\"\",restrict \t{KEY}")));
        assert!(!is_public_key(&format!("command=\"/bin/echo {KEY}\" nonsense")));
        assert!(!is_public_key(&format!("command=\"never ends {KEY}")));
        assert!(!is_public_key(&format!("restrict no-pty {KEY}")));
        assert!(!is_public_key("ssh-ed25519 AAAA"));
        assert!(!is_public_key("hello world"));
        assert!(!is_public_key(&KEY.replace("ssh-ed25519", "ssh-rsa")));
    }

    #[test]
    fn files_are_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let good = file("good", &format!("# mine\n\n{KEY}\n{KEY}\n"));
        assert_eq!(read_all(&[good.clone(), good]).unwrap(), [KEY]);
        let restricted = format!("from=\"10.0.0.0/8\",command=\"/bin/echo no\",restrict {KEY}");
        assert_eq!(read_all(&[file("options", &restricted)]).unwrap(), [restricted]);
        let error = |path: PathBuf| read_all(&[path]).unwrap_err().to_string();
        assert!(error(file("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n")).contains("is a private key"));
        assert!(error(file("bad", &format!("{KEY}\nnonsense\n"))).starts_with("line 2 of "));
        assert!(error(file("empty", "")).contains("holds no ssh public key"));
        assert!(error(dir.path().join("none")).starts_with("reading the key file"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line: String) {
            is_public_key(&line);
            is_public_key(&format!("ssh-rsa {line}"));
        }
    }
}
