//! Listing plugins that are Python files: the process that executes them, and reading what it says in a limited time.
//!
//! A process may make one PID namespace for its children, and the one that lists needs that for the plugin it runs. So
//! a process of its own supervises the interpreter.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    python::{self, Listing},
    supervise::{self, Reporter, SuperviseError},
};

/// The first word of the command line of the process that supervises the interpreter.
pub const WORD: &str = "--plugin-list-python";

/// The interpreter keeps the limit itself; this much later it is ended with all that it started.
const GRACE: Duration = Duration::from_secs(3);
/// More than this is no list.
const OUTPUT_MAX: usize = 16 * 1024 * 1024;

/// What `files`, which are absolute, hold. `program` is one that calls [`supervise()`] if its first word is [`WORD`].
///
/// # Errors
///
/// The reason why no file can be listed, in one sentence: no interpreter, or no process.
pub fn list(program: &Path, files: &[PathBuf]) -> Result<Listing, String> {
    // Before a process is started for it.
    let _ = python::interpreter()?;
    let mut child = Command::new(program)
        .arg0("cdist")
        .arg(WORD)
        .args(files)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = child.stdout.take().map(read_within).transpose();
    // Ends whatever is left, through the lifeline that it holds; it has ended already unless it is late.
    if !matches!(output, Ok(Some((_, true)))) {
        let _ = child.kill();
    }
    let said = child.wait_with_output().map_err(|error| error.to_string())?;
    let (output, _) = output.map_err(|error| error.to_string())?.unwrap_or_default();
    if output.is_empty() {
        let said = String::from_utf8_lossy(&said.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(format!("python3 does not list them: {last}"));
    }
    Ok(python::parse(&output, files))
}

/// What comes out of the pipe, and whether that is all of it.
fn read_within(mut pipe: impl Read + AsFd) -> io::Result<(Vec<u8>, bool)> {
    let end = Instant::now() + python::LIST_LIMIT + GRACE;
    let (mut output, mut buffer) = (Vec::new(), [0; 8192]);
    while output.len() < OUTPUT_MAX {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Ok((output, false)),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        match pipe.read(&mut buffer)? {
            0 => return Ok((output, true)),
            count => output.extend_from_slice(&buffer[..count]),
        }
    }
    Ok((output, false))
}

/// Runs as the process that supervises the interpreter, and returns the exit status. `tell` says why that cannot be started.
///
/// # Errors
///
/// The namespaces cannot be made, or the interpreter dies.
pub fn supervise(files: &[OsString], tell: &dyn Fn(&str)) -> Result<i32, SuperviseError> {
    supervise::end_with_parent()?;
    let words = || python::list_words(files.iter().cloned());
    supervise::run(|reporter| become_interpreter(words(), Some(Path::new("/")), reporter, tell))
}

/// Becomes the interpreter, so that signals reach it, and its exit status is the plugin's. Returns only if that fails, with the
/// exit status of that; `tell` says why.
pub fn become_interpreter(
    words: Vec<OsString>,
    directory: Option<&Path>,
    reporter: Reporter,
    tell: &dyn Fn(&str),
) -> i32 {
    let interpreter = match python::interpreter() {
        Ok(interpreter) => interpreter,
        Err(reason) => {
            tell(&reason);
            reporter.returned(1);
            return 1;
        }
    };
    let mut command = Command::new(&interpreter);
    command.args(words);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    reporter.replaced();
    tell(&format!("starting {}: {}", interpreter.display(), command.exec()));
    1
}
