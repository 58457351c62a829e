//! Programs that a test starts, and that never outlive it.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often something that is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(200);

/// Where system programs are, also for a user whose `PATH` does not have them.
const SYSTEM_DIRS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/bin"];

/// The path of `program`.
///
/// # Panics
///
/// If it is not installed; the message names `package`.
#[must_use]
pub fn tool(program: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(SYSTEM_DIRS.iter().map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("the lab needs {program}: install the package {package}"))
}

/// Panics unless the test runs as root, which `what` needs.
///
/// # Panics
///
/// For any other user.
pub fn require_root(what: &str) {
    assert!(nix::unistd::geteuid().is_root(), "{what} needs root: run this test as root");
}

/// Runs `command` to its end and returns its standard output.
///
/// # Panics
///
/// If it cannot be started or fails; the message has the command and what it wrote to standard error.
pub fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("starting {}: {error}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{}: {command:?}\n{}{}",
        describe(output.status),
        tail(&String::from_utf8_lossy(&output.stdout)),
        tail(&String::from_utf8_lossy(&output.stderr)),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `ready` gives a value, or until `limit` is over; then it is `None`.
pub fn wait_until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// The last 60 lines of `text`, as much as helps in a message.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// A program in the background, killed on drop.
///
/// The kernel kills it as well when the thread that started it ends, however that happens, so that an aborted test run
/// leaves nothing behind. For that reason it must be kept by the thread that started it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `argv` with its output in the file `log`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn start(argv: &[OsString], log: &Path) -> Self {
        let program = argv.first().expect("a program has a name");
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let output = File::create(log).unwrap_or_else(|error| panic!("creating {}: {error}", log.display()));
        let errors = output.try_clone().expect("duplicating a file handle");
        // exec keeps the death signal, so this is about the program itself and not a wrapper around it.
        let child = Command::new(tool("setpriv", "util-linux"))
            .args(["--pdeathsig", "KILL", "--"])
            .args(argv)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self { name, child, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, both streams.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Panics if it has ended: what the test waits for will then never come.
    ///
    /// # Panics
    ///
    /// With its status and the end of its output.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} ended early, {}:\n{}", self.name, describe(status), tail(&self.output()));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(&["sleep".into(), "600".into()], &dir.path().join("log"));
        let proc = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
    }

    #[test]
    fn a_process_ends_with_its_thread() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let pid = thread::spawn(move || {
            let process = Process::start(&["sleep".into(), "600".into()], &log);
            let pid = process.id();
            // setpriv has to be through before the thread ends.
            let sleeping =
                || fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|name| name == "sleep\n");
            wait_until(Duration::from_secs(10), sleeping).unwrap();
            std::mem::forget(process);
            pid
        })
        .join()
        .unwrap();
        let gone = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        };
        wait_until(Duration::from_secs(10), gone).unwrap();
    }

    #[test]
    #[should_panic(expected = "install the package imaginary")]
    fn a_missing_program_names_its_package() {
        let _ = tool("no-such-program", "imaginary");
    }

    #[test]
    #[should_panic(expected = "exit status 3")]
    fn a_failing_command_says_how() {
        run(Command::new("sh").args(["-c", "echo reason >&2; exit 3"]));
    }
}
