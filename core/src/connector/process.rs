//! One child process of the engine: its streams, its end, and how it is stopped.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, PipeReader},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::quota::{OverQuota, Quota};
use crate::host::{CAPTURED_MAX, Cancel, limits, scripts, start};

/// How long a cancelled process may take to end by itself.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How often a running process looks at its [`Cancel`].
pub(super) const POLL: Duration = Duration::from_millis(50);
/// A background process may keep the pipe of a script that has ended.
const LINGER: Duration = Duration::from_millis(500);

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// Nothing to read.
    #[default]
    Null,
    /// What this process reads.
    Inherit,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What comes out of this pipe, until all that write to it are gone.
    Pipe(PipeReader),
}

/// Where an output stream goes.
#[derive(Debug, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// Where that of this process goes.
    Inherit,
    /// Into [`Done::stdout`] or [`Done::stderr`].
    Capture,
    /// Into a file, from its current position.
    File(File),
    /// Into a file, as [`File`](Self::File); a process that writes more than the quota is stopped.
    Limited(File, Quota),
}

impl Output {
    /// What the process may say.
    pub(super) fn quota(&self) -> Option<Quota> {
        match self {
            Self::Limited(_, quota) => Some(quota.clone()),
            _ => None,
        }
    }
}

/// How a process ended and what it left.
#[derive(Debug)]
pub struct Done {
    /// Exit status or signal.
    pub status: ExitStatus,
    /// Standard output, if it was captured.
    pub stdout: Vec<u8>,
    /// Standard error, if it was captured.
    pub stderr: Vec<u8>,
}

/// Why there is no exit status.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("starting {}", shown(.argv))]
    Start {
        /// The words of the command.
        argv: Vec<OsString>,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Talking to the process failed.
    #[error("talking to {}", shown(.argv))]
    Talk {
        /// The words of the command.
        argv: Vec<OsString>,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It has printed more than its quota, and was ended.
    #[error("{}", shown(.argv))]
    OverQuota {
        /// The words of the command.
        argv: Vec<OsString>,
        /// How much is too much.
        #[source]
        source: OverQuota,
    },
    /// The user asked to stop; the process has been ended.
    #[error("cancelled")]
    Cancelled,
}

/// The words of a command as one would type them.
pub fn shown(argv: &[OsString]) -> String {
    crate::host::quote::posix_line(argv).to_string_lossy().into_owned()
}

/// A process to run. The environment is exactly `env`.
#[derive(Debug)]
pub struct Process {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Ends the process when set.
    pub cancel: Cancel,
}

impl Process {
    /// Runs the process to its end.
    ///
    /// # Errors
    ///
    /// It cannot be started, its pipes fail, or [`Cancel`] is set. A bad exit status is no error here.
    pub async fn run(self) -> Result<Done, ProcessError> {
        let Self { argv, env, stdin, stdout, stderr, cancel } = self;
        if cancel.is_cancelled() {
            return Err(ProcessError::Cancelled);
        }
        let Some((program, args)) = argv.split_first() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "empty command");
            return Err(ProcessError::Start { argv, source });
        };
        let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.clone());
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env).kill_on_drop(true);
        // Until this function ends. A later process finds what this one had running when it was killed.
        let running = scripts::begin();
        if let Some(running) = &running {
            command.env(scripts::VARIABLE, running.mark());
        }
        // A process group of its own gets one signal for all that a script has started. But a group that is
        // not the terminal's foreground group may not read from it, and ssh asks for passwords there.
        let own_group = !(matches!(stdin, Input::Inherit) && has_terminal());
        if own_group {
            command.process_group(0);
        }
        let bytes = match stdin {
            Input::Null => {
                command.stdin(Stdio::null());
                None
            }
            Input::Inherit => {
                command.stdin(Stdio::inherit());
                None
            }
            Input::Bytes(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
            Input::Pipe(pipe) => {
                command.stdin(pipe);
                None
            }
        };
        let quotas = [stdout.quota(), stderr.quota()];
        match stdio(&stdout).and_then(|out| Ok((out, stdio(&stderr)?))) {
            Ok((out, err)) => command.stdout(out).stderr(err),
            Err(source) => return Err(ProcessError::Start { argv, source }),
        };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(source) => {
                let source = start::explained(program, path.as_deref(), source);
                return Err(ProcessError::Start { argv, source });
            }
        };
        drop(command);
        limits::restore_for(child.id());
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), bytes) {
            tokio::spawn(async move {
                // A child that does not read its input is no error of ours; its exit status tells.
                let _ = pipe.write_all(&bytes).await;
            });
        }
        let out = child.stdout.take().map(|pipe| Collector::start(pipe, stdout));
        let err = child.stderr.take().map(|pipe| Collector::start(pipe, stderr));
        let over = || quotas.iter().flatten().find_map(Quota::over);
        let ended = wait(&mut child, || cancel.is_cancelled() || over().is_some(), own_group).await;
        let (stdout, stderr) = (Collector::finish(out).await, Collector::finish(err).await);
        match (ended, over()) {
            (Err(source), _) => Err(ProcessError::Talk { argv, source }),
            (Ok(None), None) => Err(ProcessError::Cancelled),
            (Ok(None), Some(_)) if cancel.is_cancelled() => Err(ProcessError::Cancelled),
            // Also if it has ended before it could be stopped: what it has said is not whole.
            (Ok(_), Some(source)) => Err(ProcessError::OverQuota { argv, source }),
            (Ok(Some(status)), None) => match stdout.and_then(|stdout| Ok((stdout, stderr?))) {
                Ok((stdout, stderr)) => Ok(Done { status, stdout, stderr }),
                Err(source) => Err(ProcessError::Talk { argv, source }),
            },
        }
    }
}

