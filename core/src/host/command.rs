//! Running another program to its end.
//!
//! The environment of a child is built here and never inherited: a stray variable of the caller must not
//! change what a build makes. Each child leads a process group of its own, so that one request to stop
//! reaches it once and all that it started.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{Cancel, quote};

/// How much of the end of stderr an error carries.
const TAIL: usize = 1024;
/// The longest line kept whole; a program that prints without line ends must not fill the memory.
const LINE_MAX: u64 = 64 * 1024;
/// The most that is kept in memory of what a program prints on one stream, in bytes.
pub(crate) const CAPTURED_MAX: u64 = 16 * 1024 * 1024;
/// The size of a log, in bytes, from which on output is left out of it.
const LOG_MAX: u64 = 128 * 1024 * 1024;
/// How long a cancelled program may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);
/// How often a running command looks at its [`Cancel`].
const POLL: Duration = Duration::from_millis(50);
/// A background process may keep the pipes of a program that has ended.
const LINGER: Duration = Duration::from_millis(300);
/// Where programs are looked for, in this order.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What children get from our own environment, because it says how to reach the network and how to reproduce a build.
const PASSED_ON: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "SOURCE_DATE_EPOCH",
    "TMPDIR",
    "PATH",
];

/// What a program that ended well left.
#[derive(Debug, Default, Clone)]
pub struct CommandOutput {
    /// Standard output, whole. Empty when it went to a line handler.
    pub stdout: Vec<u8>,
    /// The last part of standard error, at most 1 KiB.
    pub stderr_tail: Vec<u8>,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program could not be started.
    #[error("starting {program}")]
    Start {
        /// `argv[0]`.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Reading or writing the pipes of the program failed, or waiting for it.
    #[error("talking to {program}")]
    Pipe {
        /// `argv[0]`.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The program ran and failed.
    #[error("{}: {}{}", shortened(.command), describe(*.status), tail_text(.stderr_tail))]
    Failed {
        /// The command line, quoted so that it can be pasted into a shell.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last part of its standard error.
        stderr_tail: Vec<u8>,
    },
    /// Its standard output was to be kept, and is more than is kept of any program; the program has been ended.
    #[error("{program} prints more than {} MiB", CAPTURED_MAX / 1024 / 1024)]
    TooMuch {
        /// `argv[0]`.
        program: String,
    },
    /// The user asked to stop; the program has been ended.
    #[error("cancelled while {program} was running")]
    Cancelled {
        /// `argv[0]`.
        program: String,
    },
}

/// "exit status 3" or "killed by SIGSEGV".
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// A command line of a screenful hides what went wrong, as does a script that is a word of it; the log has it whole.
fn shortened(command: &str) -> String {
    const LONG: usize = 160;
    let line = command.lines().next().unwrap_or_default();
    let end = line.char_indices().nth(LONG).map_or(line.len(), |(at, _)| at);
    if end < command.len() { format!("{} …", &command[..end]) } else { command.to_owned() }
}

fn tail_text(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let text = text.trim_end();
    if text.is_empty() { String::new() } else { format!("; its last words:\n{text}") }
}

type LineHandler<'a> = Box<dyn FnMut(Stream, &[u8]) + 'a>;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A program to run: argv, environment, streams.
///
/// Standard input is empty unless [`Command::stdin`] is called; standard output is captured unless
/// [`Command::on_line`] is; standard error goes to the log file, if there is one, and its end into the error.
#[must_use = "a command does nothing until it is run"]
pub struct Command<'a> {
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Vec<u8>,
    cancel: Option<Cancel>,
    log: Option<Arc<Mutex<File>>>,
    on_line: Option<LineHandler<'a>>,
}

impl<'a> Command<'a> {
    /// A command that runs `program`, found in PATH when it has no slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut env: Vec<(OsString, OsString)> =
            PASSED_ON.iter().filter_map(|&k| std::env::var_os(k).map(|v| (k.into(), v))).collect();
        if !env.iter().any(|(k, _)| k == "PATH") {
            env.push(("PATH".into(), PATH.into()));
        }
        env.push(("LC_ALL".into(), "C.UTF-8".into()));
        env.push(("HOME".into(), "/root".into()));
        Self {
            argv: vec![program.as_ref().to_owned()],
            env,
            cwd: None,
            stdin: Vec::new(),
            cancel: None,
            log: None,
            on_line: None,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(k, _)| k != key.as_ref());
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// What the child reads from standard input. Fit for secrets, which must not be in argv.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Ends the child when `cancel` is set.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Copies both output streams, line by line, to `log`.
    pub fn log(mut self, log: &Arc<Mutex<File>>) -> Self {
        self.log = Some(Arc::clone(log));
        self
    }

