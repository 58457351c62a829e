//! How much scripts may print: what they say is kept in files, and one that never stops must not fill the disk.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use memchr::memmem::Finder;
use nix::sys::statvfs::fstatvfs;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

use super::POLL;

/// The most that one script may print on one stream, unless the user says otherwise.
const SCRIPT_MAX: u64 = 16 * 1024 * 1024;
/// As many times that may all scripts of a run print together.
const RUN_FACTOR: u64 = 8;
/// So much of a file system stays free for others, and at most this part of it.
const FREE_MIN: u64 = 256 * 1024 * 1024;
const FREE_PART: u64 = 8;
/// How often it is looked at how much is free.
const LOOK_EVERY: u64 = 1024 * 1024;
/// Longer than what follows the boundary in a mark.
const MARK_MAX: u64 = 64;
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// Why a script is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverQuota {
    /// The script has printed more than one script may.
    #[error("it printed more than {0} bytes, which is what --output-max allows a script; it was stopped")]
    Script(u64),
    /// All scripts of the run together have printed more than they may.
    #[error(
        "the scripts of the run printed more than {0} bytes, {RUN_FACTOR} times what --output-max allows one; it was stopped"
    )]
    Run(u64),
    /// The rest of the file system is reserved for other programs.
    #[error("it printed so much that the file system of the run's files is nearly full; it was stopped")]
    NoRoom,
}

/// What all scripts of a run may print. Clones count together.
#[derive(Clone, Debug)]
pub struct OutputLimit {
    script: u64,
    printed: Arc<AtomicU64>,
}

impl Default for OutputLimit {
    fn default() -> Self {
        Self::new(SCRIPT_MAX)
    }
}

impl OutputLimit {
    /// At most `script` bytes from one script on one stream, and eight times as many from all of a run.
    pub fn new(script: u64) -> Self {
        Self { script, printed: Arc::default() }
    }

    /// The same limit for another run.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.script)
    }

    /// The quota of one script.
    pub fn quota(&self) -> Quota {
        Quota { limit: self.clone(), over: Arc::default(), boundary: None }
    }

    /// The quota of many scripts in one call. Each prints a line that begins with `boundary` at its end.
    pub fn quota_of_many(&self, boundary: &str) -> Quota {
        Quota { boundary: Some(Arc::from(format!("\n{boundary} "))), ..self.quota() }
    }
}

/// What the streams of one call may still say. Clones are for the streams of the same call.
#[derive(Clone, Debug)]
pub struct Quota {
    limit: OutputLimit,
    over: Arc<Mutex<Option<OverQuota>>>,
    boundary: Option<Arc<str>>,
}

impl Quota {
    /// Why the call has to be stopped, if it has.
    pub(super) fn over(&self) -> Option<OverQuota> {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the call has to be stopped.
    pub(super) async fn wait_until_over(&self) -> OverQuota {
        loop {
            if let Some(over) = self.over() {
                return over;
            }
            sleep(POLL).await;
        }
    }

    fn stop(&self, why: OverQuota) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Takes note of what a script has written to files by itself: how much on each stream so far, of which `counted` is
    /// known already. The file is on the file system that they are on.
    pub(super) fn count(&self, streams: [u64; 2], counted: &mut u64, room: &File) {
        let all = streams.iter().sum::<u64>();
        let printed = all.saturating_sub(*counted);
        let printed = self.limit.printed.fetch_add(printed, Ordering::Relaxed) + printed;
        let run = self.limit.script.saturating_mul(RUN_FACTOR);
        if streams.iter().any(|length| *length > self.limit.script) {
            self.stop(OverQuota::Script(self.limit.script));
        } else if printed > run {
            self.stop(OverQuota::Run(run));
        } else if all / LOOK_EVERY != *counted / LOOK_EVERY && has_no_room(room) {
            self.stop(OverQuota::NoRoom);
        }
        *counted = all.max(*counted);
    }

    /// Copies a stream to a file, to its end. What is too much is read and goes nowhere, for the script may have to say
    /// something before it ends.
    pub(super) async fn copy(self, mut from: impl AsyncRead + Unpin, to: File) -> io::Result<()> {
        let mut meter = Meter::new(self.limit.script, self.boundary.as_deref());
        let room = to.try_clone()?;
        let mut to = tokio::fs::File::from_std(to);
        let mut looked_at = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await?;
            let Some(part) = piece.get(..length).filter(|part| !part.is_empty()) else {
                return to.flush().await;
            };
            let run = self.limit.script.saturating_mul(RUN_FACTOR);
            let printed = self.limit.printed.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
            if meter.is_too_much(part) {
                self.stop(OverQuota::Script(self.limit.script));
            } else if printed > run {
                self.stop(OverQuota::Run(run));
            } else if printed / LOOK_EVERY != looked_at {
                looked_at = printed / LOOK_EVERY;
                if has_no_room(&room) {
                    self.stop(OverQuota::NoRoom);
                }
            }
            if self.over().is_none() {
                to.write_all(part).await?;
            }
        }
    }
}

