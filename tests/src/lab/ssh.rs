//! A throwaway ssh key, and commands on a machine that knows it.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    process::{run, tool},
    qemu::Vm,
};

/// An ed25519 key without passphrase; gone on drop if it was generated.
#[derive(Debug)]
pub struct Key {
    private: PathBuf,
    _dir: Option<TempDir>,
}

impl Key {
    /// Makes a new one. The comment holds what quoting gets wrong.
    ///
    /// # Panics
    ///
    /// If `ssh-keygen` is missing or fails.
    #[must_use]
    pub fn generate() -> Self {
        let dir = tempfile::tempdir().expect("making a directory for a key");
        let mut keygen = Command::new(tool("ssh-keygen", "openssh-client"));
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "lab's 100%s \"key\"", "-f"])
            .arg(dir.path().join("key"));
        run(&mut keygen);
        Self { private: dir.path().join("key"), _dir: Some(dir) }
    }

    /// A key that is there already; its public half is `PRIVATE.pub`.
    #[must_use]
    pub fn existing(private: PathBuf) -> Self {
        Self { private, _dir: None }
    }

    /// The file with the private half.
    #[must_use]
    pub fn private_file(&self) -> PathBuf {
        self.private.clone()
    }

    /// The file with the public half, as `-k` takes it.
    #[must_use]
    pub fn public_file(&self) -> PathBuf {
        self.private.with_extension("pub")
    }

    /// The line for `authorized_keys`, without its line end.
    ///
    /// # Panics
    ///
    /// If the file cannot be read.
    #[must_use]
    pub fn public_line(&self) -> String {
        fs::read_to_string(self.public_file()).expect("reading a public key").trim_end().to_owned()
    }

    /// A connection as root to port `port` of `address`. `enter` comes before ssh and brings it into a namespace:
    /// [`Network::enter`](super::netns::Network::enter), or nothing.
    #[must_use]
    pub fn connect(&self, address: &str, port: u16, enter: Vec<OsString>) -> Ssh {
        let mut argv = enter;
        argv.push(tool("ssh", "openssh-client").into());
        argv.extend(["-F", "/dev/null", "-q", "-p"].map(Into::into));
        argv.push(port.to_string().into());
        argv.push("-i".into());
        argv.push(self.private_file().into());
        let options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "ConnectTimeout=10",
        ];
        argv.extend(options.iter().flat_map(|option| ["-o".into(), (*option).into()]));
        argv.push(format!("root@{address}").into());
        Ssh { argv }
    }

    /// A connection through the forwarded port of `vm`.
    #[must_use]
    pub fn connect_vm(&self, vm: &Vm) -> Ssh {
        self.connect("127.0.0.1", vm.ssh_port(), Vec::new())
    }
}

/// How to reach one machine. Each command is a connection of its own.
#[derive(Debug, Clone)]
pub struct Ssh {
    argv: Vec<OsString>,
}

impl Ssh {
    /// Waits until a login works.
    ///
    /// # Panics
    ///
    /// If it does not within `limit`; the message has the end of the machine's console.
    pub fn wait(&self, vm: &mut Vm, limit: Duration) {
        vm.wait_until("an ssh login with the key", limit, |_| {
            let status = self
                .command("true")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success()).then_some(())
        });
    }

    /// Runs `script` by the login shell of root and returns what it prints.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[must_use]
    pub fn run(&self, script: &str) -> String {
        run(&mut self.command(script))
    }

    /// ssh with `script`, to be run in another way.
    #[must_use]
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).arg(script);
        command
    }
}
