//! Which keys of a host are right, if it is not the user's ssh configuration that says so.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{SshError, SshProblem, control_dir::is_plain};
use crate::connector::RunContext;

/// What the host is called in files of keys. So neither its port nor the zone of its address matters.
const ALIAS: &str = "cdist-target";

/// The types of keys that ssh may be asked to prefer, with the algorithms that use them. One that ssh does not know
/// would be an error.
const ALGORITHMS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// Which keys of a host are right. Whatever is chosen, jump hosts are checked as the user's ssh configuration says. All but
/// the first need OpenSSH 8.5 on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostKeys {
    /// Those that the user's ssh configuration says; one that is not known is refused unless it says otherwise.
    #[default]
    Configured,
    /// These, each `TYPE BASE64`, and no others.
    Known(Vec<String>),
    /// Those in this file of known_hosts(5). As long as there is none, any one is right, and kept there.
    AcceptNew(PathBuf),
}

impl HostKeys {
    /// The beginning of ssh's configuration. Files that it names are made in `dir`, which is plain to ssh.
    pub(super) fn block(&self, dir: &Path, context: &RunContext) -> Result<String, SshError> {
        let (file, checking, algorithms) = match self {
            Self::Configured => return Ok(String::new()),
            Self::Known(keys) => (write_known(dir, keys), "yes", preferred(keys)),
            Self::AcceptNew(file) => (make_reachable(dir, file), "accept-new", String::new()),
        };
        let file = file.map_err(|source| super::no_control_dir(context, &source))?;
        let host = context.host.rsplit('@').next().unwrap_or(&context.host);
        if !is_literal(host) {
            return Err(SshError::new(context, SshProblem::Name, ""));
        }
        // The user's words for other ways to trust a key must not count.
        Ok(format!(
            "Host {host}\n    HostKeyAlias {ALIAS}\n    UserKnownHostsFile {}\n    GlobalKnownHostsFile /dev/null\n    \
             KnownHostsCommand none\n    StrictHostKeyChecking {checking}\n    VerifyHostKeyDNS no\n    \
             NoHostAuthenticationForLocalhost no\n    CheckHostIP no\n    UpdateHostKeys no\n{algorithms}",
            file.display()
        ))
    }

    /// A refused key in words that fit: the file that ssh names is none that the user knows. `said` is all that ssh has
    /// said.
    pub(super) fn explain(&self, mut error: SshError, said: &str) -> SshError {
        if error.on_the_way
            || !matches!(error.problem, SshProblem::HostKeyUnknown | SshProblem::HostKeyChanged)
        {
            return error;
        }
        match self {
            Self::Configured => {}
            Self::Known(_) => {
                error.problem = SshProblem::HostKeyNotTold;
                error.said = sent_key(said).unwrap_or_default();
            }
            Self::AcceptNew(file) => {
                error.problem = SshProblem::HostKeyNotFirst;
                error.said = format!("the accepted one is in {}", file.display());
            }
        }
        error
    }
}

/// True if `Host` in the configuration means this host and no other.
fn is_literal(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%".contains(&b))
}

fn write_known(dir: &Path, keys: &[String]) -> io::Result<PathBuf> {
    let mut text = String::new();
    for key in keys {
        let is_one = key.split(' ').count() == 2 && !key.contains(char::is_control) && !key.starts_with('@');
        if !is_one {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{key:?} is no host key")));
        }
        text.push_str(&format!("{ALIAS} {key}\n"));
    }
    let file = dir.join("known_hosts");
    fs::write(&file, text)?;
    Ok(file)
}

/// Prefers what can be checked, whatever order the user has chosen: a host shows only one of its keys.
fn preferred(keys: &[String]) -> String {
    let has = |kind: &str| keys.iter().any(|key| key.split(' ').next() == Some(kind));
    let known = ALGORITHMS.iter().filter(|(kind, _)| has(kind));
    let names: Vec<&str> = known.map(|(_, algorithms)| *algorithms).collect();
    if names.is_empty() { String::new() } else { format!("    HostKeyAlgorithms ^{}\n", names.join(",")) }
}

/// The path of `file` for ssh: by way of a link in `dir` if its own means something to ssh. It exists then, so that ssh
/// writes to it and not to a new one of another mode.
fn make_reachable(dir: &Path, file: &Path) -> io::Result<PathBuf> {
    let making = |e: io::Error| io::Error::new(e.kind(), format!("making {}: {e}", file.display()));
    if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(making)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(file).map_err(making)?;
    let file = fs::canonicalize(file)?;
    if is_plain(&file) {
        return Ok(file);
    }
    let link = dir.join("accepted_hosts");
    match symlink(&file, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(link),
    }
}

