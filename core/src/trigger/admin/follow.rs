//! The log of a job, as it is and as it grows.

use std::{io, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::mpsc,
    time::sleep,
};

use crate::trigger::{
    dispatcher::Dispatcher,
    job::{Job, JobId},
};

/// How often a log is looked at that has not grown.
const POLL: Duration = Duration::from_millis(200);
/// How many pieces a reader may be behind.
const BEHIND: usize = 4;
/// The most that is read at once.
const PIECE: u64 = 64 * 1024;

/// Reads the log of one attempt from its beginning. While the attempt goes on, its log is waited for.
#[derive(Debug)]
pub struct Follow {
    dispatcher: Dispatcher,
    job: JobId,
    attempt: u32,
    /// Still to be read, in order: what was rotated away, then the log itself.
    older: Option<PathBuf>,
    path: PathBuf,
    open: Option<File>,
    wait: bool,
    /// The attempt has ended; what is in the file now is all.
    over: bool,
}

impl Follow {
    /// The log of an attempt at a job, of the last one if none is named. With `wait`, until the attempt ends.
    pub fn new(dispatcher: &Dispatcher, job: &Job, attempt: Option<u32>, wait: bool) -> Self {
        let attempt = attempt.unwrap_or_else(|| job.attempts.max(1));
        let path = dispatcher.jobs_dir().log(job.id, attempt);
        Self {
            dispatcher: dispatcher.clone(),
            job: job.id,
            attempt,
            older: Some(path.with_extension("log.1")),
            path,
            open: None,
            wait,
            over: !wait,
        }
    }

    /// Leaves out what is in the log but for about its last `bytes`, from the beginning of a line on.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub async fn skip_to_end(&mut self, bytes: u64) -> io::Result<()> {
        self.older = None;
        let Ok(mut file) = File::open(&self.path).await else { return Ok(()) };
        let length = file.metadata().await?.len();
        if let Some(start) = length.checked_sub(bytes).filter(|start| *start > 0) {
            file.seek(io::SeekFrom::Start(start)).await?;
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece).await?;
            // A line that is longer than that is cut.
            let line = memchr::memchr(b'\n', &piece).map_or(0, |end| end as u64 + 1);
            file.seek(io::SeekFrom::Start(start + line)).await?;
        }
        self.open = Some(file);
        Ok(())
    }

    /// All pieces, read in a task of its own: a read that is given up halfway would lose what it has read. Ends with the
    /// log, after an error, when the reader is gone, or with `stop`.
    pub fn pieces(
        mut self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> mpsc::Receiver<io::Result<Bytes>> {
        let (out, pieces) = mpsc::channel(BEHIND);
        tokio::spawn(async move {
            let copy = async {
                while let Some(piece) = self.next().await.transpose() {
                    let is_last = piece.is_err();
                    if out.send(piece).await.is_err() || is_last {
                        break;
                    }
                }
            };
            tokio::select! {
                () = copy => {}
                () = stop => {}
                () = out.closed() => {}
            }
        });
        pieces
    }

    /// The next piece; `None` at the end. Lines may be cut anywhere.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub(in crate::trigger) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(older) = self.older.take()
                && let Ok(file) = File::open(older).await
            {
                self.open = Some(file);
            }
            if self.open.is_none() {
                self.open = File::open(&self.path).await.ok();
            }
            // Before reading: what is written after that is read in the next round.
            let over = self.over || self.is_over().await;
            if let Some(file) = &mut self.open {
                let mut piece = Vec::new();
                file.take(PIECE).read_to_end(&mut piece).await?;
                if !piece.is_empty() {
                    return Ok(Some(piece.into()));
                }
                if self.was_rotated().await? {
                    self.open = None;
                    continue;
                }
            }
            if over {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }

    /// True if the open file is not the one that has the name.
    async fn was_rotated(&self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        let Ok(named) = tokio::fs::metadata(&self.path).await else { return Ok(false) };
        Ok(open.metadata().await?.ino() != named.ino())
    }

    async fn is_over(&mut self) -> bool {
        let job = self.dispatcher.job(self.job).await.ok().flatten();
        // A pruned job has ended, too. So has the attempt before another one, and one after which there is a pause.
        self.over = !self.wait
            || job.is_none_or(|job| {
                job.state.is_final()
                    || job.attempts > self.attempt
                    || (job.attempts > 0 && job.not_before.is_some())
            });
        self.over
    }
}
