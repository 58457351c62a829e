//! The one connection to a host: an `ssh` in master mode, its beginning and its end.
//!
//! The master runs a command on the target that reads from us until the pipe ends. So it ends with this process however
//! that ends, and does not need to be found and ended by a later one. The command's first line says that the connection
//! is there.

use std::{
    ffi::OsString,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use openssh::Session;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{ControlDir, SshError, SshOptions, SshProblem, user};
use crate::{
    connector::{ConnectorError, RunContext, cancellable, process::has_terminal},
    host::{Family, limits},
};

/// What ssh may take in all, when it runs unattended. Reaching the host has its own, shorter limit.
const START_MAX: Duration = Duration::from_secs(120);
/// How long the master may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// As much of what ssh says as an error shows.
const SAID_MAX: usize = 4096;
const READY: &str = "cdist-ready";
/// Without a newline and an exclamation mark, for login shells of any kind.
/// Login scripts may have printed something without a line end.
const KEEPER: &str =
    "exec /bin/sh -c 'command -v tar >/dev/null && t=tar; echo; echo cdist-ready $t; exec cat >/dev/null'";
/// How long to wait before a connection that was dropped is tried again, on average. sshd drops connections at random when
/// too many have not logged in yet (MaxStartups), and all of them while the machine goes down.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(8),
];

/// The longest line of ssh that is read.
const LINE_MAX: u64 = 16 * 1024;

/// Held while ssh may ask for a password: one question at a time.
static TERMINAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A connection.
#[derive(Debug)]
pub(super) struct Master {
    session: Session,
    pid: Option<Pid>,
    /// Its end ends the connection.
    stdin: Mutex<Option<ChildStdin>>,
    ended: watch::Receiver<bool>,
    said: Said,
    has_tar: bool,
}

impl Master {
    /// Connects. If keys are not enough and there is a terminal, ssh may ask there.
    pub(super) async fn start(
        options: &SshOptions,
        control_dir: &ControlDir,
        context: &RunContext,
    ) -> Result<Self, ConnectorError> {
        let host = &context.host;
        if host.starts_with('-') || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SshError::new(context, SshProblem::Name, "").into());
        }
        let refused =
            match cancellable(context, timeout(START_MAX, insist(options, control_dir, context))).await? {
                Ok(result) => match result {
                    Err(error) if error.problem == SshProblem::Authentication && can_ask(options) => error,
                    result => return Ok(result?),
                },
                Err(_) => return Err(SshError::new(context, SshProblem::Timeout, "").into()),
            };
        tracing::debug!(host, "asking on the terminal: {refused}");
        let _turn = TERMINAL.lock().await;
        Ok(cancellable(context, start(options, control_dir, context, true)).await??)
    }

    /// For commands on the target.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// True if the target has tar.
    pub(super) fn has_tar(&self) -> bool {
        self.has_tar
    }

    /// True if the connection can be used.
    pub(super) async fn answers(&self) -> bool {
        !*self.ended.borrow() && self.session.check().await.is_ok()
    }

    /// Waits for the end, but not longer than this. True if it has come.
    pub(super) async fn ends_within(&self, limit: Duration) -> bool {
        let mut ended = self.ended.clone();
        // An error is the end of the task that would tell.
        timeout(limit, ended.wait_for(|ended| *ended)).await.is_ok()
    }

    /// The end of what ssh has said.
    pub(super) fn said(&self) -> String {
        self.said.text()
    }

    /// Ends the connection and waits until the process is gone.
    pub(super) async fn stop(&self) {
        if let Ok(mut stdin) = self.stdin.lock() {
            stdin.take();
        }
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if *self.ended.borrow() {
                return;
            }
            if let Some(pid) = self.pid {
                // ESRCH: it has just ended by itself.
                let _ = kill(pid, signal);
            }
            self.ends_within(GRACE).await;
        }
    }
}

/// Starts, also when the connection is dropped a few times.
async fn insist(
    options: &SshOptions,
    control_dir: &ControlDir,
    context: &RunContext,
) -> Result<Master, SshError> {
    for mean in PAUSES {
        match start(options, control_dir, context, false).await {
            Err(error) if error.problem == SshProblem::Dropped => {
                let pause = spread(mean, getrandom::u32().unwrap_or(u32::MAX / 2));
                tracing::debug!(host = context.host, "trying again in {pause:?}: {error}");
                sleep(pause).await;
            }
            result => return result,
        }
    }
    start(options, control_dir, context, false).await
}