fn stdio(output: &Output) -> io::Result<Stdio> {
    Ok(match output {
        Output::Null => Stdio::null(),
        Output::Inherit => Stdio::inherit(),
        Output::Capture | Output::Limited(..) => Stdio::piped(),
        Output::File(file) => file.try_clone()?.into(),
    })
}

/// Waits for the end; `None` if it was stopped.
async fn wait(
    child: &mut Child,
    is_stopped: impl Fn() -> bool,
    own_group: bool,
) -> io::Result<Option<ExitStatus>> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                if !own_group && !status.success() {
                    // Ctrl-C on a terminal reaches the child in the same group at the same time as us.
                    sleep(POLL).await;
                }
                let stopped = asked.is_some() || (is_stopped() && !status.success());
                return Ok((!stopped).then_some(status));
            }
            () = sleep(POLL) => {}
        }
        if !is_stopped() {
            continue;
        }
        let signal = match asked {
            None => Signal::SIGTERM,
            Some(when) if when.elapsed() > GRACE => Signal::SIGKILL,
            Some(_) => continue,
        };
        asked.get_or_insert_with(Instant::now);
        if let Some(pid) = pid {
            send(pid, own_group, signal);
        }
    }
}

/// Sends a signal to a process and all that it has started.
pub(super) fn send(pid: Pid, own_group: bool, signal: Signal) {
    // ESRCH: it has just ended by itself.
    if own_group {
        let _ = killpg(pid, signal);
    } else {
        for pid in with_descendants(pid) {
            let _ = kill(pid, signal);
        }
    }
}

/// True if this process has a controlling terminal, wherever its standard input comes from.
pub(super) fn has_terminal() -> bool {
    static HAS_TERMINAL: OnceLock<bool> = OnceLock::new();
    *HAS_TERMINAL.get_or_init(|| File::open("/dev/tty").is_ok())
}

/// A process and everything that it has started, as far as the kernel still knows.
fn with_descendants(pid: Pid) -> Vec<Pid> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        all.extend(list.split_whitespace().filter_map(|word| word.parse().ok()).map(Pid::from_raw));
        at += 1;
    }
    all
}

/// Reads a pipe in the background, for [`Output::Capture`] and [`Output::Limited`].
struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<io::Result<()>>,
    is_captured: bool,
}