    /// Hands each line of output, without its line end, to `handler`; standard output is not captured then.
    pub fn on_line(mut self, handler: impl FnMut(Stream, &[u8]) + 'a) -> Self {
        self.on_line = Some(Box::new(handler));
        self
    }

    /// The command line as one would type it.
    pub fn shown(&self) -> String {
        quote::posix_line(&self.argv).to_string_lossy().into_owned()
    }

    fn program(&self) -> String {
        self.argv[0].to_string_lossy().into_owned()
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    ///
    /// It cannot be started, it fails, or [`Cancel`] is set.
    pub fn run(mut self) -> Result<CommandOutput, CommandError> {
        let program = self.program();
        let mut command = std::process::Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        self.log_line(format!("+ {}", self.shown()).as_bytes());
        let mut child = command.spawn().map_err(|source| {
            let path = self.env.iter().find(|(key, _)| key == "PATH").map(|(_, path)| path.as_os_str());
            let source = super::start::explained(&self.argv[0], path, source);
            CommandError::Start { program: program.clone(), source }
        })?;
        let pipe = |source| CommandError::Pipe { program: program.clone(), source };

        if let Some(mut stdin) = child.stdin.take() {
            let bytes = std::mem::take(&mut self.stdin);
            // A child that does not read its input is no error of ours; its exit status tells.
            thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        let (sender, lines) = mpsc::sync_channel(1024);
        let whole = self.on_line.is_none();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, Stream::Stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, Stream::Stderr, sender);
        }

        let mut output = CommandOutput::default();
        let mut asked_to_stop: Option<Instant> = None;
        let mut is_too_much = false;
        let mut quiet_since = Instant::now();
        let status = loop {
            match lines.recv_timeout(POLL) {
                Ok((stream, line)) => {
                    quiet_since = Instant::now();
                    self.take_line(stream, &line, whole, &mut output);
                    if output.stdout.len() as u64 > CAPTURED_MAX {
                        is_too_much = true;
                        output.stdout.clear();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if quiet_since.elapsed() > LINGER
                        && let Some(status) = child.try_wait().map_err(pipe)?
                    {
                        break status;
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => match child.try_wait().map_err(pipe)? {
                    Some(status) => break status,
                    None => thread::sleep(Duration::from_millis(2)),
                },
            }
            if is_too_much || self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
                stop(&child, &mut asked_to_stop);
            }
        };
        if is_too_much {
            return Err(CommandError::TooMuch { program });
        }
        if asked_to_stop.is_some() {
            return Err(CommandError::Cancelled { program });
        }
        if status.success() {
            return Ok(output);
        }
        Err(CommandError::Failed { command: self.shown(), status, stderr_tail: output.stderr_tail })
    }

    fn take_line(&mut self, stream: Stream, line: &[u8], whole: bool, output: &mut CommandOutput) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if stream == Stream::Stderr {
            output.stderr_tail.extend_from_slice(line);
            let excess = output.stderr_tail.len().saturating_sub(TAIL);
            output.stderr_tail.drain(..excess);
        }
        if whole && stream == Stream::Stdout {
            output.stdout.extend_from_slice(line);
        } else {
            self.log_line(text);
        }
        if let Some(handler) = &mut self.on_line {
            handler(stream, text);
        }
    }

    fn log_line(&self, line: &[u8]) {
        if let Some(log) = &self.log
            && let Ok(mut log) = log.lock()
        {
            // The log is for reading after a failure; a full disk shows in the step itself.
            let _ = add_line(&mut *log, line, LOG_MAX);
        }
    }
}

/// Adds a line to a log, and says that it is full when that makes it as long as `max`, in bytes. A full one stays as it is.
fn add_line(log: &mut (impl Write + Seek), line: &[u8], max: u64) -> io::Result<()> {
    if log.stream_position()? >= max {
        return Ok(());
    }
    log.write_all(&[line, b"\n"].concat())?;
    if log.stream_position()? >= max {
        log.write_all(b"(the log is full: what follows is left out)\n")?;
    }
    Ok(())
}

/// Asks the process group of `child` to end, and ends it if it has been asked for longer than the grace.
fn stop(child: &Child, asked: &mut Option<Instant>) {
    let signal = match asked {
        None => Signal::SIGTERM,
        Some(when) if when.elapsed() > GRACE => Signal::SIGKILL,
        Some(_) => return,
    };
    asked.get_or_insert_with(Instant::now);
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // ESRCH: it has just ended by itself.
    let _ = killpg(group, signal);
}

fn read_lines(
    stream: impl Read + Send + 'static,
    which: Stream,
    sender: mpsc::SyncSender<(Stream, Vec<u8>)>,
) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if sender.send((which, line)).is_err() {
                        return;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_stdout_and_passes_stdin() {
        let output = Command::new("cat").stdin("a\nb").run().unwrap();
        assert_eq!(output.stdout, b"a\nb");
    }

    #[test]
    fn failure_names_command_status_and_last_words() {
        let error = Command::new("sh").args(["-c", "echo 'no disk' >&2; exit 3"]).run().unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh -c 'echo '\\''no disk'\\'' >&2; exit 3': exit status 3; its last words:\nno disk"
        );
    }

