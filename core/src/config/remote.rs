//! Single commands on the target; everything else travels in batches.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    sync::atomic::Ordering,
};

use super::{
    batch::WIPE,
    engine::Engine,
    environment::Variables,
    error::ConfigError,
    log::Level,
    quote::{posix, posix_always},
};
use crate::{
    connector::{Context, Done, Exec, Output},
    trust::guard_line,
};

impl Engine {
    /// Wipes and makes the work directory, by a command without standard input.
    pub(super) async fn make_remote_dirs(&self) -> Result<(), ConfigError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let dir = &self.stage.remote;
        let script = posix_always(format!("{}{WIPE}", guard_line()));
        let words = vec!["/bin/sh".into(), "-c".into(), script, "cdist".into(), posix(dir)];
        let stdout = self.output(&self.stage.out, "stdout", "remote")?;
        let exec = Exec { words, stdin: self.input(), stdout, stderr: Output::Capture };
        let done = self.run.connector.exec(&self.context, exec).await?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ");
        Err(ConfigError::Send { dir: dir.clone(), said, status: done.status })
    }

    /// Removes the work directory.
    pub(super) async fn remove_remote_dir(&self, context: &Context) -> Result<(), ConfigError> {
        self.remote_plain(context, &["rm".into(), "-rf".into(), posix(&self.stage.remote)]).await
    }

    /// Runs a script of the target with the remote shell and `-e`.
    pub(super) async fn remote_script(
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
    pub(super) async fn remote_plain(
        &self,
        context: &Context,
        words: &[OsString],
    ) -> Result<(), ConfigError> {
        let stdout = self.output(&self.stage.out, "stdout", "remote")?;
        let stderr = self.output(&self.stage.out, "stderr", "remote")?;
        self.remote_exec(context, words, stdout, stderr).await.map(drop)
    }

    async fn remote_exec(
        &self,
        context: &Context,
        words: &[OsString],
        stdout: Output,
        stderr: Output,
    ) -> Result<Done, ConfigError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.run.log_level <= Level::Trace {
            self.log(Level::Trace, &format!("Running {}", self.run.connector.shown(context, words)));
        }
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
pub(super) fn script_word(script: &Path, variables: &Variables, path: Option<&str>, shell: &str) -> OsString {
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
