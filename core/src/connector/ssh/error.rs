//! Why a host cannot be reached by ssh, in words that say what to do.
//!
//! ssh says it in English whatever the locale, to standard error; there is no other interface. What is not known here is
//! passed on as ssh said it.

use std::{fmt, process::ExitStatus};

use crate::connector::RunContext;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshProblem {
    /// The host's name cannot be one.
    Name,
    /// There is no ssh on this machine.
    NotInstalled,
    /// There is no directory for the control socket, or no configuration to read.
    NoControlDir,
    /// ssh does not understand its configuration.
    Configuration,
    /// The name has no address.
    Resolve,
    /// No server listens on the port.
    Refused,
    /// No network leads there.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The host's key is not among the known ones.
    HostKeyUnknown,
    /// The host has another key than the known one.
    HostKeyChanged,
    /// The host has none of the keys of [`HostKeys::Known`](super::HostKeys::Known).
    HostKeyNotTold,
    /// The host has another key than the one that was accepted by [`HostKeys::AcceptNew`](super::HostKeys::AcceptNew).
    HostKeyNotFirst,
    /// The connection ended before a login was tried.
    Dropped,
    /// No key or password was accepted.
    Authentication,
    /// More keys were offered than the host tries.
    TooManyKeys,
    /// There was a login, but no shell.
    NoShell,
    /// The host does not allow enough sessions on one connection.
    SessionRefused,
    /// The connection ended while it was in use.
    Lost,
    /// Something else.
    Other,
}

/// A host that cannot be reached, or not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshError {
    /// The host as the user wrote it.
    pub host: String,
    /// What is wrong.
    pub problem: SshProblem,
    /// True if it is wrong with a jump host on the way.
    pub on_the_way: bool,
    /// The line in which ssh says it; may be empty.
    pub said: String,
}

impl std::error::Error for SshError {}

/// What ssh says, in the order in which it is looked for: the more special first.
const SIGNS: &[(&str, SshProblem)] = &[
    ("Bad configuration option", SshProblem::Configuration),
    ("terminating, ", SshProblem::Configuration),
    ("Bad owner or permissions", SshProblem::Configuration),
    ("missing argument", SshProblem::Configuration),
    ("HOST IDENTIFICATION HAS CHANGED", SshProblem::HostKeyChanged),
    ("has changed and you have requested strict checking", SshProblem::HostKeyChanged),
    ("host key is known for", SshProblem::HostKeyUnknown),
    ("Host key verification failed", SshProblem::HostKeyUnknown),
    ("Could not resolve hostname", SshProblem::Resolve),
    ("Too many authentication failures", SshProblem::TooManyKeys),
    ("Permission denied (", SshProblem::Authentication),
    ("Connection refused", SshProblem::Refused),
    ("timed out", SshProblem::Timeout),
    ("Timeout, server", SshProblem::Timeout),
    ("No route to host", SshProblem::Unreachable),
    ("Network is unreachable", SshProblem::Unreachable),
    ("/bin/sh: No such file", SshProblem::NoShell),
    ("/bin/sh: not found", SshProblem::NoShell),
    ("/bin/sh: Permission denied", SshProblem::NoShell),
    // In the end: ssh says these, too, when a jump host has another reason.
    ("kex_exchange_identification: ", SshProblem::Dropped),
    ("ssh_exchange_identification: ", SshProblem::Dropped),
    ("banner exchange: ", SshProblem::Dropped),
    ("Connection closed by ", SshProblem::Dropped),
    ("Connection reset by ", SshProblem::Dropped),
    ("Not allowed at this time", SshProblem::Dropped),
    ("Exceeded MaxStartups", SshProblem::Dropped),
];

/// Lines that ssh adds to whatever the reason is.
const EMPTY_TALK: &[&str] =
    &["Warning: Permanently added", "Connection closed by UNKNOWN", "mux_client", "@@@@", "debug1:"];

impl SshError {
    /// `said` is all that ssh has said; its most telling line is kept.
    pub(super) fn new(context: &RunContext, problem: SshProblem, said: &str) -> Self {
        Self { host: context.host.clone(), problem, on_the_way: false, said: last_line(said) }
    }

