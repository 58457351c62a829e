//! Host keys that are chosen for one host: those that a machine has told, and those that are accepted at first.

use std::{fs, path::PathBuf, process::Command};

use cdist_core::{
    connector::{
        Connector, ConnectorError, Exec, HostKeys, Input, Output, RunContext, Ssh, SshError, SshOptions,
        SshProblem,
    },
    host::Cancel,
};
use cdist_tests::lab::{
    ssh::Key,
    sshd::{Like, Sshd},
};
use tempfile::TempDir;

const HOST: &str = "127.0.0.1";

/// A server with several keys, and a client that knows none of them.
struct Lab {
    dir: TempDir,
    sshd: Sshd,
    config: PathBuf,
    _key: Key,
}

impl Lab {
    /// `more` are lines of the user's ssh configuration.
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = String::new();
        for kind in ["ecdsa", "rsa"] {
            let file = dir.path().join(kind);
            let status =
                Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status();
            assert!(status.unwrap().success());
            server.push_str(&format!("HostKey {}\n", file.display()));
        }
        let key = Key::generate();
        let sshd = Sshd::start_like(&key, &Like { config: server, ..Like::default() });
        let config = dir.path().join("it's my config");
        let text = format!(
            "{more}UserKnownHostsFile /dev/null\nPort {}\nIdentityFile {}\nIdentitiesOnly yes\n",
            sshd.port(),
            key.private_file().display()
        );
        fs::write(&config, text).unwrap();
        Self { dir, sshd, config, _key: key }
    }

    /// `TYPE BASE64` of one of the server's keys.
    fn told(&self, kind: &str) -> String {
        let text = match kind {
            "ed25519" => self.sshd.known_hosts_line().split_once(' ').unwrap().1.to_owned(),
            file => fs::read_to_string(self.dir.path().join(file).with_extension("pub")).unwrap(),
        };
        text.split(' ').take(2).map(str::trim).collect::<Vec<_>>().join(" ")
    }

    fn ssh(&self, host_keys: HostKeys) -> Ssh {
        Ssh::new(SshOptions {
            config: Some(self.config.clone()),
            host_keys,
            unattended: true,
            ..SshOptions::default()
        })
    }

    /// Opens and closes a connection.
    async fn try_out(&self, host_keys: HostKeys) -> Result<(), SshError> {
        let ssh = self.ssh(host_keys);
        let opened = ssh.open(&context()).await;
        ssh.close(&context()).await.unwrap();
        match opened {
            Err(ConnectorError::Ssh(error)) => Err(error),
            other => {
                other.unwrap();
                Ok(())
            }
        }
    }

    fn logins(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }
}

fn context() -> RunContext {
    RunContext { host: HOST.into(), env: std::env::vars_os().collect(), cancel: Cancel::default() }
}

#[tokio::test]
async fn any_key_that_the_machine_has_told_is_right() {
    let lab = Lab::new("");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        lab.try_out(HostKeys::Known(vec![lab.told(kind)])).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
    let some = HostKeys::Known(vec![lab.told("rsa"), lab.told("ecdsa")]);
    lab.try_out(some).await.unwrap();
    assert_eq!(lab.logins(), 4);
}

#[tokio::test]
async fn what_the_user_has_configured_does_not_count_for_the_machine() {
    let lab = Lab::new(
        "Host *\n  HostKeyAlgorithms ssh-ed25519\n  StrictHostKeyChecking no\n  HostKeyAlias other\n  \
         NoHostAuthenticationForLocalhost yes\n  UpdateHostKeys yes\n",
    );
    lab.try_out(HostKeys::Known(vec![lab.told("rsa")])).await.unwrap();
    let other = Lab::new("");
    let error = lab.try_out(HostKeys::Known(vec![other.told("ed25519")])).await.unwrap_err();
    assert_eq!(error.problem, SshProblem::HostKeyNotTold);
    // It would have been accepted.
    lab.try_out(HostKeys::Configured).await.unwrap();
}

