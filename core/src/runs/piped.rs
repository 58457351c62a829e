//! Pipes that take the output of scripts.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// What a script has started in the background may keep its output open.
const LINGER: Duration = Duration::from_millis(500);
/// As much as a pipe holds.
pub(crate) const PIPE_LENGTH: usize = 64 * 1024;

/// Pipes that are being read. [`end`](Self::end) waits for their ends.
#[derive(Debug, Default)]
pub struct Piped(Vec<oneshot::Receiver<()>>);

impl Piped {
    /// A pipe that is read outside of this value; `ended` hears of its end.
    pub(crate) fn read_elsewhere(ended: oneshot::Receiver<()>) -> Self {
        Self(vec![ended])
    }

    /// Adds a pipe. Everything that comes out of it is written to `writer` in pieces, and at its end `writer` is flushed.
    ///
    /// # Errors
    ///
    /// No more pipes or threads can be made.
    pub fn add(&mut self, mut writer: impl Write + Send + 'static) -> io::Result<File> {
        let (mut reader, pipe) = io::pipe()?;
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("script output".to_owned()).spawn(move || {
            let mut buffer = vec![0; PIPE_LENGTH];
            loop {
                match reader.read(&mut buffer).map(|length| buffer.get(..length).unwrap_or_default()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok([]) | Err(_) => break,
                    // The pipe is read to its end all the same: a script must not wait for room in it.
                    Ok(piece) => drop(writer.write_all(piece)),
                }
            }
            let _ = writer.flush();
            let _ = end.send(());
        })?;
        self.0.push(ended);
        Ok(OwnedFd::from(pipe).into())
    }

    /// Waits until everything that scripts have said has been read. What they have left running goes on writing there.
    pub async fn end(self) {
        for ended in self.0 {
            // An error is the end of the thread.
            let _ = timeout(LINGER, ended).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written, and marks each flush.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().push(b'.');
            Ok(())
        }
    }

    #[tokio::test]
    async fn everything_is_read_to_the_end_of_each_pipe() {
        let (kept, mut piped) = (Kept::default(), Piped::default());
        let mut pipe = piped.add(kept.clone()).unwrap();
        let mut other = piped.add(Kept::default()).unwrap();
        pipe.write_all(&[b'x'; 200_000]).unwrap();
        other.write_all(b"y").unwrap();
        drop((pipe, other));
        piped.end().await;
        let kept = kept.0.lock().unwrap();
        assert_eq!((kept.len(), kept.ends_with(b"xx.")), (200_001, true));
    }

    #[tokio::test]
    async fn a_writer_that_fails_holds_no_script_up() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut piped = Piped::default();
        let mut pipe = piped.add(Broken).unwrap();
        pipe.write_all(&[b'x'; 4 * PIPE_LENGTH]).unwrap();
        drop(pipe);
        piped.end().await;
    }
}
