//! A trigger server with everything that it needs, and machines that are directories of this machine.
//!
//! The server is the staged program with types of the test's own. Its remote commands run everything here, in a directory
//! for each machine, so no root and no ssh is needed. Machines are addresses of 127.0.0.0/8.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{client::Client, process::Process};
use crate::preos::program;

/// How long a server may take to start on a busy machine.
const START: Duration = Duration::from_secs(20);

/// Runs a command "on a machine": paths of the remote directory become those of the machine's own.
const EXEC: &str = "#!/bin/sh -e\nhost=$1\nshift\ncommand=$(printf '%s ' \"$@\" | sed \"s#/remote-out#@TARGETS@/$host#g\")\n\
                    exec /bin/sh -c \"$command\"\n";
const COPY: &str = "#!/bin/sh -e\nfor last; do :; done\nhost=${last%%:*}\n\
                    to=$(printf '%s' \"${last#*:}\" | sed \"s#/remote-out#@TARGETS@/$host#g\")\n\
                    while [ $# -gt 1 ]; do cp -R \"$1\" \"$to\"; shift; done\n";

/// The directory of a server: program, types, manifest, state.
#[derive(Debug)]
pub struct TriggerLab {
    dir: TempDir,
}

impl TriggerLab {
    /// With these types, (file below `type/`, text), and this initial manifest.
    ///
    /// # Panics
    ///
    /// If nothing is staged.
    #[must_use]
    pub fn new(types: &[(&str, &str)], manifest: &str) -> Self {
        let lab = Self { dir: tempfile::tempdir().expect("making a directory for a server") };
        for dir in ["dist/bin", "home", "targets"] {
            fs::create_dir_all(lab.path(dir)).expect("making a directory");
        }
        fs::copy(program(), lab.path("dist/bin/cdist"))
            .expect("copying the staged program; run `make build`");
        for (name, text) in types {
            lab.file(&format!("dist/share/cdist/conf/type/{name}"), text);
        }
        lab.file("dist/share/cdist/conf/manifest/init", manifest);
        let targets = lab.path("targets").display().to_string();
        lab.file("exec", &EXEC.replace("@TARGETS@", &targets));
        lab.file("copy", &COPY.replace("@TARGETS@", &targets));
        lab
    }

    /// With types that only write down that they were there: an install in [`installed`](Self::installed), a configuration
    /// in [`configured`](Self::configured).
    #[must_use]
    pub fn counting() -> Self {
        let lab = Self::new(&[], "__installed\n__configured\n");
        for what in ["installed", "configured"] {
            let file = lab.path(what).display().to_string();
            let conf = format!("dist/share/cdist/conf/type/__{what}");
            lab.file(&format!("{conf}/singleton"), "");
            // One short write to a file that was opened for appending is never mixed with another one.
            let code = format!("echo \"echo \\$__target_host >>'{file}'\"\n");
            lab.file(&format!("{conf}/gencode-local"), &code);
        }
        lab.file("dist/share/cdist/conf/type/__installed/install", "");
        lab
    }

    /// The machines that were installed, once for each time.
    #[must_use]
    pub fn installed(&self) -> Vec<String> {
        self.lines("installed")
    }

    /// The machines that were configured, once for each time.
    #[must_use]
    pub fn configured(&self) -> Vec<String> {
        self.lines("configured")
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file, executable if it begins with `#!`.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("making a directory");
        fs::write(&path, text).unwrap_or_else(|e| panic!("writing {}: {e}", path.display()));
        if text.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("setting a mode");
        }
    }

    /// `cdist trigger WORDS…` with the state directory of this lab.
    #[must_use]
    pub fn cdist(&self, words: &[&str]) -> Command {
        let argv = self.argv(words);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        command
    }

    /// The words of a server on any port of the loopback: remote commands that run here, then `more`.
    #[must_use]
    pub fn server(&self, more: &[&str]) -> Vec<OsString> {
        let (exec, copy) = (self.path("exec"), self.path("copy"));
        let mut argv = self.argv(&["-v", "-H", "0"]);
        if !more.contains(&"--listen") {
            argv.extend(["--listen", "127.0.0.1"].map(Into::into));
        }
        if !more.contains(&"--status-listen") {
            argv.extend(["--status-listen", "127.0.0.1:0"].map(Into::into));
        }
        if !more.contains(&"--local") && !more.contains(&"--ssh-config") {
            argv.extend(["--remote-exec".into(), exec.into(), "--remote-copy".into(), copy.into()]);
            argv.extend(["-r", "/remote-out"].map(Into::into));
        }
        argv.extend(more.iter().map(Into::into));
        argv
    }

    fn argv(&self, words: &[&str]) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec!["env".into()];
        for name in ["CDIST_PATH", "CDIST_BETA", "CDIST_REMOTE_EXEC", "CDIST_REMOTE_COPY", "NOTIFY_SOCKET"] {
            argv.extend(["-u".into(), name.into()]);
        }
        let mut home = OsString::from("HOME=");
        home.push(self.path("home"));
        argv.push(home);
        argv.extend([self.path("dist/bin/cdist").into(), "trigger".into()]);
        argv.extend(words.iter().map(Into::into));
        argv.extend(["--state-dir".into(), self.state_dir().into()]);
        argv
    }

    /// Starts a server with `more` options and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it ends instead.
    #[must_use]
    pub fn start(&self, more: &[&str]) -> Trigger {
        self.start_argv(&self.server(more))
    }

    /// The same with all words, such as those of [`server`](Self::server) behind a wrapper.
    ///
    /// # Panics
    ///
    /// If it ends instead.
    #[must_use]
    pub fn start_argv(&self, argv: &[OsString]) -> Trigger {
        let mut process = Process::start(argv, &self.path("server.log"));
        let begin = Instant::now();
        loop {
            if let Some(addresses) = listening(&process.output()) {
                return Trigger { process, addresses };
            }
            process.assert_running();
            assert!(begin.elapsed() < START, "the server does not listen:\n{}", process.output());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The addresses that a log names, once all of them are there.
fn listening(log: &str) -> Option<Vec<SocketAddr>> {
    let lines = log.lines().filter_map(|line| line.split_once("listening on "));
    let addresses: Vec<SocketAddr> = lines.filter_map(|(_, address)| address.trim().parse().ok()).collect();
    // The last line may be half written.
    (!addresses.is_empty() && log.ends_with('\n')).then_some(addresses)
}

/// A running server; killed on drop.
#[derive(Debug)]
pub struct Trigger {
    process: Process,
    addresses: Vec<SocketAddr>,
}

impl Trigger {
    /// Where machines call.
    ///
    /// # Panics
    ///
    /// Never: a server without an address does not start.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("a server listens somewhere")
    }

    /// A machine, by its address.
    #[must_use]
    pub fn machine(&self, address: IpAddr) -> Client {
        // Long enough for answers that wait for a job.
        Client::new(self.address()).from(address).limit(Duration::from_secs(90))
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).expect("a process number"))
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Kilobytes of memory that it uses.
    ///
    /// # Panics
    ///
    /// If it has ended.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server has ended");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes")
    }

    /// Ends it by a signal, and waits for the end. The exit status; `None` if the signal was its end.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute.
    pub fn end(&mut self, signal: nix::sys::signal::Signal) -> Option<i32> {
        let _ = nix::sys::signal::kill(self.pid(), signal);
        self.wait_for_end()
    }

    /// Waits for its end, as [`end`](Self::end) does.
    ///
    /// # Panics
    ///
    /// If it does not end within a minute.
    pub fn wait_for_end(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.ended() {
                return status.code();
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "the server does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }
}