/// True if so little is left that others should have it.
fn has_no_room(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|found| {
        let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
        bytes(found.blocks_available()) < FREE_MIN.min(bytes(found.blocks()) / FREE_PART)
    })
}

/// Counts what the script says that is at it.
struct Meter {
    max: u64,
    counted: u64,
    boundary: Option<Finder<'static>>,
    /// The end of the last piece, in which a boundary may begin.
    rest: Vec<u8>,
}

impl Meter {
    fn new(max: u64, boundary: Option<&str>) -> Self {
        // What the mark itself takes is not the script's.
        let max = max.saturating_add(boundary.map_or(0, |boundary| boundary.len() as u64 + MARK_MAX));
        let boundary = boundary.map(|boundary| Finder::new(boundary).into_owned());
        Self { max, counted: 0, boundary, rest: Vec::new() }
    }

    fn is_too_much(&mut self, piece: &[u8]) -> bool {
        self.counted = self.counted.saturating_add(piece.len() as u64);
        if let Some(boundary) = &self.boundary {
            let length = boundary.needle().len();
            self.rest.extend_from_slice(piece);
            if let Some(last) = boundary.find_iter(&self.rest).last() {
                // Each of the scripts before has said no more than a piece of its own and what was counted.
                let before = self.counted.saturating_sub((self.rest.len() - last) as u64);
                self.counted = (self.rest.len() - last - length) as u64;
                if before > self.max.saturating_add(PIECE as u64) {
                    return true;
                }
            }
            let surplus = self.rest.len().saturating_sub(length - 1);
            self.rest.drain(..surplus);
        }
        self.counted > self.max
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn each_script_of_a_call_is_counted_by_itself() {
        let mut alone = Meter::new(10, None);
        assert!(!alone.is_too_much(b"12345\nB 12") && alone.is_too_much(b"3"));
        for size in 1..40 {
            let mut many = Meter::new(10, Some("\nB "));
            let text = b"1234567890\nB 1 0\n12345678\nB 2 0\n123";
            assert!(!text.chunks(size).any(|piece| many.is_too_much(piece)), "{size}");
            let mut many = Meter::new(10, Some("\nB "));
            let text = [b"1\nB 1 0\n".as_slice(), &[b'x'; 100]].concat();
            assert!(text.chunks(size).any(|piece| many.is_too_much(piece)), "{size}");
        }
    }

    #[tokio::test]
    async fn what_is_too_much_is_read_and_not_written() {
        let text = vec![b'x'; 300_000];
        for (max, calls, expected) in [
            (400_000, 1, None),
            (200_000, 1, Some(OverQuota::Script(200_000))),
            (290_000, 1, Some(OverQuota::Script(290_000))),
            (300_000, 9, Some(OverQuota::Run(2_400_000))),
        ] {
            let limit = OutputLimit::new(max);
            let mut file = tempfile::tempfile().unwrap();
            let mut over = None;
            for _ in 0..calls {
                let quota = limit.quota();
                quota.clone().copy(&text[..], file.try_clone().unwrap()).await.unwrap();
                over = quota.over();
            }
            assert_eq!(over, expected);
            let mut written = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut written).unwrap();
            assert!(
                written.len() as u64 <= max * RUN_FACTOR && written.len() >= 190_000,
                "{}",
                written.len()
            );
            assert!(limit.anew().quota().over().is_none());
        }
    }
}
