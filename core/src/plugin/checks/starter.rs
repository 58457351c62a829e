//! Starting a run and waiting for it, whatever the plugin does.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    CheckError,
    events::{self, Event},
    probe::{BUSY, Probe, STOP_LIMIT, WORD, Work},
};

/// Most bytes that are kept of each stream; what comes after them is read and dropped.
const OUTPUT_MAX: usize = 64 * 1024;
/// How often the wait looks whether the user wants to stop.
const POLL: Duration = Duration::from_millis(100);
/// How long the processes of a run may take to end once they are killed.
const GRACE: Duration = Duration::from_secs(5);

/// What a run showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// It had to be killed after this time.
    pub(super) late: Option<Duration>,
}

/// Starts runs, each in a directory of its own below `dir`.
#[derive(Debug)]
pub(super) struct Starter {
    pub(super) program: PathBuf,
    /// Absolute and without links.
    pub(super) dir: PathBuf,
    /// How long a run may take.
    pub(super) limit: Duration,
    /// The signal that has asked to stop, or 0.
    pub(super) stop: Arc<AtomicUsize>,
    pub(super) count: AtomicU64,
}

impl Starter {
    /// A directory for one more run.
    pub(super) fn new_dir(&self) -> io::Result<PathBuf> {
        let dir = self.dir.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&dir)?;
        Ok(dir)
    }

    /// Runs `probe` with the arguments of the plugin to its end.
    pub(super) fn run(&self, probe: &Probe, arguments: &[OsString]) -> Result<Seen, CheckError> {
        let word = serde_json::to_string(probe).map_err(|_| CheckError::Usage {
            message: "the name of the plugin's file is not UTF-8; rename it".to_owned(),
            hint: None,
        })?;
        let mut command = Command::new(&self.program);
        command.arg0("cdist").arg(WORD).arg(word).args(arguments);
        // Files in the directories for temporary and personal files go with the run, also without the sandbox of root.
        command.env("TMPDIR", &probe.dir).env("HOME", &probe.dir).current_dir(&probe.dir);
        // A run that is cancelled has limits of its own.
        let more = if probe.work == Work::Cancel { BUSY + STOP_LIMIT } else { Duration::ZERO };
        let (_, mut seen) = self.finish(&mut command, self.limit + more)?;
        seen.events = events::read(&probe.events);
        for event in &seen.events {
            if let Event::NotRun(reason) = event {
                return Err(CheckError::Failed(format!("the check cannot be done: {reason}")));
            }
        }
        Ok(seen)
    }

    /// Runs a command to its end, or to the end of its time. The exit status is `None` if a signal ended it.
    pub(super) fn finish(
        &self,
        command: &mut Command,
        limit: Duration,
    ) -> Result<(Option<i32>, Seen), CheckError> {
        let failed = |error: io::Error| CheckError::io("starting a process of the check", &error);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (sender, both_ended) = mpsc::channel::<()>();
        let stdout = child.stdout.take().map(|stream| collect(stream, sender.clone()));
        let stderr = child.stderr.take().map(|stream| collect(stream, sender));
        // All processes of a run hold these pipes, so the end of the pipes is the end of the run.
        let late = (!self.wait(&mut child, &both_ended, limit)).then_some(limit);
        let status = child.wait().map_err(failed)?;
        if let Some(signal) = self.stopped() {
            return Err(CheckError::Stopped(signal));
        }
        let taken = |text: Option<Arc<Mutex<Vec<u8>>>>| {
            text.map(|text| text.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
        };
        Ok((status.code(), Seen { events: Vec::new(), stdout: taken(stdout), stderr: taken(stderr), late }))
    }

    fn stopped(&self) -> Option<i32> {
        i32::try_from(self.stop.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
    }

    /// False if the child had to be killed.
    fn wait(&self, child: &mut Child, ended: &mpsc::Receiver<()>, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            match ended.recv_timeout(POLL) {
                Err(RecvTimeoutError::Disconnected) => return true,
                _ if Instant::now() > end || self.stopped().is_some() => break,
                _ => {}
            }
        }
        // Its end closes the lifeline, which ends all other processes of the run.
        let _ = child.kill();
        let end = Instant::now() + GRACE;
        while Instant::now() < end && ended.recv_timeout(POLL) != Err(RecvTimeoutError::Disconnected) {}
        false
    }
}

/// Reads a stream to its end, in a thread: a plugin that writes without end must not block. `sender` is dropped at the end.
fn collect(mut stream: impl Read + Send + 'static, sender: mpsc::Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let text = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&text);
    thread::spawn(move || {
        let _sender = sender;
        let mut buffer = [0; 8192];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let mut text = ours.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = OUTPUT_MAX.saturating_sub(text.len());
                    text.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    text
}
