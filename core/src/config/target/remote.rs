//! Single commands on the target; everything else travels in batches.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::Ordering,
};

use crate::{
    config::{engine::Engine, error::ConfigError, log::Level, profile::SpanKind, variables::Variables},
    connector::{Done, Exec, Output, RunContext},
    host::{
        parent_of,
        quote::{posix, posix_always},
    },
    trust::{list_command, read_listing},
};

impl Engine {
    /// Wipes and makes the work directory, by commands without standard input. Others on the target must not be able to
    /// change the way to it.
    pub(in crate::config) async fn make_remote_dirs(&self) -> Result<(), ConfigError> {
        let dir = &self.stage.remote;
        let parent = parent_of(dir);
        if self.check_way(parent).await?.is_none() {
            // What is missing may have been made by another user by then.
            self.remote_plain(&self.context, &["mkdir".into(), "-p".into(), posix(parent)]).await?;
            self.check_way(parent).await?;
        }
        self.remote_plain(&self.context, &["rm".into(), "-rf".into(), posix(dir)]).await?;
        self.remote_plain(&self.context, &["mkdir".into(), "-m".into(), "0700".into(), posix(dir)]).await
    }

    /// Checks the way to a directory of the target, and where symbolic links in it lead. `None` if not all of it is there.
    async fn check_way(&self, dir: &Path) -> Result<Option<PathBuf>, ConfigError> {
        let listing = self.list_way(dir).await?;
        match listing {
            Some(real) if real != dir => self.list_way(&real).await,
            listing => Ok(listing),
        }
    }

    async fn list_way(&self, dir: &Path) -> Result<Option<PathBuf>, ConfigError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _span = self.span(SpanKind::Call, || format!("looking at the way to {}", dir.display()));
        let command = list_command(dir, |path| posix(path).to_string_lossy().into_owned());
        let words = ["/bin/sh".into(), "-c".into(), posix_always(command)];
        let stderr = self.output(&self.stage.out, "stderr", "remote")?;
        let exec = Exec { words: words.to_vec(), stdin: self.input(), stdout: Output::Capture, stderr };
        let done = self.run.connector.exec(&self.context, exec).await?;
        let listing = read_listing(&String::from_utf8_lossy(&done.stdout));
        match listing.flaw {
            Some(said) => {
                // As the script says it that has the same rules elsewhere.
                let status = ExitStatus::from_raw(1 << 8);
                Err(ConfigError::Send { dir: self.stage.remote.clone(), said, status })
            }
            None => Ok(listing.real),
        }
    }

    /// Removes the work directory.
    pub(in crate::config) async fn remove_remote_dir(&self, context: &RunContext) -> Result<(), ConfigError> {
        self.remote_plain(context, &["rm".into(), "-rf".into(), posix(&self.stage.remote)]).await
    }

    /// Runs a script of the target with the remote shell and `-e`.
    pub(in crate::config) async fn remote_script(
        &self,
        script: &Path,
        variables: &Variables,
        stdout: Output,
        stderr: Output,
    ) -> Result<(), ConfigError> {
        let word = script_word(script, variables, self.run.remote_path.as_deref(), &self.run.remote_shell);
        self.remote_exec(&self.context, &[word], stdout, stderr).await.map(drop)
    }

    /// Runs a plain command, whose words are quoted already.
    pub(in crate::config) async fn remote_plain(
        &self,
        context: &RunContext,
        words: &[OsString],
    ) -> Result<(), ConfigError> {
        let stdout = self.output(&self.stage.out, "stdout", "remote")?;
        let stderr = self.output(&self.stage.out, "stderr", "remote")?;
        self.remote_exec(context, words, stdout, stderr).await.map(drop)
    }

    async fn remote_exec(
        &self,
        context: &RunContext,
        words: &[OsString],
        stdout: Output,
        stderr: Output,
    ) -> Result<Done, ConfigError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.run.log_level <= Level::Trace {
            self.log(Level::Trace, &format!("Running {}", self.run.connector.shown(context, words)));
        }
        let _span = self.span(SpanKind::Call, || self.run.connector.shown(context, words));
        let exec = Exec { words: words.to_vec(), stdin: self.input(), stdout, stderr };
        let done = self.run.connector.exec(context, exec).await?;
        if done.status.success() {
            return Ok(done);
        }
        let command = self.run.connector.shown(context, words);
        Err(ConfigError::Failed { command, status: done.status, why: None })
    }
}

/// `/bin/sh -c ' export K=V;  export K=V;/bin/sh -e path'`, to be read by a shell on the target.
///
/// The blanks are those of the original, for remote exec scripts that look at the string. Values that need it
/// are quoted for the inner shell, and all of it for the outer one.
pub(in crate::config) fn script_word(
    script: &Path,
    variables: &Variables,
    path: Option<&str>,
    shell: &str,
) -> OsString {
    let mut inner = OsString::new();
    let path = path.map(|path| ("PATH", OsString::from(path)));
    for (i, (key, value)) in variables.iter().chain(path.as_ref()).enumerate() {
        inner.push(if i == 0 { " export " } else { "  export " });
        inner.push(key);
        inner.push("=");
        if !value.is_empty() {
            inner.push(posix(value));
        }
        inner.push(";");
    }
    inner.push(shell);
    inner.push(" -e ");
    inner.push(posix(script));
    let mut word = OsString::from("/bin/sh -c ");
    word.push(posix_always(OsStr::new(&inner)));
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    #[test]
    fn safe_values_give_the_string_of_the_original() {
        let variables: Variables = vec![("__target_host", "web1".into()), ("__target_host_tags", "".into())];
        assert_eq!(
            script_word(
                Path::new("/var/lib/cdist/conf/explorer/os"),
                &variables,
                Some("/bin:/usr/bin"),
                "/bin/sh"
            ),
            "/bin/sh -c ' export __target_host=web1;  export __target_host_tags=;  \
             export PATH=/bin:/usr/bin;/bin/sh -e /var/lib/cdist/conf/explorer/os'"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_value_reaches_the_script(value in prop::collection::vec(1u8..=255, 0..30)) {
            let dir = tempfile::tempdir().unwrap();
            let script = dir.path().join("it's a $script");
            std::fs::write(&script, "printf '%s' \"$__object_id\"").unwrap();
            let value = OsString::from_vec(value);
            let word = script_word(&script, &vec![("__object_id", value.clone())], None, "/bin/sh");
            let output = std::process::Command::new("/bin/sh").env("LC_ALL", "C").arg("-c").arg(word).output().unwrap();
            prop_assert_eq!(output.stdout, value.as_bytes());
        }
    }
}
