//! Targets: real ssh servers on this machine, each with a tree and processes of its own.
//!
//! A server lives in its own mount and PID namespace. `/var/lib`, `/root`, `/mnt` and `/run` are its own and empty, so
//! that a hundred hosts with the same work directory are a hundred directories; its processes end with it.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    process::{Process, require_root, run, tool, wait_until},
    ssh::Key,
};

/// Directories of the server's own mount namespace, in which it may write.
const OWN_DIRS: &str = "/var/lib /root /mnt /run";

/// What a server is like.
#[derive(Clone, Debug)]
pub struct Like {
    /// Where it listens.
    pub address: IpAddr,
    /// More lines for sshd_config.
    pub config: String,
    /// Shell commands that change its tree before it starts, as root in its namespaces.
    pub prepare: String,
    /// Has what scp(1) needs.
    pub has_sftp: bool,
}

impl Default for Like {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            config: String::new(),
            prepare: String::new(),
            has_sftp: true,
        }
    }
}

/// A running server; dropping it ends it with all its processes.
#[derive(Debug)]
pub struct Sshd {
    address: IpAddr,
    port: u16,
    process: Process,
    dir: TempDir,
}

impl Sshd {
    /// Starts a server that lets root in with `key`.
    ///
    /// # Panics
    ///
    /// Without root, or if sshd is missing or does not start.
    #[must_use]
    pub fn start(key: &Key) -> Self {
        Self::start_like(key, &Like::default())
    }

    /// Starts a server that is `like` that.
    ///
    /// # Panics
    ///
    /// Without root, or if sshd is missing or does not start.
    #[must_use]
    pub fn start_like(key: &Key, like: &Like) -> Self {
        require_root("an ssh server with a tree of its own");
        let dir = tempfile::tempdir().expect("making a directory for a server");
        run(Command::new(tool("ssh-keygen", "openssh-client"))
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(dir.path().join("host_key")));
        fs::write(dir.path().join("authorized_keys"), key.public_line() + "\n").expect("writing a key");
        let mut tries = 0;
        loop {
            let chosen = TcpListener::bind((like.address, 0)).expect("finding a port").local_addr();
            let port = chosen.expect("finding a port").port();
            match listen(dir.path(), like, port) {
                Ok(process) => return Self { address: like.address, port, process, dir },
                // Another process has taken the port meanwhile.
                Err(said) if said.contains("already in use") && tries < 5 => tries += 1,
                Err(said) => panic!("sshd does not listen:\n{said}"),
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its line for `known_hosts`.
    ///
    /// # Panics
    ///
    /// If the key cannot be read.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let key = fs::read_to_string(self.dir.path().join("host_key.pub")).expect("reading a host key");
        format!("[{}]:{} {key}", self.address, self.port)
    }

    /// What sshd has said.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// A file of the target, as a path of this machine.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.listener().to_string()).join("root").join(path.trim_start_matches('/'))
    }

    /// Cuts all connections, as a crash of the network does that both sides see at once.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn cut(&self) {
        self.signal_sessions(Signal::SIGKILL);
    }

    /// Stops all connections without closing them, as a broken network does.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn freeze(&self) {
        self.signal_sessions(Signal::SIGSTOP);
    }

    fn signal_sessions(&self, signal: Signal) {
        let sessions = children(self.listener());
        assert!(!sessions.is_empty(), "no connection");
        for session in sessions {
            // The process that holds the socket may be its child, or it itself.
            for pid in children(session).into_iter().filter(|pid| comm(*pid) == "sshd").chain([session]) {
                let _ = kill(pid, signal);
            }
        }
    }

    /// The command lines of all processes of the target, but for sshd and what it needs.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&self.listener().to_string());
        let all = fs::read_dir("/proc").expect("reading /proc").flatten();
        let numbers = all.filter_map(|entry| entry.file_name().into_string().ok());
        numbers
            .filter(|pid| own.is_some() && namespace(pid) == own)
            .filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned())
            // A line without words is that of a process that has ended.
            .filter(|line| !line.is_empty() && !line.starts_with("sshd: ") && !line.contains("/sshd "))
            .collect()
    }

    /// The sshd that listens.
    fn listener(&self) -> Pid {
        let unshare = Pid::from_raw(i32::try_from(self.process.id()).expect("a process number"));
        *children(unshare).first().expect("the server has ended")
    }
}

/// Starts a server on `port`. If it does not listen, what it has said.
fn listen(dir: &Path, like: &Like, port: u16) -> Result<Process, String> {
    let at = dir.display();
    let config = format!(
        "Port {port}\nListenAddress {}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\n\
         PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel VERBOSE\n\
         MaxStartups 200\n{}{}\n",
        like.address,
        if like.has_sftp { "Subsystem sftp internal-sftp\n" } else { "" },
        like.config
    );
    fs::write(dir.join("sshd_config"), config).expect("writing a configuration");
    // A locked root account, as in many containers, is refused without PAM.
    let start = format!(
        "set -e\numask 022\nsed 's/^root:[^:]*/root:*/' /etc/shadow > {at}/shadow\n\
         mount --bind {at}/shadow /etc/shadow\n\
         for own in {OWN_DIRS}; do mount -t tmpfs -o mode=0755 target \"$own\"; done\nmkdir /run/sshd\n{}\n\
         exec {} -D -e -f {at}/sshd_config\n",
        like.prepare,
        tool("sshd", "openssh-server").display()
    );
    let mut argv: Vec<OsString> = vec![tool("unshare", "util-linux").into()];
    let namespaces =
        ["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", "/bin/sh", "-c"];
    argv.extend(namespaces.iter().map(OsString::from));
    argv.push(start.into());
    let mut process = Process::start(&argv, &dir.join("log"));
    let ready = wait_until(Duration::from_secs(20), || {
        (process.ended().is_some() || process.output().contains("Server listening")).then_some(())
    });
    if ready.is_some() && process.ended().is_none() { Ok(process) } else { Err(process.output()) }
}

fn children(pid: Pid) -> Vec<Pid> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok()).map(Pid::from_raw).collect()
}

fn comm(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}