/// From a half of `mean` to one and a half, so that connections that were dropped together are not tried again together.
fn spread(mean: Duration, random: u32) -> Duration {
    mean / 2 + mean.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

fn can_ask(options: &SshOptions) -> bool {
    !options.unattended && has_terminal()
}

async fn start(
    options: &SshOptions,
    control_dir: &ControlDir,
    context: &RunContext,
    may_ask: bool,
) -> Result<Master, SshError> {
    // That of a dead master would make ssh go on without being one.
    let _ = std::fs::remove_file(control_dir.socket());
    let mut command = Command::new("ssh");
    command
        .args(arguments(options, control_dir, &context.host, may_ask))
        .env_clear()
        .envs(context.env.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !may_ask {
        // Ctrl-C must not end ssh, because cleaning up needs the connection. An ssh that may ask for a password stays in the
        // foreground group, or it could not read the terminal.
        command.process_group(0);
    }
    let mut child =
        command.spawn().map_err(|e| SshError::new(context, SshProblem::NotInstalled, &e.to_string()))?;
    limits::restore_for(child.id());
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let stdin = child.stdin.take();
    let said = Said::default();
    let listener = child.stderr.take().map(|stderr| said.listen(stderr));
    let ready = match child.stdout.take() {
        Some(stdout) => ready_line(stdout).await,
        None => Err(String::new()),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(printed) => {
            drop(stdin);
            let status = timeout(GRACE, child.wait()).await.ok().and_then(Result::ok);
            if let Some(listener) = listener {
                // A jump host's ssh may keep the pipe a little longer.
                let _ = timeout(Duration::from_millis(500), listener).await;
            }
            let error = SshError::of_start(context, &format!("{printed}\n{}", said.text()), status);
            return Err(options.host_keys.explain(error, &said.text()));
        }
    };
    let (end, ended) = watch::channel(false);
    tokio::spawn(async move {
        let _ = child.wait().await;
        let _ = end.send(true);
    });
    Ok(Master {
        session: Session::resume_mux(control_dir.socket().into(), None),
        pid,
        stdin: Mutex::new(stdin),
        ended,
        said,
        has_tar: ready.trim_end().ends_with("tar"),
    })
}

fn arguments(options: &SshOptions, control_dir: &ControlDir, host: &str, may_ask: bool) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["-F".into(), control_dir.config().into()];
    all.extend(user(host).iter().map(OsString::from));
    all.extend(match options.family {
        Family::Any => None,
        Family::V4 => Some("-4".into()),
        Family::V6 => Some("-6".into()),
    });
    all.extend(["-M".into(), "-S".into(), control_dir.socket().into()]);
    let batch = if may_ask { "BatchMode=no" } else { "BatchMode=yes" };
    // What a user's configuration may say for logins, and what would be wrong here.
    let fixed = [
        batch,
        "ControlPersist=no",
        "ClearAllForwardings=yes",
        "ForwardX11=no",
        "LogLevel=INFO",
        "RemoteCommand=none",
        "RequestTTY=no",
    ];
    // Never forward the agent to an unattended target.
    let agent = options.unattended.then_some("ForwardAgent=no");
    all.extend(fixed.iter().chain(&agent).flat_map(|option| ["-o".into(), OsString::from(option)]));
    all.extend(["--".into(), host.into(), KEEPER.into()]);
    all
}

/// Waits for the first line of the command on the target, after what a login shell may print. Without it there is no
/// connection, and the last line that was printed may tell why.
///
/// The target may print whatever it likes, and as much: no more than a line of it is kept.
async fn ready_line(stdout: ChildStdout) -> Result<String, String> {
    let mut reader = BufReader::new(stdout);
    let mut printed = String::new();
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LINE_MAX);
        match limited.read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(printed),
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.starts_with(READY) {
            // Nothing more is expected, but a closed pipe would end the connection if there was.
            tokio::spawn(async move { tokio::io::copy_buf(&mut reader, &mut tokio::io::sink()).await });
            return Ok(line);
        }
        printed = line;
    }
}

/// The end of what ssh has said.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn listen(&self, mut stderr: ChildStderr) -> JoinHandle<()> {
        let said = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut buffer = vec![0; 1024];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                if let (Ok(mut said), Some(part)) = (said.lock(), buffer.get(..n)) {
                    said.extend_from_slice(part);
                    let surplus = said.len().saturating_sub(SAID_MAX);
                    said.drain(..surplus);
                }
            }
        })
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().map(|said| said.clone()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_around_their_mean() {
        for mean in PAUSES {
            assert_eq!(spread(mean, 0), mean / 2);
            assert_eq!(spread(mean, u32::MAX), mean + mean / 2);
            assert!(spread(mean, 1 << 31).abs_diff(mean) < Duration::from_millis(1));
        }
        assert!(PAUSES.iter().sum::<Duration>() * 2 < START_MAX);
    }
}
