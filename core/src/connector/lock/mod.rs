//! The lock on a work directory of a target: one run at a time.
//!
//! The lock is held by a shell on the target ([`HOLD`]) that reads from a pipe of ours. So it ends with the connection and
//! with this process, however these end, and what the run has left running on the target ends with it.

mod error;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs,
    io::{self, PipeWriter},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use nix::unistd::{Uid, User, gethostname};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe::{Receiver, Sender},
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

pub use error::LockError;

use super::{
    Commands, Connector, ConnectorError, Copy, Done, Exec, Input, Output, ProcessError, RunContext,
    ssh::{SshError, SshProblem},
};
use crate::host::{
    Cancel,
    quote::{posix, posix_always},
};

/// What the shell reads; `guard` comes first.
const HOLD: &str = concat!(include_str!("../../trust/guard.sh"), include_str!("hold.sh"));
/// Begins the line with which [`HOLD`] answers.
const ANSWER: &str = "cdist-lock ";
/// How long a killed run of this machine may take to let go before it is pushed aside.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer of the target.
const ANSWER_MAX: u64 = 64 * 1024;
/// How long the shell on the target may take to end what was left running, and itself.
const RELEASE_MAX: Duration = Duration::from_secs(10);

/// The holder of a lock, as a run that is refused tells it: user, machine, process and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(String);

impl Holder {
    /// This process with its user and machine, and the time now.
    pub fn this_process() -> Self {
        let user = User::from_uid(Uid::current()).ok().flatten();
        let user = user.map_or_else(|| Uid::current().to_string(), |user| user.name);
        let machine = gethostname().unwrap_or_else(|_| "unknown".into());
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
        let machine = machine.to_string_lossy();
        Self(format!("{user}@{machine}, process {}, since {now}", std::process::id()))
    }
}

/// A connector that works only while it holds the lock of a work directory.
#[derive(Debug)]
pub struct Locked {
    inner: Arc<dyn Connector>,
    dir: PathBuf,
    holder: Holder,
    token: Token,
    hold: Mutex<Option<Hold>>,
    /// A command may have been left running on the target.
    abandoned: AtomicBool,
}

/// The shell on the target.
#[derive(Debug)]
struct Hold {
    /// Its end makes the shell let go.
    pipe: Sender,
    task: JoinHandle<Result<Done, ConnectorError>>,
}

