//! Showing what an object changes in files, before its code runs.
//!
//! A type that can tell has a script `gencode-diff`. It runs on this machine after the other gencode scripts; its
//! output runs on the target, changes nothing there, and tells with the functions of `diff_prelude.sh` what files hold
//! and what they shall hold. The difference is made here. The script also says, by making `$__object/secret`, that
//! neither the difference nor the code is to be shown; so it runs in each dry run.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::atomic::Ordering,
};

use super::file_diff;
use crate::{
    config::{
        declare::object::ObjectName,
        engine::Engine,
        error::ConfigError,
        log::Level,
        run_report::{DIFF, SECRET},
    },
    connector::{Exec, Input, Output},
    host::quote::posix,
};

const PRELUDE: &str = include_str!("diff_prelude.sh");
/// The script of a type, and the name of its streams.
const SCRIPT: &str = "gencode-diff";
/// More output than this is not looked at: ten files of the greatest size, both sides, three characters a byte.
const OUTPUT_MAX: u64 = 64 * 1024 * 1024;

impl Engine {
    /// Writes what the object changes in files to its file `diff`, if the run wants to know and its type can tell.
    ///
    /// It is for the user's eyes only, so a failure is a warning, and the object's code runs all the same.
    pub(in crate::config) async fn write_diff(&self, object: &ObjectName) -> Result<(), ConfigError> {
        // A dry run has to know what is a secret, and that may depend on the target.
        if !self.run.diff && !self.run.dry_run {
            return Ok(());
        }
        let error = match self.try_diff(object).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => error,
        };
        // What cannot be judged is better not shown.
        self.mark_secret(object)?;
        self.log(Level::Warning, &format!("Cannot tell what {object} changes in files: {}", error.report()));
        Ok(())
    }

    fn mark_secret(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let marker = self.stage.object_dir(object).join(SECRET);
        File::create(&marker).map_err(ConfigError::io(format!("writing {}", marker.display()))).map(drop)
    }

    async fn try_diff(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let Some(script) = self.stage.type_of(object).script(SCRIPT) else { return Ok(()) };
        let dir = self.stage.object_dir(object);
        let code_path = dir.join("code-diff");
        let stderr = self.output(&dir, "stderr", SCRIPT)?;
        let code_file =
            File::create(&code_path).map_err(ConfigError::io(format!("writing {}", code_path.display())))?;
        self.run_script(&script, self.object_variables(object), Output::File(code_file), stderr).await?;
        let code =
            read_start(&code_path).map_err(ConfigError::io(format!("reading {}", code_path.display())))?;
        if code.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let told = self.ask_target(object, &code).await?;
        let changes = file_diff::parse(&told, &dir.join("files"))
            .map_err(|error| ConfigError::Diff { object: object.clone(), reason: error.to_string() })?;
        if changes.iter().any(file_diff::FileChange::is_secret) {
            self.mark_secret(object)?;
        }
        if !self.run.diff {
            return Ok(());
        }
        let diff: Vec<u8> = changes.iter().flat_map(file_diff::FileChange::unified).collect();
        let path = dir.join(DIFF);
        fs::write(&path, diff).map_err(ConfigError::io(format!("writing {}", path.display())))
    }

    /// Runs the code on the target and returns what it has printed.
    async fn ask_target(&self, object: &ObjectName, code: &[u8]) -> Result<Vec<u8>, ConfigError> {
        let dir = self.stage.object_dir(object);
        let path = dir.join("diff-told");
        let told = File::create(&path).map_err(ConfigError::io(format!("writing {}", path.display())))?;
        // The script travels on standard input: so it leaves nothing on the target.
        let words: Vec<OsString> = vec![self.run.remote_shell.clone().into(), "-e".into()];
        let exec = Exec {
            words: words.clone(),
            stdin: Input::Bytes(self.diff_script(object, code)),
            stdout: Output::File(told),
            stderr: self.output(&dir, "stderr", SCRIPT)?,
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let done = self.run.connector.exec(&self.context, exec).await?;
        if !done.status.success() {
            let command = self.run.connector.shown(&self.context, &words);
            return Err(ConfigError::Failed { command, status: done.status, why: None });
        }
        let told = read_start(&path).map_err(ConfigError::io(format!("reading {}", path.display())))?;
        // It holds the whole files, in a form that has no further use.
        fs::remove_file(&path).map_err(ConfigError::io(format!("removing {}", path.display())))?;
        Ok(told)
    }

    fn diff_script(&self, object: &ObjectName, code: &[u8]) -> Vec<u8> {
        let kind = self.stage.type_of(object);
        let secret = kind.dir.join(SECRET).exists() || self.stage.object_dir(object).join(SECRET).exists();
        let reveal = self.run.reveal_secrets;
        let flag = |on: bool| OsString::from(if on { "1" } else { "" });
        let mut variables = self.code_remote_variables(object);
        variables.extend([
            ("__diff_max", file_diff::SIZE_MAX.to_string().into()),
            ("__diff_secret", flag(secret && !reveal)),
            ("__diff_reveal", flag(reveal)),
        ]);
        variables.extend(self.run.remote_path.iter().map(|path| ("PATH", OsString::from(path))));
        let mut script = Vec::new();
        for (key, value) in variables {
            script.extend_from_slice(b"export ");
            script.extend_from_slice(key.as_bytes());
            script.extend_from_slice(b"=");
            script.extend_from_slice(posix(&value).as_bytes());
            script.push(b'\n');
        }
        script.extend_from_slice(PRELUDE.as_bytes());
        // The shell reads all of a group before it runs any of it, so the code may look at its standard input. That is
        // an empty pipe, for the root of a system that is being made may have no devices yet.
        script.extend_from_slice(b": | {\n:\n");
        script.extend_from_slice(code);
        script.extend_from_slice(b"\n}\n");
        script
    }
}

fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
