//! A shell that runs one script after the other in subshells, so that none of them costs the start of a program.
//!
//! It is told of each script, and tells the status of each, by pipes that no script has. What a script prints, it prints into files:
//! their lengths are looked at while it runs.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, PipeWriter, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep},
};

use super::{
    ProcessError, Quota,
    process::{GRACE, POLL, has_terminal, send},
};
use crate::host::{Cancel, limits, scripts};

/// A line on the pipe that is in the place of standard error stands for the file that is this shell's name: it is read. The pipe in
/// the place of standard output takes the status.
const LOOP: &str = r#"exec 8<&2 9>&1 >/dev/null 2>&1
while IFS= read -r __cdist_script <&8; do
(. "$0") 8<&- 9>&-
echo "$?" >&9
done"#;
const SHELL: &str = "/bin/sh";
/// How often the lengths of files are looked at: a script may write gigabytes in a second.
const LOOK: Duration = Duration::from_millis(10);

/// Files that a script writes, and how long they were before.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    /// Standard output and standard error.
    pub(crate) files: [(&'a File, u64); 2],
    /// What they may hold.
    pub(crate) quota: Quota,
}

/// The shell. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StandingShell {
    child: Child,
    asks: PipeWriter,
    answers: ChildStdout,
    has_own_group: bool,
    cancel: Cancel,
    /// Until the shell ends.
    _running: Option<scripts::Running>,
}

impl StandingShell {
    /// Starts the shell. For each script it will read the file `orders`, which has to be in a private directory. Scripts read
    /// what this process reads if `is_stdin_passed`, and nothing otherwise. `env` is the whole environment.
    ///
    /// # Errors
    ///
    /// The shell cannot be started.
    pub(crate) fn start(
        orders: &Path,
        env: Vec<(OsString, OsString)>,
        is_stdin_passed: bool,
        cancel: &Cancel,
    ) -> Result<Self, ProcessError> {
        let argv: Vec<OsString> = vec![SHELL.into(), "-c".into(), LOOP.into(), orders.into()];
        let failed = |source| ProcessError::Start { argv: vec![SHELL.into(), orders.into()], source };
        let (reader, asks) = io::pipe().map_err(failed)?;
        let mut command = Command::new(SHELL);
        command.args(argv.iter().skip(1)).env_clear().envs(env).kill_on_drop(true);
        let running = scripts::begin();
        if let Some(running) = &running {
            command.env(scripts::VARIABLE, running.mark());
        }
        // Its process group is chosen as for a script that has a process of its own.
        let has_own_group = !(is_stdin_passed && has_terminal());
        if has_own_group {
            command.process_group(0);
        }
        command.stdin(if is_stdin_passed { Stdio::inherit() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(reader);
        let mut child = command.spawn().map_err(failed)?;
        drop(command);
        limits::restore_for(child.id());
        let answers = child.stdout.take().ok_or_else(|| failed(io::Error::other("it has no output")))?;
        Ok(Self { child, asks, answers, has_own_group, cancel: cancel.clone(), _running: running })
    }

    /// Lets the shell read its orders in a subshell. The exit status, as a shell tells it.
    ///
    /// # Errors
    ///
    /// Talking to it fails, the script writes too much, or [`Cancel`] is set.
    pub(crate) async fn run(&mut self, written: &Written<'_>) -> Result<ExitStatus, ProcessError> {
        if self.cancel.is_cancelled() {
            return Err(ProcessError::Cancelled);
        }
        let talking = |source| ProcessError::Talk { argv: vec![SHELL.into()], source };
        // The end of the shell shows in what it does not answer.
        let _ = self.asks.write_all(b"\n");
        let mut counted = 0;
        let mut answer = Vec::new();
        let mut asked_to_stop: Option<Instant> = None;
        let status = loop {
            let mut piece = [0; 16];
            tokio::select! {
                length = self.answers.read(&mut piece) => {
                    let length = length.map_err(talking)?;
                    answer.extend_from_slice(piece.get(..length).unwrap_or_default());
                    if length == 0 {
                        break self.child.wait().await.map_err(talking)?;
                    }
                    if let Some(number) = answer.strip_suffix(b"\n") {
                        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i32>().ok());
                        let number = number.ok_or_else(|| talking(io::ErrorKind::InvalidData.into()))?;
                        // As wait(2) tells an exit status.
                        break ExitStatus::from_raw((number & 0xff) << 8);
                    }
                }
                () = sleep(LOOK) => {}
            }
            written.count(&mut counted).map_err(talking)?;
            if !self.cancel.is_cancelled() && written.quota.over().is_none() {
                continue;
            }
            let signal = match asked_to_stop {
                None => Signal::SIGTERM,
                Some(when) if when.elapsed() > GRACE => Signal::SIGKILL,
                Some(_) => continue,
            };
            asked_to_stop.get_or_insert_with(Instant::now);
            if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
                send(Pid::from_raw(pid), self.has_own_group, signal);
            }
        };
        if !self.has_own_group && !status.success() {
            // Ctrl-C on a terminal reaches the script at the same time as us.
            sleep(POLL).await;
        }
        written.count(&mut counted).map_err(talking)?;
        if self.cancel.is_cancelled() && (asked_to_stop.is_some() || !status.success()) {
            return Err(ProcessError::Cancelled);
        }
        match written.quota.over() {
            Some(source) => Err(ProcessError::OverQuota { argv: vec![SHELL.into()], source }),
            None => Ok(status),
        }
    }

