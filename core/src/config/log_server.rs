//! Log records of a run inside a run.
//!
//! A type may call `cdist` from its generated code, as installation types do. What the inner program has to
//! say would end up in a file with the output of that code. So the outer one listens on a socket, whose path
//! the inner one finds in its environment.
//!
//! A record is its length (4 bytes, big-endian, of what follows), the level's number (1 byte), the length of the
//! name (2 bytes, big-endian), the name and the message. Both ends are the same program, and nothing is executed
//! or parsed any further.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream as StdUnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::log::{Level, LogSink};

/// The variable that holds the path of the socket.
pub const SOCKET_VARIABLE: &str = "__cdist_log_server_socket";
/// More than any message; a length beyond it is no record of ours.
const RECORD_MAX: usize = 4 * 1024 * 1024;

/// Listens for inner runs until it is dropped.
#[derive(Debug)]
pub(super) struct LogServer {
    path: PathBuf,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl LogServer {
    /// Listens on a socket in a new directory, which only this user can enter, below `temporary`.
    pub(super) fn start(temporary: &Path, log: Arc<dyn LogSink>) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("cdist-log-").tempdir_in(temporary)?;
        let path = dir.path().join("log-server");
        let listener = UnixListener::bind(&path)?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, Arc::clone(&log)));
            }
        });
        Ok(Self { path, task, _dir: dir })
    }

    /// For [`SOCKET_VARIABLE`].
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LogServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut stream: UnixStream, log: Arc<dyn LogSink>) {
    // An end in the middle of a record is an inner run that was killed.
    while let Ok(length) = stream.read_u32().await {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > RECORD_MAX {
            return;
        }
        let mut record = vec![0; length];
        if stream.read_exact(&mut record).await.is_err() {
            return;
        }
        if let Some((level, name, message)) = decode(&record) {
            log.pass_on(level, &name, &message);
        }
    }
}

fn encode(level: Level, name: &str, message: &str) -> Vec<u8> {
    let name = name.get(..name.len().min(usize::from(u16::MAX))).unwrap_or_default();
    let mut record = vec![level.number()];
    record.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    record.extend(name.as_bytes());
    record.extend(message.as_bytes());
    record.truncate(RECORD_MAX);
    let mut framed = u32::try_from(record.len()).unwrap_or(0).to_be_bytes().to_vec();
    framed.append(&mut record);
    framed
}

fn decode(record: &[u8]) -> Option<(Level, String, String)> {
    let (&level, rest) = record.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (name, message) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((Level::from_number(i64::from(level))?, text(name), text(message)))
}

/// Sends records to the outer run.
#[derive(Debug)]
pub struct LogClient {
    stream: Mutex<StdUnixStream>,
}

impl LogClient {
    /// Connects to the outer run, if this is an inner one.
    pub fn from_environment() -> Option<Self> {
        let path = std::env::var_os(SOCKET_VARIABLE)?;
        // An outer run that has ended leaves its variable to what it has started in the background.
        let stream = StdUnixStream::connect(path).ok()?;
        Some(Self { stream: Mutex::new(stream) })
    }

    /// Sends one record.
    ///
    /// # Errors
    ///
    /// The outer run has ended, so its socket is closed.
    pub fn send(&self, level: Level, name: &str, message: &str) -> io::Result<()> {
        let mut stream = self.stream.lock().map_err(|_| io::Error::other("a sender has panicked"))?;
        stream.write_all(&encode(level, name, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_arrive(name in "\\PC{0,20}", message in "(?s).{0,40}") {
            let framed = encode(Level::Verbose, &name, &message);
            let (length, record) = framed.split_first_chunk::<4>().unwrap();
            prop_assert_eq!(u32::from_be_bytes(*length) as usize, record.len());
            prop_assert_eq!(decode(record), Some((Level::Verbose, name, message)));
        }

        #[test]
        fn no_panic_on_any_record(record in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = decode(&record);
        }
    }
}
