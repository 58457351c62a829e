//! An install is for machines that run a PreOS: what is installed is written over what is there.
//!
//! A PreOS is a system that carries the mark of a build (`preos::seal`) and whose root directory is in memory. Both are needed:
//! a root in memory alone is any live system or container, and the mark alone may have been copied to a disk.

use std::sync::atomic::Ordering;

use crate::{
    config::{engine::Engine, error::ConfigError, log::Level, profile::SpanKind},
    connector::{Exec, Output},
    host::quote::posix_always,
};

/// Prints what [`Found::read`] reads. The last mount of `/` is the one that is seen.
const SCRIPT: &str = "[ ! -f /etc/cdist/preos ] || echo preos
while read -r device dir type rest; do
    [ \"$dir\" != / ] || echo \"root $type $device\"
done </proc/mounts
:";

/// Kinds of file systems that are in memory. An overlay is what a PreOS in memory has above the image that it was booted
/// from; a container has one as well, but no mark.
const IN_MEMORY: [&str; 4] = ["rootfs", "tmpfs", "ramfs", "overlay"];

/// What the target said of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    is_marked: bool,
    /// Kind and device of the root file system.
    root: Option<(String, String)>,
}

impl Found {
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("preos"), None, None) => found.is_marked = true,
                (Some("root"), Some(kind), Some(device)) => {
                    found.root = Some((kind.to_owned(), device.to_owned()));
                }
                _ => {}
            }
        }
        found
    }

    /// Why the target is no PreOS, to stand after "it is no PreOS: ". `None` if it is one.
    fn flaw(&self) -> Option<String> {
        match &self.root {
            Some((kind, device)) if !IN_MEMORY.contains(&kind.as_str()) => {
                Some(format!("its root directory is {kind} on {device}"))
            }
            _ if !self.is_marked => Some("it has no file /etc/cdist/preos".to_owned()),
            None => Some("it does not say in /proc/mounts where its root directory is".to_owned()),
            Some(_) => None,
        }
    }
}

impl Engine {
    /// Looks whether the target runs a PreOS, before anything is done there. A dry run only warns.
    ///
    /// # Errors
    ///
    /// It does not, or cannot be asked.
    pub(in crate::config) async fn check_is_preos(&self) -> Result<(), ConfigError> {
        let _span = self.span(SpanKind::Call, || "looking whether it is a PreOS".to_owned());
        self.calls.fetch_add(1, Ordering::Relaxed);
        let words = ["/bin/sh".into(), "-c".into(), posix_always(SCRIPT)];
        let stderr = self.output(&self.stage.out, "stderr", "remote")?;
        let exec = Exec { words: words.to_vec(), stdin: self.input(), stdout: Output::Capture, stderr };
        let done = self.run.connector.exec(&self.context, exec).await?;
        let Some(why) = Found::read(&String::from_utf8_lossy(&done.stdout)).flaw() else { return Ok(()) };
        let error = ConfigError::NotPreos { host: self.run.host.clone(), why };
        if self.run.dry_run {
            self.log(Level::Warning, &format!("An install would be refused: {error}"));
            return Ok(());
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preos_is_marked_and_in_memory() {
        for (said, flaw) in [
            ("preos\nroot rootfs rootfs\n", None),
            ("preos\nroot rootfs rootfs\nroot tmpfs tmpfs\n", None),
            ("preos\nroot overlay overlay\n", None),
            ("root tmpfs tmpfs\n", Some("it has no file /etc/cdist/preos")),
            ("root overlay overlay\n", Some("it has no file /etc/cdist/preos")),
            ("root ext4 /dev/sda1\n", Some("its root directory is ext4 on /dev/sda1")),
            ("preos\nroot ext4 /dev/sda1\n", Some("its root directory is ext4 on /dev/sda1")),
            // What is mounted above it counts.
            (
                "preos\nroot rootfs rootfs\nroot ext4 /dev/sda1\n",
                Some("its root directory is ext4 on /dev/sda1"),
            ),
            ("preos\n", Some("it does not say in /proc/mounts where its root directory is")),
            ("", Some("it has no file /etc/cdist/preos")),
            ("preos root\nroot\nroot tmpfs\n", Some("it has no file /etc/cdist/preos")),
        ] {
            assert_eq!(Found::read(said).flaw().as_deref(), flaw, "{said:?}");
        }
    }

    #[test]
    fn the_script_says_what_is_read() {
        for shell in ["sh", "bash", "busybox"] {
            let mut command = std::process::Command::new(shell);
            if shell == "busybox" {
                command.arg("sh");
            }
            let said = command.args(["-e", "-c", SCRIPT]).output().unwrap();
            assert_eq!((said.status.code(), said.stderr.as_slice()), (Some(0), &b""[..]), "{shell}");
            let found = Found::read(&String::from_utf8(said.stdout).unwrap());
            assert!(found.root.is_some() && !found.is_marked, "{found:?}");
        }
    }
}
