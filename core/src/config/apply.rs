//! The two things that happen to an object: it is prepared, then it runs.

use std::{fs, os::unix::ffi::OsStrExt};

use super::{
    code::Side,
    declare::{object::ObjectName, parameters},
    engine::Engine,
    entity::Entity,
    error::{ConfigError, wrap},
    here::forked::Forks,
    log::Level,
    profile::SpanKind,
    request::Streams,
    target::batch::{Batch, BatchStep, Replies, contents},
};

impl Engine {
    /// Type explorers, then the type manifests, which may declare more objects.
    pub(super) async fn prepare_objects(&self, objects: &[ObjectName]) -> Result<(), ConfigError> {
        for object in objects {
            self.log(Level::Debug, &format!("Preparing {object}"));
            self.warn_of_deprecation(object)?;
        }
        self.run_type_explorers(objects).await?;
        let mut forks = Forks::new(objects.len());
        for object in objects {
            let _span = self.span(SpanKind::Object, || format!("{object}: manifest"));
            let done = self.run_type_manifest(object, &mut forks).await;
            done.map_err(|source| self.blame(object, source))?;
            self.write_state(object, "prepared")?;
        }
        forks.end().await;
        Ok(())
    }

    /// Generates the code of objects and, unless this is a dry run, runs it: what runs on the target in as few
    /// calls as possible. Returns those that had code.
    pub(super) async fn run_objects(&self, objects: &[ObjectName]) -> Result<Vec<ObjectName>, ConfigError> {
        let mut changed = Vec::new();
        let mut waiting = Vec::new();
        let mut forks = Forks::new(objects.len());
        for object in objects {
            let generating = self.span(SpanKind::Object, || format!("{object}: gencode"));
            let local = self.generate_code(object, Side::Local, &mut forks).await;
            let local = local.map_err(|e| self.blame(object, e))?;
            let remote = self.generate_code(object, Side::Remote, &mut forks).await;
            let remote = remote.map_err(|e| self.blame(object, e))?;
            drop(generating);
            if local || remote {
                self.log(Level::Info, &format!("Processing {object}"));
                self.write_diff(object).await?;
                changed.push(object.clone());
            }
            if local && !self.run.dry_run {
                // What was generated before runs before.
                self.run_code_remote(&mut waiting).await?;
                self.run_code_local(object).await.map_err(|source| self.blame(object, source))?;
            }
            if !remote || self.run.dry_run {
                self.write_state(object, "done")?;
            } else if self.stage.type_of(object).disconnects() {
                // Nothing else must be on its way when it ends the connection.
                self.run_code_remote(&mut waiting).await?;
                self.run_code_remote(&mut vec![object]).await?;
            } else {
                waiting.push(object);
            }
        }
        forks.end().await;
        self.run_code_remote(&mut waiting).await?;
        Ok(changed)
    }

    async fn run_code_local(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let _span = self.span(SpanKind::Object, || format!("{object}: code-local"));
        let dir = self.stage.object_dir(object);
        let name = Side::Local.code();
        // Generated code knows its object, but neither its name nor its type, like the original's.
        let mut variables = self.object_variables(object);
        variables.retain(|(key, _)| *key != "__object_name" && *key != "__type");
        variables.extend(self.log_server_variables());
        let stdout = self.output(&dir, "stdout", name)?;
        let stderr = self.output(&dir, "stderr", name)?;
        self.run_script(&dir.join(name), variables, stdout, stderr).await
    }

    /// Sends and runs the code of `objects`, one after the other, and empties the list.
    async fn run_code_remote(&self, objects: &mut Vec<&ObjectName>) -> Result<(), ConfigError> {
        let objects = std::mem::take(objects);
        let name = Side::Remote.code();
        let mut batch = Batch::default();
        let mut steps = Vec::new();
        for object in &objects {
            let dir = self.stage.remote_object_dir(object);
            let code = contents(&self.stage.object_dir(object), &[name.into()], &dir)?;
            steps.push(BatchStep {
                script: dir.join(name),
                variables: self.code_remote_variables(object),
                is_forked: code.iter().all(|(_, text)| self.is_forked(text)),
            });
            batch.files.extend(code);
            batch.dirs.push(dir);
        }
        if objects.is_empty() {
            return Ok(());
        }
        // Output that is to be seen at once cannot wait until it is taken apart.
        let alone = !self.run.connector.takes_scripts_on_stdin()
            || matches!(self.run.streams, Streams::Inherit | Streams::To { .. });
        if !alone {
            batch.steps.clone_from(&steps);
        }
        let mut replies = self.run_batch(&batch).await.map_err(|source| match objects.as_slice() {
            [object] => self.blame(object, source),
            _ => source,
        })?;
        for (object, step) in objects.into_iter().zip(&steps) {
            let result = if alone {
                self.run_code_alone(object, step).await
            } else {
                self.take_code(object, step, &mut replies)
            };
            result.map_err(|source| self.blame(object, source))?;
            self.write_state(object, "done")?;
        }
        Ok(())
    }

    async fn run_code_alone(&self, object: &ObjectName, step: &BatchStep) -> Result<(), ConfigError> {
        let dir = self.stage.object_dir(object);
        let name = Side::Remote.code();
        let stdout = self.output(&dir, "stdout", name)?;
        let stderr = self.output(&dir, "stderr", name)?;
        self.remote_script(&step.script, &step.variables, stdout, stderr).await
    }

    fn take_code(
        &self,
        object: &ObjectName,
        step: &BatchStep,
        replies: &mut Replies,
    ) -> Result<(), ConfigError> {
        let dir = self.stage.object_dir(object);
        let name = Side::Remote.code();
        let mut stdout = self.sink(&dir.join("stdout").join(name))?;
        let mut stderr = self.sink(&dir.join("stderr").join(name))?;
        match replies.next(&mut stdout, &mut stderr)? {
            status if status.success() => Ok(()),
            status => Err(self.failed(step, status)),
        }
    }

    fn warn_of_deprecation(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let kind = self.stage.type_of(object);
        let name = kind.name.to_string_lossy();
        if let Some(text) = kind.deprecated() {
            let text = String::from_utf8_lossy(&text);
            let reason = if text.is_empty() { ".".to_owned() } else { format!(": {}", text.trim_end()) };
            self.log(Level::Warning, &format!("Type {name} is deprecated{reason}"));
        }
        if !kind.dir.join("parameter/deprecated").is_dir() {
            return Ok(());
        }
        let dir = self.stage.object_dir(object).join("parameter");
        let given = parameters::read(&dir).map_err(ConfigError::io(format!("reading {}", dir.display())))?;
        for parameter in given.keys() {
            if let Some(text) = kind.parameter_deprecated(parameter) {
                let text = String::from_utf8_lossy(&text);
                let reason = if text.is_empty() { ".".to_owned() } else { format!(": {text}") };
                let parameter = String::from_utf8_lossy(parameter.as_bytes());
                self.log(
                    Level::Warning,
                    &format!("{parameter} parameter of type {name} is deprecated{reason}"),
                );
            }
        }
        Ok(())
    }

    fn write_state(&self, object: &ObjectName, state: &str) -> Result<(), ConfigError> {
        let path = self.stage.object_dir(object).join("state");
        fs::write(&path, format!("{state}\n")).map_err(ConfigError::io(format!("writing {}", path.display())))
    }

    /// Adds the object to an error that does not say yet what it is about.
    fn blame(&self, object: &ObjectName, source: ConfigError) -> ConfigError {
        match source {
            source @ ConfigError::Entity { .. } => source,
            source => wrap(Entity::object(object, &self.stage), source),
        }
    }
}