impl Collector {
    fn start(mut pipe: impl AsyncRead + Unpin + Send + 'static, to: Output) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        if let Output::Limited(file, quota) = to {
            let task = tokio::spawn(quota.copy(pipe, file));
            return Self { bytes, task, is_captured: false };
        }
        let shared = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
                if let (Ok(mut all), Some(part)) = (shared.lock(), buffer.get(..n)) {
                    // The rest is read as well: the other end wants to be rid of it.
                    let room = usize::try_from(CAPTURED_MAX).unwrap_or(usize::MAX).saturating_sub(all.len());
                    all.extend_from_slice(part.get(..room).unwrap_or(part));
                }
            }
            Ok(())
        });
        Self { bytes, task, is_captured: true }
    }

    async fn finish(this: Option<Self>) -> io::Result<Vec<u8>> {
        let Some(mut this) = this else { return Ok(Vec::new()) };
        match timeout(LINGER, &mut this.task).await {
            Ok(Ok(result)) => result?,
            // The task has panicked.
            Ok(Err(_)) => {}
            Err(_) if this.is_captured => this.task.abort(),
            // What still runs in the background goes on writing to the file.
            Err(_) => {}
        }
        Ok(this.bytes.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::quota::OutputLimit, *};

    fn sh(script: &str, cancel: &Cancel) -> Process {
        Process {
            argv: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            env: vec![],
            stdin: Input::Null,
            stdout: Output::Capture,
            stderr: Output::Capture,
            cancel: cancel.clone(),
        }
    }

    #[tokio::test]
    async fn captures_both_streams_and_the_status() {
        let done = sh("echo a; echo b >&2; exit 3", &Cancel::default()).run().await.unwrap();
        assert_eq!((done.stdout.as_slice(), done.stderr.as_slice()), (&b"a\n"[..], &b"b\n"[..]));
        assert_eq!(done.status.code(), Some(3));
    }

    #[tokio::test]
    async fn cancel_ends_the_whole_group() {
        let cancel = Cancel::default();
        let later = cancel.clone();
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        let script = format!("sleep 60 & : >'{}'; wait", begun.display());
        tokio::spawn(async move {
            while !begun.exists() {
                sleep(Duration::from_millis(5)).await;
            }
            later.cancel();
        });
        let start = Instant::now();
        let error = sh(&script, &cancel).run().await.unwrap_err();
        assert!(matches!(error, ProcessError::Cancelled), "{error}");
        assert!(start.elapsed() < GRACE);
    }

    #[tokio::test]
    async fn descendants_are_found() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "sleep 30 & sleep 30 & wait"])
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        while with_descendants(pid).len() < 3 {
            sleep(Duration::from_millis(10)).await;
        }
        with_descendants(pid).into_iter().for_each(|p| kill(p, Signal::SIGKILL).unwrap());
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn does_not_wait_for_a_background_process() {
        let start = Instant::now();
        let done = sh("echo out; sleep 30 &", &Cancel::default()).run().await.unwrap();
        assert_eq!(done.stdout, b"out\n");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn what_prints_too_much_is_stopped() {
        let limit = OutputLimit::new(100_000);
        for script in ["yes", "yes >&2", "trap '' PIPE; yes & wait"] {
            let (file, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            let quota = limit.anew().quota();
            let mut process = sh(script, &Cancel::default());
            process.stdout = Output::Limited(file.try_clone().unwrap(), quota.clone());
            process.stderr = Output::Limited(other.try_clone().unwrap(), quota);
            let error = process.run().await.unwrap_err();
            assert!(crate::chain(&error).contains("it printed more than 100000 bytes"), "{error}");
            let length = [file, other].map(|file| file.metadata().unwrap().len()).iter().sum::<u64>();
            assert!((1..=100_000).contains(&length), "{length}");
        }
    }

    #[tokio::test]
    async fn what_is_captured_is_bounded() {
        let done = sh("head -c 20000000 /dev/zero", &Cancel::default()).run().await.unwrap();
        assert_eq!((done.status.code(), done.stdout.len() as u64), (Some(0), CAPTURED_MAX));
    }

    #[tokio::test]
    async fn the_file_of_a_limited_stream_is_whole() {
        let file = tempfile::tempfile().unwrap();
        let mut process = sh("head -c 5000000 /dev/zero; sleep 30 &", &Cancel::default());
        process.stdout = Output::Limited(file.try_clone().unwrap(), OutputLimit::default().quota());
        process.run().await.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5_000_000);
    }
}
