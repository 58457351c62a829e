//! A configuration directory, a home and a target directory for a run of the program.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Everything is below one temporary directory: `conf`, `home`, `tmp`, and the target's work directory `remote`.
pub(crate) struct Lab(tempfile::TempDir);

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for dir in ["tmp", "home", "conf/manifest", "conf/type/__x"] {
            fs::create_dir_all(lab.path(dir)).unwrap();
        }
        lab
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program with an environment of its own and these words.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cdist"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.stdin(Stdio::null());
        command
    }

    /// `cdist config` for this machine.
    pub(crate) fn config<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        self.config_in("remote", words)
    }

    /// The same with another work directory on the target.
    pub(crate) fn config_in<S: AsRef<OsStr>>(
        &self,
        remote: &str,
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = self.program();
        command
            .args(["config", "--local", "-c"])
            .arg(self.path("conf"))
            .arg("-r")
            .arg(self.path(remote))
            .args(words);
        command
    }

    /// Runs a manifest for the host `web1`.
    pub(crate) fn run(&self, manifest: impl AsRef<[u8]>) -> Ended {
        self.write("conf/manifest/init", manifest);
        Ended::of(self.config(["web1"]))
    }

    /// Waits until there is a file, which a script makes.
    pub(crate) fn wait_for(&self, name: &str) {
        let begin = Instant::now();
        while !self.path(name).exists() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{name} does not appear");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A run that has ended.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(mut command: Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Fails the test unless the status is this one and the text is on standard error.
    #[track_caller]
    pub(crate) fn expect(self, status: i32, text: &str) -> Self {
        assert!(self.err.contains(text), "'{text}' is missing in:\n{}", self.err);
        assert_eq!(self.status, Some(status), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Sends a signal, as a user or init(8) would.
pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}