    /// Why there is no connection.
    pub(super) fn of_start(context: &RunContext, said: &str, status: Option<ExitStatus>) -> Self {
        let host = context.host.clone();
        // ssh calls the peer so when it talks through another ssh.
        let on_the_way = said.contains("UNKNOWN port 65535") || said.contains("stdio forwarding failed");
        for (sign, problem) in SIGNS {
            if let Some(line) = said.lines().find(|line| line.contains(sign)) {
                // The banner says less than where the other key is.
                let line = said.lines().find(|line| line.starts_with("Offending")).unwrap_or(line);
                return Self { host, problem: *problem, on_the_way, said: line.trim().to_owned() };
            }
        }
        // The target's shell has the last word, or none.
        let problem = match status.and_then(|status| status.code()) {
            Some(126 | 127) => SshProblem::NoShell,
            _ => SshProblem::Other,
        };
        let mut said = last_line(said);
        if said.is_empty() {
            said = match status {
                Some(status) => format!("the login ended with {}", crate::host::describe(status)),
                None => "the login ended".to_owned(),
            };
        }
        Self { host, problem, on_the_way, said }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        let login = self.login();
        match self.problem {
            SshProblem::Name => "a host name has no blanks and does not begin with a dash".to_owned(),
            SshProblem::NotInstalled => "install the OpenSSH client".to_owned(),
            SshProblem::NoControlDir => "name a file that can be read with --ssh-config, or make room in TMPDIR".to_owned(),
            SshProblem::Configuration => "correct that line; `man ssh_config` has the words".to_owned(),
            SshProblem::Resolve => {
                "correct the name, or give it a HostName in the ssh configuration".to_owned()
            }
            SshProblem::Refused => "start sshd there, or set the right Port in the ssh configuration".to_owned(),
            SshProblem::Unreachable => "look at its address and the routes".to_owned(),
            SshProblem::Timeout => {
                "see whether it is running and whether a firewall lets ssh through; ConnectTimeout in the ssh \
                 configuration allows for more time"
                    .to_owned()
            }
            SshProblem::HostKeyUnknown => {
                format!("log in once with `{login}`, compare the fingerprint and accept it")
            }
            SshProblem::HostKeyChanged => format!(
                "if the key was changed on purpose, forget the old one with `ssh-keygen -R {}`, log in once with \
                 `{login}` and compare the fingerprint",
                self.host.rsplit('@').next().unwrap_or(&self.host)
            ),
            SshProblem::HostKeyNotTold => {
                "if it is the right machine, let it call again, so that it tells the keys that it has now".to_owned()
            }
            SshProblem::HostKeyNotFirst => {
                "if it was given another key on purpose, remove the file with the accepted one".to_owned()
            }
            SshProblem::Dropped => {
                "if many connections are made at the same time, raise MaxStartups in the sshd_config there, or of the jump \
                 host, or work on fewer hosts with -p; the log of sshd there tells why"
                    .to_owned()
            }
            SshProblem::Authentication => {
                format!("try `{login}`, and add your public key to its authorized_keys")
            }
            SshProblem::TooManyKeys => {
                "set IdentityFile and 'IdentitiesOnly yes' for it in the ssh configuration".to_owned()
            }
            SshProblem::NoShell => "install a POSIX shell there".to_owned(),
            SshProblem::SessionRefused => "set MaxSessions in its sshd_config to 10".to_owned(),
            SshProblem::Lost => "look at the network and at sshd there, then run cdist again".to_owned(),
            SshProblem::Other => format!("see whether `{login}` works"),
        }
    }

    /// A login by hand, for a user to type.
    fn login(&self) -> String {
        let mut words: Vec<&str> = vec!["ssh"];
        words.extend(super::user(&self.host));
        words.push(&self.host);
        words.join(" ")
    }
}

fn last_line(said: &str) -> String {
    let telling = |line: &&str| !line.is_empty() && !EMPTY_TALK.iter().any(|talk| line.starts_with(talk));
    said.lines().map(str::trim).rfind(telling).unwrap_or_default().to_owned()
}