impl Locked {
    /// Uses `inner` for the work in the directory `dir` of the target.
    pub fn new(inner: Arc<dyn Connector>, dir: &Path, holder: Holder) -> Self {
        Self {
            inner,
            // Without a slash at its end, since a suffix follows.
            dir: dir.components().collect(),
            holder,
            token: Token::new(),
            hold: Mutex::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Sees to it that the lock is held: for the first time, or again after the connection was lost between two commands.
    async fn ensure(&self, context: &RunContext) -> Result<(), ConnectorError> {
        let mut hold = self.hold.lock().await;
        if hold.as_ref().is_some_and(|hold| !hold.task.is_finished()) {
            return Ok(());
        }
        *hold = None;
        // An earlier holder of our own may not have noticed yet that its connection is gone, also one of an attempt to take
        // the lock that has failed in between.
        let mut push = self.token.0.clone();
        let started = Instant::now();
        loop {
            match self.take(context, &push).await? {
                Answer::Taken(taken) => {
                    *hold = Some(taken);
                    return Ok(());
                }
                Answer::Held { token, .. } if Token::is_of_dead_process(&token) => {
                    // A dead process of this machine: its holder on the target still ends what was left running.
                    if started.elapsed() > PATIENCE {
                        push = token;
                    }
                    sleep(Duration::from_millis(300)).await;
                }
                Answer::Held { holder, .. } => {
                    return Err(self.error(context, LockError::held(holder)).into());
                }
            }
            if context.cancel.is_cancelled() {
                return Err(ProcessError::Cancelled.into());
            }
        }
    }

    /// Starts the shell on the target and waits for its answer.
    async fn take(&self, context: &RunContext, push: &str) -> Result<Answer, ConnectorError> {
        let prepare = |source| self.error(context, LockError::prepare(source));
        let (stdin, pipe) = io::pipe().map_err(prepare)?;
        let (answer, stdout) = io::pipe().map_err(prepare)?;
        let answer = Receiver::from_owned_fd(answer.into()).map_err(prepare)?;
        let arguments = [self.dir.as_os_str(), self.token.0.as_ref(), self.holder.0.as_ref()];
        let mut words: Vec<OsString> = ["/bin/sh", "-s", "--"].map(OsString::from).to_vec();
        words.extend(arguments.map(posix_always));
        words.push(posix_always(push));
        let exec = Exec {
            words,
            stdin: Input::Pipe(stdin),
            stdout: Output::File(fs::File::from(std::os::fd::OwnedFd::from(stdout))),
            stderr: Output::Capture,
        };
        // The holder is told to release the lock and is not killed: it also ends what is still running.
        let own = RunContext { cancel: Cancel::default(), ..context.clone() };
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move { inner.exec(&own, exec).await });
        let pipe = super::cancellable(context, send_script(pipe)).await?.map_err(prepare)?;
        // From a target that may say anything.
        let mut lines = BufReader::new(answer.take(ANSWER_MAX)).split(b'\n');
        let line = loop {
            match super::cancellable(context, lines.next_segment()).await?.map_err(prepare)? {
                // What login scripts print comes before it.
                Some(line) if !line.starts_with(ANSWER.as_bytes()) => {}
                line => break line,
            }
        };
        let Some(line) = line else {
            // No line or no known answer: the end of its input ends the script.
            drop(pipe);
            // It has ended without an answer; if there is no error, its own words tell why.
            let done = task.await.map_err(|e| prepare(io::Error::other(e)))??;
            let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
            return Err(self.error(context, LockError::silent(&said, done.status)).into());
        };
        let line = String::from_utf8_lossy(line.get(ANSWER.len()..).unwrap_or_default());
        let line = line.trim_end();
        match line.split_once(' ') {
            None if line == "ok" => Ok(Answer::Taken(Hold { pipe, task })),
            Some(("held", rest)) => {
                let (token, holder) = rest.split_once(' ').unwrap_or((rest, "somebody"));
                Ok(Answer::Held { token: token.to_owned(), holder: holder.to_owned() })
            }
            Some(("cannot", reason)) => Err(self.error(context, LockError::unusable(reason)).into()),
            _ => Err(self.error(context, LockError::unusable(line)).into()),
        }
    }

    fn error(&self, context: &RunContext, make: impl FnOnce(String, String) -> LockError) -> LockError {
        make(context.host.clone(), self.dir.display().to_string())
    }

    /// A command that notes its parent, the shell of the command that follows, for the end of the lock. For login shells
    /// of any kind: no newline, and nothing that is not in quotes.
    fn note(&self) -> OsString {
        let mut script = OsString::from(
            "{ read -r s </proc/$PPID/stat && set -- ${s##*) } && shift 19 && echo $PPID $1 >>",
        );
        script.push(posix(self.dir.as_os_str()));
        script.push(".lock/running; } 2>/dev/null");
        let mut word = OsString::from("/bin/sh -c ");
        word.push(posix_always(script));
        word.push(";");
        word
    }

    fn watch<T>(&self, result: Result<T, ConnectorError>) -> Result<T, ConnectorError> {
        let left = match &result {
            Ok(_) => false,
            Err(ConnectorError::Ssh(SshError { problem, .. })) => *problem == SshProblem::Lost,
            Err(error) => error.is_cancelled(),
        };
        if left {
            self.abandoned.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Gives the script to the shell that reads the pipe. It may have room for a page only, so this waits until the shell reads.
async fn send_script(pipe: PipeWriter) -> io::Result<Sender> {
    let mut pipe = Sender::from_owned_fd(pipe.into())?;
    match pipe.write_all(HOLD.as_bytes()).await {
        // If nothing reads it, the end of the command tells why.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(pipe),
    }
}

enum Answer {
    Taken(Hold),
    Held { token: String, holder: String },
}

#[async_trait]
impl Connector for Locked {
    async fn open(&self, context: &RunContext) -> Result<(), ConnectorError> {
        self.inner.open(context).await?;
        self.ensure(context).await
    }

    async fn exec(&self, context: &RunContext, mut exec: Exec) -> Result<Done, ConnectorError> {
        self.ensure(context).await?;
        exec.words.insert(0, self.note());
        self.watch(self.inner.exec(context, exec).await)
    }

    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
        self.ensure(context).await?;
        self.watch(self.inner.copy(context, copy).await)
    }

    fn commands(&self, dir: &Path) -> io::Result<Commands> {
        self.inner.commands(dir)
    }

    fn takes_scripts_on_stdin(&self) -> bool {
        self.inner.takes_scripts_on_stdin()
    }

    fn shown(&self, context: &RunContext, words: &[OsString]) -> String {
        self.inner.shown(context, words)
    }

    async fn close(&self, context: &RunContext) -> Result<(), ConnectorError> {
        if let Some(mut hold) = self.hold.lock().await.take() {
            if !self.abandoned.load(Ordering::Relaxed) {
                // If it is gone already, there is nothing to release.
                let _ = timeout(RELEASE_MAX, hold.pipe.write_all(b"done\n")).await;
            }
            drop(hold.pipe);
            if timeout(RELEASE_MAX, &mut hold.task).await.is_err() {
                tracing::debug!(host = context.host, "the lock was not released in time");
                hold.task.abort();
            }
        }
        self.inner.close(context).await
    }
}

/// Tells a run from all others, and whether it can still be at work. Without blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token(String);

impl Token {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let start = start_of(&pid.to_string()).unwrap_or_default();
        Self(format!("{}:{pid}:{start}:{count}", space()))
    }

    /// True if it was made on this machine, by a process that is gone.
    fn is_of_dead_process(token: &str) -> bool {
        let mut parts = token.rsplitn(4, ':').skip(1);
        let (Some(start), Some(pid), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        !start.is_empty() && place == space() && start_of(pid).as_deref() != Some(start)
    }
}

/// The space in which process numbers mean something: a boot of a machine, and a PID namespace.
fn space() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}:{}", boot.trim(), namespace.display())
}

/// When a process began, in ticks since the boot.
fn start_of(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}
