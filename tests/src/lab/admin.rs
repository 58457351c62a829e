//! The administrator's side of ssh: a home, a key, an ssh configuration, shell types, and the program that uses them.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    process::{run, tool, wait_until},
    ssh::Key,
    sshd::Sshd,
};
use crate::{
    outcome::{Outcome, outcome},
    preos::{program, workspace},
};

/// Who configures hosts.
#[derive(Debug)]
pub struct Admin {
    key: Key,
    dir: TempDir,
    /// Of the temporary directory: it shows whether something stays there.
    program: PathBuf,
}

impl Admin {
    /// An administrator with a new key and an empty `known_hosts`, whose cdist has no types but `types`: (file below `type/`,
    /// text).
    ///
    /// # Panics
    ///
    /// If nothing is staged.
    #[must_use]
    pub fn new(types: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("making a directory for an administrator");
        // The distribution's global explorers say nothing here and cost time on a hundred hosts.
        let conf = dir.path().join("dist/share/cdist/conf");
        for made in [&dir.path().join("tmp"), &dir.path().join("home"), &dir.path().join("dist/bin"), &conf] {
            fs::create_dir_all(made).expect("making a directory");
        }
        let program_copy = dir.path().join("dist/bin/cdist");
        fs::copy(program(), &program_copy).expect("copying the staged program; run `make build`");
        let admin = Self { key: Key::generate(), program: program_copy, dir };
        for (name, text) in types {
            admin.file(&format!("dist/share/cdist/conf/{name}"), text);
        }
        admin.file("known_hosts", "");
        admin.file("ssh_config", &admin.common());
        admin
    }

    /// The same with the distribution's types and explorers.
    ///
    /// # Panics
    ///
    /// If nothing is staged.
    #[must_use]
    pub fn with_distribution(types: &[(&str, &str)]) -> Self {
        let admin = Self::new(types);
        for part in ["explorer", "type"] {
            let to = admin.path("dist/share/cdist/conf");
            run(Command::new("cp").arg("-R").arg(workspace().join("core/conf").join(part)).arg(to));
        }
        admin
    }

    fn common(&self) -> String {
        let (key, known) = (self.key.private_file(), self.path("known_hosts"));
        format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            key.display(),
            known.display()
        )
    }

    /// The key that servers should let in.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A path in the administrator's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the administrator, executable if it begins with `#!`.
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

    /// Gives servers a name in the ssh configuration, and trusts their keys. `more` are further lines for each.
    ///
    /// # Panics
    ///
    /// If a file cannot be written.
    pub fn knows(&self, hosts: &[(&str, &Sshd)], more: &str) {
        let (mut config, mut known) = (String::new(), String::new());
        for (name, sshd) in hosts {
            let _ = writeln!(
                config,
                "Host {name}\n  HostName {}\n  Port {}\n{more}",
                sshd.address(),
                sshd.port()
            );
            known.push_str(&sshd.known_hosts_line());
        }
        self.append("known_hosts", &known);
        let before = fs::read_to_string(self.path("ssh_config")).expect("reading the configuration");
        // ssh takes the first value: hosts first, what all have in common last.
        self.file("ssh_config", &format!("{config}Host *\n{}", before.trim_start_matches("Host *\n")));
    }

    /// Adds to a file.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn append(&self, name: &str, text: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap_or_default();
        self.file(name, &(before + text));
    }

    /// `cdist config --ssh-config … -i MANIFEST`; the hosts are still missing.
    #[must_use]
    pub fn config(&self, manifest: &str) -> Command {
        self.file("manifest", manifest);
        let mut command = Command::new(&self.program);
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp")).arg("config");
        for name in ["CDIST_PATH", "CDIST_BETA", "CDIST_REMOTE_EXEC", "CDIST_REMOTE_COPY", "SSH_AUTH_SOCK"] {
            command.env_remove(name);
        }
        command.arg("--ssh-config").arg(self.path("ssh_config")).arg("-i").arg(self.path("manifest"));
        command
    }

    /// Configures `host` with `manifest` to the end, and looks whether something stays.
    #[track_caller]
    pub fn configure(&self, manifest: &str, host: &str) -> Outcome {
        let outcome = outcome(self.config(manifest).arg(host));
        self.assert_no_connection();
        assert_eq!(self.directories(), Vec::<PathBuf>::new(), "left behind");
        outcome
    }

    /// Runs a command on `host` with ssh alone.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[must_use]
    pub fn ssh(&self, host: &str, script: &str) -> String {
        run(Command::new(tool("ssh", "openssh-client")).arg("-F").arg(self.path("ssh_config")).args([
            "-o",
            "User=root",
            host,
            script,
        ]))
    }

    /// No ssh of this administrator runs, and no control socket is there, after some seconds at most.
    ///
    /// # Panics
    ///
    /// With what is left.
    #[track_caller]
    pub fn assert_no_connection(&self) {
        let left = || [self.sockets(), self.masters()].concat();
        let clean = wait_until(Duration::from_secs(5), || left().is_empty().then_some(()));
        assert!(clean.is_some(), "left behind: {:?}", left());
    }

    /// Control sockets.
    fn sockets(&self) -> Vec<String> {
        let sockets = self.directories().into_iter().map(|dir| dir.join("s"));
        sockets.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
    }

    /// Where control sockets are or were. That of a killed run stays until the next one.
    fn directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("tmp")).expect("reading the temporary directory").flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("cdist-ssh-"))
            .map(|entry| entry.path())
            .collect()
    }

    /// The command lines of ssh processes that use this administrator's files.
    fn masters(&self) -> Vec<String> {
        let mark = self.path("").to_string_lossy().into_owned();
        let all = fs::read_dir("/proc").expect("reading /proc").flatten();
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| Path::new(line.split(' ').next().unwrap_or_default()).ends_with("ssh"))
            .filter(|line| line.contains(&mark))
            .collect()
    }
}

/// The types that these tests need: each is (file below the configuration directory, text).
pub const TYPES: &[(&str, &str)] = &[
    // Writes its name to a file of the target.
    ("type/__note/gencode-remote", "echo \"echo '$__object_id' >> /var/lib/notes\"\n"),
    // Runs what it reads on the target.
    ("type/__run/gencode-remote", "cat \"$__object/stdin\"\n"),
    // Runs what it reads here.
    ("type/__run_here/gencode-local", "cat \"$__object/stdin\"\n"),
];