#[tokio::test]
async fn another_key_than_those_told_is_refused() {
    let (lab, other) = (Lab::new(""), Lab::new(""));
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let error = lab.try_out(HostKeys::Known(vec![other.told(kind)])).await.unwrap_err();
        assert_eq!(error.problem, SshProblem::HostKeyNotTold, "{kind}");
        let text = error.to_string();
        assert!(text.starts_with("cannot reach 127.0.0.1: its host key is none of those"), "{text}");
        assert!(text.contains("key SHA256:"), "{text}");
        assert!(error.remedy().contains("call again"));
    }
    assert_eq!(lab.logins(), 0);
    // Without told keys all is as ever.
    let error = lab.try_out(HostKeys::Configured).await.unwrap_err();
    assert_eq!(error.problem, SshProblem::HostKeyUnknown);
}

#[tokio::test]
async fn the_first_key_is_kept_and_then_the_only_one() {
    let (lab, other) = (Lab::new(""), Lab::new(""));
    let file = lab.dir.path().join("known hosts/7");
    for _ in 0..2 {
        lab.try_out(HostKeys::AcceptNew(file.clone())).await.unwrap();
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept.lines().count(), 1, "{kept}");
        assert!(kept.starts_with("cdist-target "), "{kept}");
    }
    let error = other.try_out(HostKeys::AcceptNew(file.clone())).await.unwrap_err();
    assert_eq!(error.problem, SshProblem::HostKeyNotFirst);
    assert!(error.to_string().contains("known hosts/7"), "{error}");
    fs::write(&file, "").unwrap();
    other.try_out(HostKeys::AcceptNew(file)).await.unwrap();
}

#[tokio::test]
async fn local_scripts_use_the_same_keys() {
    let lab = Lab::new("");
    let ssh = lab.ssh(HostKeys::Known(vec![lab.told("ecdsa")]));
    let commands = ssh.commands(lab.dir.path()).unwrap();
    ssh.open(&context()).await.unwrap();
    let exec = Exec {
        words: vec!["echo by the connection".into()],
        stdin: Input::Null,
        stdout: Output::Capture,
        stderr: Output::Null,
    };
    assert_eq!(ssh.exec(&context(), exec).await.unwrap().stdout, b"by the connection\n");
    let script = "$__remote_exec 127.0.0.1 echo shared\n\
        # And without the shared connection.\n\
        own=${__remote_exec%ControlPath=*}ControlPath=none; $own 127.0.0.1 echo alone\n\
        echo copied > \"$dir/copied\"; $__remote_copy \"$dir/copied\" 127.0.0.1:/mnt/copied\n\
        $__remote_exec 127.0.0.1 cat /mnt/copied\n";
    let output = Command::new("sh")
        .args(["-ec", script])
        .env("__remote_exec", &commands.exec)
        .env("__remote_copy", &commands.copy)
        .env("dir", lab.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "shared\nalone\ncopied\n", "{said}");
    ssh.close(&context()).await.unwrap();
    assert_eq!(lab.logins(), 2);
}

#[tokio::test]
async fn a_jump_host_is_checked_as_ever() {
    let lab = Lab::new("");
    let before = fs::read_to_string(&lab.config).unwrap();
    let jump = format!(
        "Host jump\n  HostName 127.0.0.1\n  Port {}\nHost 127.0.0.1\n  ProxyJump jump\n",
        lab.sshd.port()
    );
    fs::write(&lab.config, format!("{jump}Host *\n  User root\n{before}")).unwrap();
    let keys = || HostKeys::Known(vec![lab.told("ed25519")]);
    let error = lab.try_out(keys()).await.unwrap_err();
    assert_eq!((error.problem, error.on_the_way), (SshProblem::HostKeyUnknown, true), "{error}");
    let known = lab.dir.path().join("known_hosts");
    fs::write(&known, lab.sshd.known_hosts_line()).unwrap();
    fs::write(
        &lab.config,
        format!("UserKnownHostsFile {}\n{jump}Host *\n  User root\n{before}", known.display()),
    )
    .unwrap();
    lab.try_out(keys()).await.unwrap();
    assert_eq!(lab.logins(), 2);
}
