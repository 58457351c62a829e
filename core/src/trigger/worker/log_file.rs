//! The log of a job: a file that holds what `cdist config -v` would print, and that never fills the disk.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, PipeReader, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::oneshot;

use crate::runs::piped::{PIPE_LENGTH, Piped};

/// Most bytes of the file; before it grows longer it is renamed to the old log, in place of an older one.
const LENGTH_MAX: u64 = 8 * 1024 * 1024;

/// A log file. A run goes on if the log cannot be written.
#[derive(Debug)]
pub struct JobLog {
    path: PathBuf,
    length_max: u64,
    sinks: Mutex<Sinks>,
    has_warned: AtomicBool,
}

/// The file of the log, and the pipe that goes there by itself.
#[derive(Debug, Default)]
struct Sinks {
    file: OpenFile,
    /// What scripts say, as long as they have not all ended.
    pipe: Option<Arc<PipeReader>>,
}

impl JobLog {
    /// A log at the end of the file at `path`, which only this user can read.
    pub fn open(path: &Path) -> Arc<Self> {
        Arc::new(Self::with_length_max(path, LENGTH_MAX))
    }

    fn with_length_max(path: &Path, length_max: u64) -> Self {
        let (sinks, has_warned) = (Mutex::default(), AtomicBool::new(false));
        let log = Self { path: path.to_owned(), length_max, sinks, has_warned };
        // The file is made at once, also if no line is ever written.
        log.write(b"");
        log
    }

    /// Adds to the log, after everything that scripts have said until now.
    pub fn write(&self, bytes: &[u8]) {
        let mut sinks = self.sinks();
        self.take_from_pipe(&mut sinks);
        self.add(&mut sinks.file, bytes);
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, file: &mut OpenFile, bytes: &[u8]) {
        if let Err(error) = file.add(&self.path, self.length_max, bytes) {
            // The next write opens the file again.
            *file = OpenFile::default();
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "writing to the log {}: {error}; what is missing there is lost",
                    self.path.display()
                );
            }
        }
    }

    /// Adds what `write` writes.
    ///
    /// # Errors
    ///
    /// That of `write`; that the log cannot be written is none.
    pub fn output(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::new(Unfailing(self));
        write(&mut out)?;
        out.flush()
    }

    /// A pipe into the log, for the output of scripts: they would not see when the file becomes the old one.
    ///
    /// # Errors
    ///
    /// No more pipes or threads can be made.
    pub fn pipe(self: &Arc<Self>) -> io::Result<(File, Piped)> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let reader = Arc::new(reader);
        self.sinks().pipe = Some(Arc::clone(&reader));
        let (end, ended) = oneshot::channel();
        let log = Arc::clone(self);
        // No task: the engine may write from one and wait for room in the pipe.
        std::thread::Builder::new().name("script output".to_owned()).spawn(move || {
            log.follow(&reader);
            let _ = end.send(());
        })?;
        Ok((OwnedFd::from(writer).into(), Piped::read_elsewhere(ended)))
    }

    /// Takes what comes out of the pipe to its end.
    fn follow(&self, reader: &PipeReader) {
        loop {
            let mut waiting = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            let mut sinks = self.sinks();
            self.take_from_pipe(&mut sinks);
            if sinks.pipe.is_none() {
                return;
            }
        }
    }

    fn take_from_pipe(&self, sinks: &mut Sinks) {
        let Some(pipe) = sinks.pipe.clone() else { return };
        // A line does not wait for more than this, however much a script says.
        let mut buffer = vec![0; PIPE_LENGTH];
        match pipe.as_ref().read(&mut buffer).map(|length| buffer.get(..length).unwrap_or_default()) {
            Ok([]) => sinks.pipe = None,
            Ok(part) => self.add(&mut sinks.file, part),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => sinks.pipe = None,
        }
    }
}

/// The open file, if there is one, and its length.
#[derive(Debug, Default)]
struct OpenFile(Option<(File, u64)>);

impl OpenFile {
    fn add(&mut self, path: &Path, length_max: u64, bytes: &[u8]) -> io::Result<()> {
        let added = bytes.len() as u64;
        if self.0.as_ref().is_some_and(|(_, length)| *length > 0 && length + added > length_max) {
            let mut old = path.as_os_str().to_owned();
            old.push(".1");
            fs::rename(path, old)?;
            self.0 = None;
        }
        let mut open = match self.0.take() {
            Some(open) => open,
            None => open(path)?,
        };
        open.1 += added;
        let (file, _) = self.0.insert(open);
        file.write_all(bytes)
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok((file, metadata.len()))
}

struct Unfailing<'l>(&'l JobLog);

impl Write for Unfailing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_two_files_that_only_the_user_can_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.log");
        fs::write(&path, "before\n").unwrap();
        let log = JobLog::with_length_max(&path, 30);
        for number in 0..10 {
            log.write(format!("line {number}\n").as_bytes());
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("1.log"), "line 7\nline 8\nline 9\n");
        assert_eq!(read("1.log.1"), "line 3\nline 4\nline 5\nline 6\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // A single line that is longer than the limit is still written.
        log.write(&[b'x'; 100]);
        assert_eq!(read("1.log").len(), 100);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_no_error_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("later/1.log");
        let log = JobLog::open(&path);
        log.write(b"lost\n");
        log.output(|out| writeln!(out, "lost too")).unwrap();
        fs::create_dir(dir.path().join("later")).unwrap();
        log.output(|out| writeln!(out, "kept")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }

    #[tokio::test]
    async fn what_scripts_say_is_there_when_they_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.log");
        let log = JobLog::open(&path);
        let (mut file, piped) = log.pipe().unwrap();
        file.write_all(&[b'y'; 200_000]).unwrap();
        drop(file);
        piped.end().await;
        log.write(b"end\n");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), text.ends_with("yend\n")), (200_004, true));
    }

    #[tokio::test]
    async fn lines_and_what_scripts_say_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.log");
        let log = JobLog::open(&path);
        let (mut file, piped) = log.pipe().unwrap();
        let mut expected = String::new();
        for number in 0..500 {
            writeln!(file, "script {number}").unwrap();
            log.write(format!("line {number}\n").as_bytes());
            expected.push_str(&format!("script {number}\nline {number}\n"));
        }
        // What still runs in the background is not waited for.
        let background = file.try_clone().unwrap();
        drop(file);
        piped.end().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        drop(background);
    }
}
