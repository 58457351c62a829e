//! Messages: what scripts tell the scripts that come after them.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
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
    /// How much of the log the copy holds, and what told then that nothing else is in it.
    copied: u64,
    stamp: Option<Stamp>,
}

/// What changes when a file is written: device, number, length, times.
type Stamp = (u64, u64, u64, [i64; 4]);

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = path.symlink_metadata().ok()?;
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
    Some((meta.dev(), meta.ino(), meta.len(), times))
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
        let (copied, stamp) = (input.metadata().map_or(0, |meta| meta.len()), stamp(&input));
        Ok(Self { log, prefix: prefix.as_bytes().to_vec(), input, output, copied, stamp })
    }

    /// The same files for the next script: where many are made and removed, some file systems take long to make one. What is
    /// new in the log is added to the copy, unless a script has changed that.
    pub(in crate::config) fn again(mut self, prefix: &OsStr) -> Result<Self, ConfigError> {
        self.prefix = prefix.as_bytes().to_vec();
        self.empty_and_copy().map_err(ConfigError::io(format!("writing {}", self.input.display())))?;
        Ok(self)
    }

    fn empty_and_copy(&mut self) -> io::Result<()> {
        if !self.output.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            fs::write(&self.output, "")?;
        }
        let mut log = File::open(&self.log)?;
        let is_as_it_was = self.stamp.is_some() && stamp(&self.input) == self.stamp;
        let from = if is_as_it_was { self.copied.min(log.metadata()?.len()) } else { 0 };
        let mut input = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(from == 0)
            .append(from > 0)
            .open(&self.input)?;
        log.seek(SeekFrom::Start(from))?;
        let mut new = Vec::new();
        log.read_to_end(&mut new)?;
        input.write_all(&new)?;
        self.copied = from + new.len() as u64;
        self.stamp = stamp(&self.input);
        Ok(())
    }

    /// Adds what the script has said to all messages; also after a script that failed.
    pub(in crate::config) fn collect(&self) -> Result<(), ConfigError> {
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
    use super::*;

    #[test]
    fn the_next_script_has_what_was_said_before_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("messages");
        fs::write(&log, "before\n").unwrap();
        let mut messages = Messages::open(log.clone(), OsStr::new("a"), dir.path()).unwrap();
        let mut expected = "before\n".to_owned();
        let disturb: [fn(&Messages); 5] = [
            |_| {},
            |messages| fs::write(&messages.input, "other\n").unwrap(),
            |messages| fs::remove_file(&messages.input).unwrap(),
            |messages| fs::remove_file(&messages.output).unwrap(),
            |messages| fs::write(&messages.input, "").unwrap(),
        ];
        for (i, disturb) in disturb.iter().enumerate() {
            assert_eq!(fs::read_to_string(&messages.input).unwrap(), expected);
            assert_eq!(fs::read_to_string(&messages.output).unwrap(), "");
            fs::write(&messages.output, "said").unwrap();
            messages.collect().unwrap();
            disturb(&messages);
            expected.push_str(&if i == 0 { "a:said\n".to_owned() } else { format!("b{i}:said\n") });
            assert_eq!(fs::read_to_string(&log).unwrap(), expected);
            messages = messages.again(OsStr::new(&format!("b{}", i + 1))).unwrap();
        }
    }

    #[test]
    fn every_line_gets_the_prefix_and_a_newline() {
        assert_eq!(prefixed(b"__s/", b"a\n\nb"), b"__s/:a\n__s/:\n__s/:b\n");
        assert_eq!(prefixed(b"__s/", b""), b"");
    }
}