    /// Waits for the end of the shell, which has nothing to do any more.
    pub(crate) async fn end(self) {
        let Self { mut child, asks, .. } = self;
        drop(asks);
        // Its exit status tells nothing about the scripts.
        let _ = child.wait().await;
    }
}

impl Written<'_> {
    /// Takes note of what was written since the last time, of which `counted` is the length.
    fn count(&self, counted: &mut u64) -> io::Result<()> {
        let mut lengths = [0; 2];
        for (length, (file, before)) in lengths.iter_mut().zip(&self.files) {
            *length = file.metadata()?.len().saturating_sub(*before);
        }
        self.quota.count(lengths, counted, self.files[0].0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::OutputLimit, *};

    struct Lab {
        dir: tempfile::TempDir,
        shell: StandingShell,
        cancel: Cancel,
    }

    impl Lab {
        fn new() -> Self {
            let (dir, cancel) = (tempfile::tempdir().unwrap(), Cancel::default());
            let env = vec![("V".into(), "v".into()), ("PATH".into(), "/usr/bin:/bin".into())];
            let shell = StandingShell::start(&dir.path().join("orders"), env, false, &cancel).unwrap();
            Self { dir, shell, cancel }
        }

        async fn run(&mut self, orders: &str) -> (Result<ExitStatus, ProcessError>, String) {
            let path = self.dir.path().join("out");
            let out = File::create(&path).unwrap();
            let orders = format!("exec >>'{}' 2>&1\n{orders}", path.display());
            std::fs::write(self.dir.path().join("orders"), orders).unwrap();
            let quota = OutputLimit::new(100_000).quota();
            let done = self.shell.run(&Written { files: [(&out, 0), (&out, 0)], quota }).await;
            (done, std::fs::read_to_string(path).unwrap())
        }
    }

    #[tokio::test]
    async fn no_script_knows_of_another() {
        let mut lab = Lab::new();
        for (orders, status, said) in [
            ("a=1; cd /; umask 0; set -eu; export V=w; trap 'echo bye' EXIT; exit 3", 3, "bye\n"),
            ("echo \"$a$V$#$-\"; read -r x || echo end", 0, "v0\nend\n"),
            // Nothing to answer with, and nothing to read orders from.
            ("echo 0 2>/dev/null >&9 || read -r x 2>/dev/null <&8 || echo closed", 0, "closed\n"),
            ("set -e; false; echo not", 1, ""),
            ("kill -KILL \"$(sh -c 'echo $PPID')\"", 137, ""),
            ("exec sh -c 'echo other; exit 7'", 7, "other\n"),
        ] {
            let (done, output) = lab.run(orders).await;
            assert_eq!((done.unwrap().code(), output.as_str()), (Some(status), said), "{orders}");
        }
        lab.shell.end().await;
    }

    #[tokio::test]
    async fn what_writes_too_much_or_too_long_is_stopped() {
        let mut lab = Lab::new();
        let (done, _) = lab.run("yes").await;
        assert!(crate::chain(&done.unwrap_err()).contains("more than 100000 bytes"));
        let mut lab = Lab::new();
        let later = lab.cancel.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(50)).await;
            later.cancel();
        });
        let start = Instant::now();
        assert!(matches!(lab.run("sleep 60").await.0, Err(ProcessError::Cancelled)));
        assert!(start.elapsed() < GRACE);
        // Its shell is gone with it.
        let mut lab = Lab::new();
        assert_eq!(lab.run("kill -KILL 0").await.0.unwrap().signal(), Some(9));
    }
}