impl fmt::Display for SshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, problem, .. } = self;
        match problem {
            SshProblem::Lost => write!(f, "the connection to {host} was lost")?,
            _ if self.on_the_way => write!(f, "cannot reach {host} through its jump host")?,
            _ => write!(f, "cannot reach {host}")?,
        }
        f.write_str(match problem {
            SshProblem::Name => ": this is no host name",
            SshProblem::NotInstalled => ": ssh cannot be started",
            SshProblem::NoControlDir => ": ssh cannot be prepared",
            SshProblem::Configuration => ": ssh does not understand its configuration",
            SshProblem::Resolve => ": its name has no address",
            SshProblem::Refused => ": nothing listens there",
            SshProblem::Unreachable => ": no network leads there",
            SshProblem::Timeout => ": no answer in time",
            SshProblem::HostKeyUnknown => ": its host key is not known yet",
            SshProblem::HostKeyChanged => ": its host key is not the known one, so this may be another machine",
            SshProblem::HostKeyNotTold => {
                ": its host key is none of those that the machine told when it called, so this may be another machine"
            }
            SshProblem::HostKeyNotFirst => {
                ": its host key is not the one that was accepted at first, so this may be another machine"
            }
            SshProblem::Dropped => ": it ended the connection before the login, also when tried again",
            SshProblem::Authentication => ": no key was accepted",
            SshProblem::TooManyKeys => ": it stopped listening before the right key came",
            SshProblem::NoShell => ": it has no usable /bin/sh",
            SshProblem::SessionRefused => ": it does not allow enough sessions on one connection",
            SshProblem::Lost | SshProblem::Other => "",
        })?;
        if self.said.is_empty() { Ok(()) } else { write!(f, " ({})", self.said.trim_end_matches('.')) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Cancel;

    fn of(said: &str) -> SshError {
        let context = RunContext { host: "web1".into(), env: vec![], cancel: Cancel::default() };
        SshError::of_start(&context, said, None)
    }

    /// What OpenSSH 9.2 says.
    #[test]
    fn what_ssh_says_is_understood() {
        let cases = [
            ("ssh: Could not resolve hostname web1: Name or service not known", SshProblem::Resolve),
            ("ssh: connect to host web1 port 22: Connection refused", SshProblem::Refused),
            ("ssh: connect to host web1 port 22: Connection timed out", SshProblem::Timeout),
            (
                "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out",
                SshProblem::Timeout,
            ),
            ("ssh: connect to host web1 port 22: No route to host", SshProblem::Unreachable),
            (
                "No ED25519 host key is known for [::1]:4711 and you have requested strict checking.\r\nHost key \
                 verification failed.",
                SshProblem::HostKeyUnknown,
            ),
            (
                "@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@\r\nHost key for \
                 web1 has changed and you have requested strict checking.\r\nHost key verification failed.",
                SshProblem::HostKeyChanged,
            ),
            ("root@web1: Permission denied (publickey).", SshProblem::Authentication),
            (
                "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.1 port 22",
                SshProblem::Dropped,
            ),
            ("kex_exchange_identification: Connection closed by remote host", SshProblem::Dropped),
            ("Connection closed by 10.0.0.1 port 22", SshProblem::Dropped),
            ("banner exchange: Connection to 10.0.0.1 port 22: Broken pipe", SshProblem::Dropped),
            (
                "root@web1: Permission denied (publickey).\r\nConnection closed by 10.0.0.1 port 22",
                SshProblem::Authentication,
            ),
            (
                "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\nDisconnected",
                SshProblem::TooManyKeys,
            ),
            (
                "/root/.ssh/config: line 1: Bad configuration option: foo\r\n/root/.ssh/config: terminating, 1 bad \
                 configuration options",
                SshProblem::Configuration,
            ),
            ("bash: line 1: /bin/sh: No such file or directory", SshProblem::NoShell),
            ("This account is currently not available.", SshProblem::Other),
        ];
        for (said, problem) in cases {
            let error = of(said);
            assert_eq!(error.problem, problem, "{said}");
            assert!(error.to_string().contains("web1"), "{error}");
            assert!(!error.on_the_way);
        }
    }

    #[test]
    fn a_jump_host_is_told_from_the_target() {
        let error = of(
            "ssh: connect to host jump port 22: Connection refused\r\nConnection closed by UNKNOWN port 65535",
        );
        assert_eq!((error.problem, error.on_the_way), (SshProblem::Refused, true));
        assert!(error.to_string().starts_with("cannot reach web1 through its jump host: "), "{error}");
    }

    #[test]
    fn the_remedy_can_be_typed() {
        let error = of("No ED25519 host key is known for web1 and you have requested strict checking.");
        assert!(error.remedy().contains("`ssh -o User=root web1`"), "{}", error.remedy());
    }
}
