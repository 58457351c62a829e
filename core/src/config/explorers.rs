//! Explorers: scripts that look at the target, and whose output scripts on this machine read.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use super::{
    engine::Engine, environment::Variables, error::ConfigError, log::Level, object::ObjectName,
    report::Entity, scheduler::concurrently, types::visible_entries,
};
use crate::connector::{CopyTo, Output};

impl Engine {
    /// Sends and runs all global explorers; `jobs` at a time.
    pub(super) async fn run_global_explorers(self: Arc<Self>) -> Result<(), ConfigError> {
        let dir = self.stage.conf("explorer");
        let names = visible_entries(&dir).map_err(ConfigError::io(format!("reading {}", dir.display())))?;
        self.send_dir(&dir, &names, &self.stage.remote_explorers(), true).await?;
        concurrently(self.run.jobs, names, move |name| {
            let engine = Arc::clone(&self);
            async move { engine.run_global_explorer(&name).await }
        })
        .await
    }

    async fn run_global_explorer(&self, name: &OsStr) -> Result<(), ConfigError> {
        self.log(Level::Trace, &format!("Running global explorer {}", name.to_string_lossy()));
        let from = self.remote_stderr_length();
        let script = self.stage.remote_explorers().join(name);
        let result = self.stage.out.join("explorer").join(name);
        self.explore(&script, &self.explorer_variables(), &result).await.map(drop).map_err(|source| {
            let entity = Entity::global_explorer(&name.to_string_lossy(), &self.stage, from);
            wrap(entity, source)
        })
    }

    /// Sends the parameters of an object, then sends and runs the explorers of its type.
    pub(super) async fn run_type_explorers(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let names = self.stage.type_of(object).explorers();
        self.send_type_explorers(object.type_name(), &names).await?;
        self.send_parameters(object).await?;
        if names.is_empty() {
            return Ok(());
        }
        let results = self.stage.object_dir(object).join("explorer");
        fs::create_dir_all(&results).map_err(ConfigError::io(format!("making {}", results.display())))?;
        let variables = self.type_explorer_variables(object);
        for name in names {
            let from = self.remote_stderr_length();
            let script = self.stage.remote_type_explorers(object.type_name()).join(&name);
            let result = results.join(&name);
            self.explore(&script, &variables, &result)
                .await
                .and_then(|file| {
                    end_with_newline(file)
                        .map(drop)
                        .map_err(ConfigError::io(format!("writing {}", result.display())))
                })
                .map_err(|source| {
                    let entity = Entity::type_explorer(&name.to_string_lossy(), object, &self.stage, from);
                    wrap(entity, source)
                })?;
        }
        Ok(())
    }

    /// Sends the explorers of a type once per run.
    async fn send_type_explorers(&self, type_name: &OsStr, names: &[OsString]) -> Result<(), ConfigError> {
        if names.is_empty() {
            return Ok(());
        }
        // Held while they travel: objects of the same type may be prepared at the same time.
        let mut sent = self.sent_types.lock().await;
        if sent.contains(type_name) {
            return Ok(());
        }
        let source = self.stage.conf("type").join(type_name).join("explorer");
        self.send_dir(&source, names, &self.stage.remote_type_explorers(type_name), true).await?;
        sent.insert(type_name.to_owned());
        Ok(())
    }

    async fn send_parameters(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let source = self.stage.object_dir(object).join("parameter");
        let names = match visible_entries(&source) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(ConfigError::io(format!("reading {}", source.display()))(e)),
        };
        if names.is_empty() {
            return Ok(());
        }
        self.send_dir(&source, &names, &self.stage.remote_object_dir(object).join("parameter"), false).await
    }

    /// Runs one explorer, with its output in the file `result`. What a failed one has said is no result.
    async fn explore(
        &self,
        script: &Path,
        variables: &Variables,
        result: &Path,
    ) -> Result<File, ConfigError> {
        let writing = || format!("writing {}", result.display());
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(result);
        let file = file.map_err(ConfigError::io(writing()))?;
        let stdout = Output::File(file.try_clone().map_err(ConfigError::io(writing()))?);
        let stderr = self.output(&self.stage.out, "stderr", "remote")?;
        let done = self.remote_script(script, variables, stdout, stderr).await;
        if done.is_err() {
            // The failure matters more than a file that stays.
            let _ = fs::remove_file(result);
        }
        done.map(|()| file)
    }

    /// Sends generated code.
    pub(super) async fn send_code(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let target = self.stage.remote_object_dir(object);
        self.remote_mkdir(&target).await?;
        let source = self.stage.object_dir(object).join("code-remote");
        self.remote_copy(vec![source], CopyTo::File(target.join("code-remote"))).await
    }

    /// Where the next words of explorers begin.
    fn remote_stderr_length(&self) -> u64 {
        fs::metadata(self.stage.out.join("stderr/remote")).map(|m| m.len()).unwrap_or(0)
    }
}

/// Adds what was worked on to an error; a wish to stop stays what it is.
pub(super) fn wrap(entity: Entity, source: ConfigError) -> ConfigError {
    if source.is_cancelled() {
        return source;
    }
    ConfigError::Entity { entity: Box::new(entity), source: Box::new(source) }
}

/// Adds a newline to a file that holds something and does not end in one. Returns its length.
pub(super) fn end_with_newline(mut file: File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(length);
    }
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"\n")?;
    Ok(length + 1)
}
