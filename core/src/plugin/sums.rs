//! The record of the SHA-256 sums of the plugins in a directory: `plugins.sha256`, in the format of sha256sum(1).
//!
//! Where there is one, only what it names is used, and only with this content. `sha256sum -c plugins.sha256` checks it by
//! hand. It guards against a plugin that was damaged or copied over by mistake, not against an attacker: a user who can
//! write to the directory can write to the record too.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::{
    host::atomic::write_atomic,
    trust::{Trust, TrustError},
};

/// The name of the record.
pub const FILE_NAME: &str = "plugins.sha256";
/// The longest record that is read.
const RECORD_MAX: u64 = 1024 * 1024;

/// Why a plugin does not agree with the record. The messages complete the line "skipped FILE: …".
#[derive(Debug, thiserror::Error)]
pub enum SumError {
    /// Another user can change the record.
    #[error("{FILE_NAME} beside it is not trusted: {0}")]
    Untrusted(#[source] TrustError),
    /// The record or the plugin cannot be read.
    #[error("reading {what}: {error}")]
    Read {
        /// Which of them.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// Not the format of sha256sum(1).
    #[error("line {0} of {FILE_NAME} beside it is none that sha256sum writes")]
    Line(usize),
    /// More than is read.
    #[error("{FILE_NAME} beside it is longer than {RECORD_MAX} bytes")]
    Long,
    /// The record does not name the plugin.
    #[error("{FILE_NAME} beside it does not name it; if you trust it: cdist plugin install")]
    Missing,
    /// Another content.
    #[error("its SHA-256 is {found}, but {FILE_NAME} beside it says {recorded}; install it again")]
    Differs {
        /// What it is.
        found: String,
        /// What it should be.
        recorded: String,
    },
}

/// The sums of a directory, by file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<OsString, String>);

impl Sums {
    /// Reads the record of a directory; `None` if it has none.
    ///
    /// # Errors
    ///
    /// It cannot be read, others can change it, or it is in another format. Then nothing beside it may be loaded.
    pub fn of_directory(directory: &Path, trust: &mut Trust) -> Result<Option<Self>, SumError> {
        let (file, _) = match trust.open(&directory.join(FILE_NAME)) {
            Ok(opened) => opened,
            Err(TrustError::Open(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SumError::Untrusted(error)),
        };
        let mut bytes = Vec::new();
        file.take(RECORD_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| SumError::Read { what: FILE_NAME, error })?;
        if bytes.len() as u64 > RECORD_MAX {
            return Err(SumError::Long);
        }
        Self::parse(&bytes).map(Some)
    }

    fn parse(bytes: &[u8]) -> Result<Self, SumError> {
        let mut sums = BTreeMap::new();
        for (number, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let (name, sum) = parse_line(line).ok_or(SumError::Line(number + 1))?;
            sums.insert(name, sum);
        }
        Ok(Self(sums))
    }

    /// Checks the content of the opened file `path`.
    ///
    /// # Errors
    ///
    /// The record does not name the file, or has another sum for it, or the file cannot be read.
    pub fn verify(&self, path: &Path, file: &File) -> Result<(), SumError> {
        let name = path.file_name().unwrap_or_default();
        let recorded = self.0.get(name).ok_or(SumError::Missing)?;
        let found = of_file(file).map_err(|error| SumError::Read { what: "it", error })?;
        if found == *recorded {
            return Ok(());
        }
        Err(SumError::Differs { found, recorded: recorded.clone() })
    }

    /// Records the sum of a file.
    pub fn set(&mut self, name: &OsStr, sum: String) {
        self.0.insert(name.to_owned(), sum);
    }

    /// Forgets a file.
    pub fn remove(&mut self, name: &OsStr) {
        self.0.remove(name);
    }

    /// Writes the record of a directory, whole or not at all.
    ///
    /// # Errors
    ///
    /// The directory or the disk cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        write_atomic(&directory.join(FILE_NAME), 0o644, &self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, sum) in &self.0 {
            let name = name.as_bytes();
            let special = name.iter().any(|byte| b"\\\n\r".contains(byte));
            bytes.extend(special.then_some(b'\\'));
            bytes.extend(sum.as_bytes());
            bytes.extend(b"  ");
            for &byte in name {
                match byte {
                    b'\\' => bytes.extend(b"\\\\"),
                    b'\n' => bytes.extend(b"\\n"),
                    b'\r' => bytes.extend(b"\\r"),
                    _ => bytes.push(byte),
                }
            }
            bytes.push(b'\n');
        }
        bytes
    }
}

/// `SUM  NAME` or `SUM *NAME`; with a backslash before it, the name is escaped.
fn parse_line(line: &[u8]) -> Option<(OsString, String)> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (sum, rest) = line.split_at_checked(64)?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    if name.is_empty() || name.contains(&b'/') || !sum.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut plain = Vec::new();
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if escaped && byte == b'\\' {
            match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            }
        } else {
            byte
        });
    }
    Some((OsString::from_vec(plain), String::from_utf8_lossy(sum).to_ascii_lowercase()))
}

