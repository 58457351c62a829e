//! Messages: what scripts tell the scripts that come after them.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use crate::config::error::ConfigError;

/// The two message files of one script.
#[derive(Debug)]
pub(in crate::config) struct Messages {
    log: PathBuf,
    prefix: Vec<u8>,
    /// `$__messages_in`: a copy of all messages so far.
    pub(in crate::config) input: TempPath,
    /// `$__messages_out`.
    pub(in crate::config) output: TempPath,
}

impl Messages {
    /// Makes the files for a script whose messages get `prefix`; they go when this is dropped.
    pub(in crate::config) fn open(
        log: PathBuf,
        prefix: &OsStr,
        temporary: &Path,
    ) -> Result<Self, ConfigError> {
        let open = || -> io::Result<(TempPath, TempPath)> {
            let file =
                |suffix| tempfile::Builder::new().prefix("cdist-").suffix(suffix).tempfile_in(temporary);
            let mut input = file(".cdist_message_in")?;
            input.write_all(&fs::read(&log)?)?;
            Ok((input.into_temp_path(), file(".cdist_message_out")?.into_temp_path()))
        };
        let (input, output) =
            open().map_err(ConfigError::io(format!("making message files in {}", temporary.display())))?;
        Ok(Self { log, prefix: prefix.as_bytes().to_vec(), input, output })
    }

    /// Adds what the script has said to all messages; also after a script that failed.
    pub(in crate::config) fn collect(self) -> Result<(), ConfigError> {
        // A script may have removed its file.
        let Ok(said) = fs::read(&self.output) else { return Ok(()) };
        let lines = prefixed(&self.prefix, &said);
        if lines.is_empty() {
            return Ok(());
        }
        OpenOptions::new()
            .append(true)
            .open(&self.log)
            // One write for all of them: scripts of other objects may end at the same time.
            .and_then(|mut file| file.write_all(&lines))
            .map_err(ConfigError::io(format!("writing {}", self.log.display())))
    }
}

/// Each line of `text` as `prefix:line`, with a newline at the end of the last one.
fn prefixed(prefix: &[u8], text: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n') {
        lines.extend_from_slice(prefix);
        lines.push(b':');
        lines.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::prefixed;

    #[test]
    fn every_line_gets_the_prefix_and_a_newline() {
        assert_eq!(prefixed(b"__s/", b"a\n\nb"), b"__s/:a\n__s/:\n__s/:b\n");
        assert_eq!(prefixed(b"__s/", b""), b"");
    }
}
