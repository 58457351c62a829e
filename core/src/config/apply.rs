//! The two things that happen to an object: it is prepared, then it runs.

use std::{fs, os::unix::ffi::OsStrExt};

use super::{
    engine::Engine, error::ConfigError, explorers::wrap, gencode::Place, log::Level, object::ObjectName,
    parameters, report::Entity,
};

impl Engine {
    /// Type explorers, then the type manifest, which may declare more objects.
    pub(super) async fn prepare_object(&self, object: &ObjectName) -> Result<(), ConfigError> {
        self.log(Level::Debug, &format!("Preparing {object}"));
        self.warn_of_deprecation(object)?;
        let prepare = async {
            self.run_type_explorers(object).await?;
            self.run_type_manifest(object).await
        };
        prepare.await.map_err(|source| self.blame(object, source))?;
        self.write_state(object, "prepared")
    }

    /// Generates the code and, unless this is a dry run, runs it. True if there was code.
    pub(super) async fn run_object(&self, object: &ObjectName) -> Result<bool, ConfigError> {
        let changed = self.generate_and_run(object).await.map_err(|source| self.blame(object, source))?;
        self.write_state(object, "done")?;
        Ok(changed)
    }

    async fn generate_and_run(&self, object: &ObjectName) -> Result<bool, ConfigError> {
        let local = self.generate_code(object, Place::Local).await?;
        let remote = self.generate_code(object, Place::Remote).await?;
        if local || remote {
            self.log(Level::Info, &format!("Processing {object}"));
            self.write_diff(object).await?;
        }
        if self.run.dry_run {
            return Ok(local || remote);
        }
        if local {
            self.run_code_local(object).await?;
        }
        if remote {
            self.run_code_remote(object).await?;
        }
        Ok(local || remote)
    }

    async fn run_code_local(&self, object: &ObjectName) -> Result<(), ConfigError> {
        let dir = self.stage.object_dir(object);
        let name = Place::Local.code();
        // Generated code knows its object, but neither its name nor its type, like the original's.
        let mut variables = self.object_variables(object);
        variables.retain(|(key, _)| *key != "__object_name" && *key != "__type");
        variables.extend(self.log_server_variables());
        let stdout = self.output(&dir, "stdout", name)?;
        let stderr = self.output(&dir, "stderr", name)?;
        self.run_script(&dir.join(name), variables, stdout, stderr).await
    }

    async fn run_code_remote(&self, object: &ObjectName) -> Result<(), ConfigError> {
        self.send_code(object).await?;
        let dir = self.stage.object_dir(object);
        let name = Place::Remote.code();
        let stdout = self.output(&dir, "stdout", name)?;
        let stderr = self.output(&dir, "stderr", name)?;
        let script = self.stage.remote_object_dir(object).join(name);
        self.remote_script(&script, &self.code_remote_variables(object), stdout, stderr).await
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
