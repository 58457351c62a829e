//! Two programs of the user: one runs a command on the target, the other copies to it.
//!
//! The argv is the original's: exec gets the host and the command's words, which it must join with blanks and
//! hand to a shell, like ssh; copy gets sources and `host:destination`, like scp.

use std::{ffi::OsString, io, net::IpAddr, path::Path};

use async_trait::async_trait;

use super::{
    Commands, Connector, ConnectorError, Copy, CopyTo, Done, Exec, Input, Process, RunContext, shown,
};

/// A connector that calls two programs.
#[derive(Clone, Debug)]
pub struct Custom {
    exec: String,
    copy: String,
}

impl Custom {
    /// `exec` and `copy` are command lines that are split at blanks; there is no quoting.
    pub fn new(exec: impl Into<String>, copy: impl Into<String>) -> Self {
        Self { exec: exec.into(), copy: copy.into() }
    }

    fn exec_argv(&self, host: &str, words: &[OsString]) -> Vec<OsString> {
        let mut argv: Vec<OsString> = self.exec.split_whitespace().map(OsString::from).collect();
        argv.push(host.into());
        argv.extend_from_slice(words);
        argv
    }

    fn copy_argv(&self, host: &str, copy: &Copy) -> Vec<OsString> {
        let mut argv: Vec<OsString> = self.copy.split_whitespace().map(OsString::from).collect();
        argv.extend(copy.sources.iter().map(|s| s.clone().into_os_string()));
        let (CopyTo::Dir(path) | CopyTo::File(path)) = &copy.to;
        let mut destination = OsString::from(bracketed(host));
        destination.push(":");
        destination.push(path);
        argv.push(destination);
        argv
    }
}

/// An IPv6 address, with or without zone, needs brackets before a colon.
pub(super) fn bracketed(host: &str) -> String {
    let address = host.split('%').next().unwrap_or(host);
    match address.parse() {
        Ok(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    }
}

#[async_trait]
impl Connector for Custom {
    async fn exec(&self, context: &RunContext, exec: Exec) -> Result<Done, ConnectorError> {
        let process = Process {
            argv: self.exec_argv(&context.host, &exec.words),
            env: context.env.clone(),
            stdin: exec.stdin,
            stdout: exec.stdout,
            stderr: exec.stderr,
            cancel: context.cancel.clone(),
        };
        Ok(process.run().await?)
    }

    async fn copy(&self, context: &RunContext, copy: Copy) -> Result<(), ConnectorError> {
        let argv = self.copy_argv(&context.host, &copy);
        let command = shown(&argv);
        let process = Process {
            argv,
            env: context.env.clone(),
            stdin: Input::Null,
            stdout: copy.stdout,
            stderr: copy.stderr,
            cancel: context.cancel.clone(),
        };
        let done = process.run().await?;
        if done.status.success() {
            Ok(())
        } else {
            Err(ConnectorError::CopyFailed { command, status: done.status })
        }
    }

    /// Programs of users see the commands that they know from the original.
    fn takes_scripts_on_stdin(&self) -> bool {
        false
    }

    fn commands(&self, _dir: &Path) -> io::Result<Commands> {
        Ok(Commands { exec: self.exec.clone().into(), copy: self.copy.clone().into() })
    }

    fn shown(&self, context: &RunContext, words: &[OsString]) -> String {
        shown(&self.exec_argv(&context.host, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Output;

    #[test]
    fn argv_is_split_words_host_words() {
        let custom = Custom::new("ssh  -o User=root", "scp -q");
        let words = ["rm", "-rf", "/x"].map(OsString::from);
        assert_eq!(custom.exec_argv("web1", &words), ["ssh", "-o", "User=root", "web1", "rm", "-rf", "/x"]);
        let copy = Copy {
            sources: vec!["/a".into(), "/b".into()],
            to: CopyTo::Dir("/var/lib/cdist/conf".into()),
            stdout: Output::Null,
            stderr: Output::Null,
        };
        assert_eq!(custom.copy_argv("web1", &copy), ["scp", "-q", "/a", "/b", "web1:/var/lib/cdist/conf"]);
    }

    #[test]
    fn only_ipv6_gets_brackets() {
        assert_eq!(bracketed("fe80::1%lo"), "[fe80::1%lo]");
        assert_eq!(bracketed("::1"), "[::1]");
        assert_eq!(bracketed("10.0.0.1"), "10.0.0.1");
        assert_eq!(bracketed("a:b"), "a:b");
    }
}