/// The SHA-256 of a file from its beginning, in hexadecimal digits.
///
/// # Errors
///
/// The file cannot be read.
pub fn of_file(mut file: &File) -> io::Result<String> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn of_bytes(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        process::Command,
    };

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_sums() {
        assert_eq!(of_bytes(b""), EMPTY);
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn sha256sum_and_we_read_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["a.so", "b c.so", "new\nline.so", "back\\slash.so", "\\n.so"];
        let mut sums = Sums::default();
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
            sums.set(OsStr::new(name), of_bytes(name.as_bytes()));
        }
        sums.write(dir.path()).unwrap();
        let sha256sum =
            |words: &[&str]| Command::new("sha256sum").args(words).current_dir(dir.path()).output().unwrap();
        let checked = sha256sum(&["--strict", "-c", FILE_NAME]);
        assert!(checked.status.success(), "{checked:?}");
        for mode in ["--text", "--binary"] {
            let words = [&[mode][..], &names].concat();
            assert_eq!(Sums::parse(&sha256sum(&words).stdout).unwrap(), sums);
        }
        let read = Sums::of_directory(dir.path(), &mut Trust::default()).unwrap();
        assert_eq!(read, Some(sums));
    }

    #[test]
    fn a_library_that_differs_or_is_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.so");
        fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        let mut sums = Sums::default();
        assert!(matches!(sums.verify(&path, &file), Err(SumError::Missing)));
        sums.set(OsStr::new("a.so"), EMPTY.to_owned());
        sums.verify(&path, &file).unwrap();
        fs::write(&path, "x").unwrap();
        assert!(matches!(sums.verify(&path, &file), Err(SumError::Differs { .. })));
        sums.remove(OsStr::new("a.so"));
        assert_eq!(sums, Sums::default());
    }

    #[test]
    fn lines_that_are_refused() {
        for line in [
            "x".to_owned(),
            format!("{EMPTY} a.so"),
            format!("{EMPTY}  "),
            format!("{EMPTY}  ../a.so"),
            format!("\\{EMPTY}  a\\x.so"),
            format!("\\{EMPTY}  a\\"),
            format!("{}  a.so", EMPTY.replace('e', "g")),
        ] {
            let text = format!("\n{line}\n");
            assert!(matches!(Sums::parse(text.as_bytes()), Err(SumError::Line(2))), "{line}");
        }
        let upper = format!("{}  a.so", EMPTY.to_uppercase());
        assert_eq!(Sums::parse(upper.as_bytes()).unwrap().0[OsStr::new("a.so")], EMPTY);
    }

    #[test]
    fn a_record_that_others_can_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let read = || Sums::of_directory(dir.path(), &mut Trust::default());
        assert_eq!(read().unwrap(), None);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(read(), Err(SumError::Untrusted(TrustError::Writable { .. }))));
        fs::remove_file(&path).unwrap();
        symlink("nothing", &path).unwrap();
        assert!(matches!(read(), Err(SumError::Untrusted(TrustError::SymbolicLink))));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = Sums::parse(&bytes);
            let _ = Sums::parse(&[b"\\", EMPTY.as_bytes(), b"  ", &bytes[..]].concat());
        }
    }
}