/// Type and fingerprint of the key that the host has shown, if ssh has told them.
fn sent_key(said: &str) -> Option<String> {
    let mut lines = said.lines().map(str::trim);
    let first = lines.find(|line| line.starts_with("The fingerprint for the "))?;
    let kind = first.split(' ').nth(4)?;
    Some(format!("it has the {kind} key {}", lines.next()?.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Cancel;

    fn context(host: &str) -> RunContext {
        RunContext { host: host.into(), env: vec![], cancel: Cancel::default() }
    }

    #[test]
    fn known_keys_are_the_only_ones_and_are_preferred() {
        let dir = tempfile::tempdir().unwrap();
        let keys =
            HostKeys::Known(vec!["ssh-rsa AAAB".into(), "ssh-ed25519 AAAC".into(), "new-type AAAD".into()]);
        let block = keys.block(dir.path(), &context("root@fe80::1%eth0")).unwrap();
        assert!(block.starts_with("Host fe80::1%eth0\n    HostKeyAlias cdist-target\n"), "{block}");
        assert!(block.contains("StrictHostKeyChecking yes\n"), "{block}");
        assert!(block.ends_with("HostKeyAlgorithms ^ssh-ed25519,rsa-sha2-512,rsa-sha2-256\n"), "{block}");
        let text = fs::read_to_string(dir.path().join("known_hosts")).unwrap();
        assert_eq!(
            text,
            "cdist-target ssh-rsa AAAB\ncdist-target ssh-ed25519 AAAC\ncdist-target new-type AAAD\n"
        );
        assert_eq!(HostKeys::Configured.block(dir.path(), &context("*")).unwrap(), "");
    }

    #[test]
    fn what_would_mean_more_than_one_host_or_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let keys = HostKeys::Known(vec!["ssh-ed25519 AAAC".into()]);
        for host in ["*", "a b", "!x", "web?", "ssh://x", "", "a\nHost *"] {
            let error = keys.block(dir.path(), &context(host)).unwrap_err();
            assert_eq!(error.problem, SshProblem::Name, "{host}");
        }
        for key in ["ssh-ed25519", "@revoked AAAC", "ssh-ed25519 AAAC\n* x", "a b c"] {
            let error = HostKeys::Known(vec![key.into()]).block(dir.path(), &context("x")).unwrap_err();
            assert_eq!(error.problem, SshProblem::NoControlDir, "{key}");
        }
    }

    #[test]
    fn a_file_of_accepted_keys_may_have_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's 100% odd/7");
        let keys = HostKeys::AcceptNew(file.clone());
        for _ in 0..2 {
            let block = keys.block(dir.path(), &context("x")).unwrap();
            assert!(block.contains("StrictHostKeyChecking accept-new\n"), "{block}");
            let named =
                block.lines().find_map(|line| line.trim().strip_prefix("UserKnownHostsFile ")).unwrap();
            assert!(is_plain(Path::new(named)));
            fs::write(named, "key").unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), "key");
        }
    }

    #[test]
    fn a_refused_key_is_explained_by_where_the_right_ones_come_from() {
        let said = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nThe fingerprint for the ED25519 key sent by the \
                    remote host is\r\nSHA256:abc.\r\nOffending ED25519 key in /tmp/x:1\r\nHost key for cdist-target has \
                    changed and you have requested strict checking.";
        let error = || SshError::of_start(&context("web1"), said, None);
        let known = HostKeys::Known(vec![]).explain(error(), said);
        assert_eq!(known.problem, SshProblem::HostKeyNotTold);
        assert!(known.to_string().ends_with("(it has the ED25519 key SHA256:abc)"), "{known}");
        assert!(known.remedy().contains("call again"));
        let first = HostKeys::AcceptNew("/state/7".into()).explain(error(), said);
        assert!(first.to_string().ends_with("(the accepted one is in /state/7)"), "{first}");
        assert_eq!(HostKeys::Configured.explain(error(), said), error());
        let jump = SshError { on_the_way: true, ..error() };
        assert_eq!(HostKeys::Known(vec![]).explain(jump.clone(), said), jump);
    }
}
