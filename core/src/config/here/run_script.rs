//! Running scripts on this machine: manifests, gencode, code-local.

use std::{ffi::OsString, fs, io, path::Path};

use nix::unistd::{AccessFlags, access};

use crate::{
    config::{
        engine::Engine, error::ConfigError, log::Level, profile::SpanKind, request::Streams,
        stage::open_append, variables::Variables,
    },
    connector::{Input, Output, Process, ProcessError, shown},
    host::start,
};

impl Engine {
    /// Runs `script` with `variables`. An executable file is run by itself, so that its first line decides;
    /// any other one by the local shell with `-e`.
    pub(in crate::config) async fn run_script(
        &self,
        script: &Path,
        variables: Variables,
        stdout: Output,
        stderr: Output,
    ) -> Result<(), ConfigError> {
        let is_executed = access(script, AccessFlags::X_OK).is_ok();
        let argv: Vec<OsString> = if is_executed {
            let real = fs::canonicalize(script)
                .map_err(ConfigError::io(format!("resolving {}", script.display())))?;
            vec![real.into()]
        } else {
            vec![self.run.local_shell.clone().into(), "-e".into(), script.into()]
        };
        if !is_executed && let Some(why) = start::barred(script) {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
            return Err(ProcessError::Start { argv: vec![script.into()], source }.into());
        }
        let command = shown(&argv);
        self.log(Level::Trace, &format!("Running {command}"));
        let _span = self.span(SpanKind::Program, || command.clone());
        let process = Process {
            argv,
            env: self.local_environment(variables),
            stdin: self.input(),
            stdout,
            stderr,
            cancel: self.run.cancel.clone(),
        };
        let done = process.run().await?;
        if done.status.success() {
            return Ok(());
        }
        let why = if is_executed { start::executed(script) } else { start::run_by_shell(script) };
        Err(ConfigError::Failed { command, status: done.status, why })
    }

    /// What scripts read.
    pub(in crate::config) fn input(&self) -> Input {
        if self.run.pass_stdin { Input::Inherit } else { Input::Null }
    }

    /// Where one stream goes: to the end of `dir/<stream>/<name>`, unless the run wants it elsewhere.
    pub(in crate::config) fn output(
        &self,
        dir: &Path,
        stream: &str,
        name: &str,
    ) -> Result<Output, ConfigError> {
        Ok(match &self.run.streams {
            Streams::Save => {
                let file = open_append(&dir.join(stream).join(name))?;
                Output::Limited(file, self.run.output_limit.quota())
            }
            Streams::Inherit => Output::Inherit,
            Streams::To { stdout: file, .. } if stream == "stdout" => Output::File(another(file)?),
            Streams::To { stderr: file, .. } => Output::File(another(file)?),
            Streams::Discard => Output::Null,
        })
    }
}

/// Another handle of the file that takes all output.
pub(in crate::config) fn another(file: &fs::File) -> Result<fs::File, ConfigError> {
    file.try_clone().map_err(ConfigError::io("opening the place for the output of scripts"))
}
