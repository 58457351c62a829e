//! Manifests: scripts on this machine that declare objects by calling types.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{forked::Forks, messages::Messages};
use crate::{
    config::{
        declare::{object::ObjectName, relations},
        engine::Engine,
        entity::Entity,
        error::{ConfigError, wrap},
        log::Level,
        request::Manifest,
    },
    trust,
};

impl Engine {
    /// Runs the manifest that declares the first objects.
    pub(in crate::config) async fn run_initial_manifest(&self) -> Result<(), ConfigError> {
        let path = self.initial_manifest()?;
        let result = self.initial_manifest_with_messages(&path).await;
        result.map_err(|source| wrap(Entity::initial_manifest(&path, &self.stage), source))
    }

    fn initial_manifest(&self) -> Result<PathBuf, ConfigError> {
        Ok(match &self.run.initial_manifest {
            Manifest::Init => self.stage.conf("manifest").join("init"),
            Manifest::Path(path) => path.clone(),
            Manifest::Bytes(bytes) => {
                let path = self.stage.out.join("initial_manifest");
                fs::write(&path, bytes).map_err(ConfigError::io(format!("writing {}", path.display())))?;
                path
            }
        })
    }

    async fn initial_manifest_with_messages(&self, path: &Path) -> Result<(), ConfigError> {
        if path.exists() && !path.is_file() {
            return Err(ConfigError::ManifestKind(path.to_owned()));
        }
        if !path.is_file() {
            let missing = match fs::read_link(path) {
                Ok(target) => format!("{} -> {}", path.display(), target.display()),
                Err(_) => path.display().to_string(),
            };
            return Err(ConfigError::ManifestMissing(missing));
        }
        if !trust::way_for_root("the manifest", path)? {
            return Err(ConfigError::ManifestMissing(path.display().to_string()));
        }
        self.log(Level::Verbose, &format!("Running initial manifest {}", path.display()));
        let messages = self.open_messages(OsStr::new("initialmanifest"))?;
        let mut variables = self.manifest_variables(path, &messages);
        // In this manifest the name stands for the results; on the target it is where the scripts are.
        variables.push(("__explorer", self.stage.out.join("explorer").into()));
        let stdout = self.output(&self.stage.out, "stdout", "init")?;
        let stderr = self.output(&self.stage.out, "stderr", "init")?;
        let result = self.run_script(path, variables, stdout, stderr).await;
        messages.collect()?;
        self.tell_missing_types(result, &self.stage.out.join("stderr/init"))
    }

    /// Runs the manifest of an object's type, if it has one.
    pub(in crate::config) async fn run_type_manifest(
        &self,
        object: &ObjectName,
        forks: &mut Forks,
    ) -> Result<(), ConfigError> {
        let kind = self.stage.type_of(object);
        let Some(path) = kind.script("manifest") else {
            let path = kind.dir.join("manifest");
            if path.symlink_metadata().is_ok() {
                let real = fs::canonicalize(&path).unwrap_or(path);
                self.log(Level::Warning, &format!("Ignoring {}: it is no regular file", real.display()));
            }
            return Ok(());
        };
        self.log(Level::Verbose, &format!("Running manifest of {object}"));
        let dir = self.stage.object_dir(object);
        let plain = self.plain(forks, &path);
        let messages = self.messages_of(forks, plain.as_ref(), &object.full())?;
        let mut variables = self.manifest_variables(&path, &messages);
        variables.extend(self.object_variables(object));
        let result = if let Some(script) = &plain {
            let [stdout, stderr] = ["stdout", "stderr"].map(|stream| dir.join(stream).join("manifest"));
            self.run_plain(forks, script, &variables, &stdout, &stderr).await
        } else {
            let stdout = self.output(&dir, "stdout", "manifest")?;
            let stderr = self.output(&dir, "stderr", "manifest")?;
            self.run_script(&path, variables, stdout, stderr).await
        };
        messages.collect()?;
        if plain.is_some() {
            forks.give_back(messages);
        }
        let result = self.tell_missing_types(result, &dir.join("stderr/manifest"));
        let context = dir.join(relations::ORDER_CONTEXT);
        match fs::remove_file(&context) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                result.and(Err(ConfigError::io(format!("removing {}", context.display()))(e)))
            }
            _ => result,
        }
    }

    /// The message files for a script.
    pub(in crate::config) fn open_messages(&self, prefix: &OsStr) -> Result<Messages, ConfigError> {
        Messages::open(self.stage.out.join("messages"), prefix, &self.run.temporary)
    }
}