    #[test]
    fn a_script_in_a_command_line_is_cut_at_its_first_line() {
        assert_eq!(shortened("sh -c '# name\nrest'"), "sh -c '# name …");
        assert_eq!(shortened("true"), "true");
        assert_eq!(shortened(&"é".repeat(161)), format!("{} …", "é".repeat(160)));
    }

    #[test]
    fn environment_is_built_not_inherited() {
        let output = Command::new("env").env("suite", "bookworm").run().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("suite=bookworm\n"));
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn cancel_ends_the_whole_group() {
        let cancel = Cancel::default();
        let later = cancel.clone();
        let dir = tempfile::tempdir().unwrap();
        let begun = dir.path().join("begun");
        let script = format!("sleep 60 & : >'{}'; wait", begun.display());
        thread::spawn(move || {
            while !begun.exists() {
                thread::sleep(Duration::from_millis(5));
            }
            later.cancel();
        });
        let start = Instant::now();
        let error = Command::new("sh").args(["-c", &script]).cancel(&cancel).run().unwrap_err();
        assert!(matches!(error, CommandError::Cancelled { .. }), "{error}");
        assert!(start.elapsed() < GRACE);
    }

    #[test]
    fn output_without_end_is_not_kept() {
        let error = Command::new("cat").arg("/dev/zero").run().unwrap_err();
        assert_eq!(error.to_string(), "cat prints more than 16 MiB");
        let mut log = io::Cursor::new(Vec::new());
        for _ in 0..3 {
            add_line(&mut log, b"abcd", 10).unwrap();
        }
        assert_eq!(log.get_ref(), b"abcd\nabcd\n(the log is full: what follows is left out)\n");
    }

    #[test]
    fn does_not_wait_for_a_background_process() {
        let start = Instant::now();
        Command::new("sh").args(["-c", "sleep 30 &"]).run().unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
