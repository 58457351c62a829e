//! The objects of one host's run, for the scheduler.

use std::{fs, io, num::NonZeroUsize};

use async_trait::async_trait;

use super::{
    dependency::Needs,
    engine::Engine,
    error::ConfigError,
    log::Level,
    object::{ObjectName, names_in},
    relations,
    run::Mode,
    scheduler::Worker,
    types::lines_of,
};

#[async_trait]
impl Worker for Engine {
    fn jobs(&self) -> Option<NonZeroUsize> {
        self.run.jobs
    }

    /// Those of this mode. The others are created too, but nothing happens to them.
    fn objects(&self) -> Result<Vec<ObjectName>, ConfigError> {
        let path = self.stage.out.join(relations::CREATED);
        let list = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            list => list.map_err(ConfigError::io(format!("reading {}", path.display())))?,
        };
        let install = self.run.mode == Mode::Install;
        let mut objects = Vec::new();
        for name in names_in(&list) {
            if self.stage.type_of(&name).is_install() == install {
                objects.push(name);
            } else {
                self.log(Level::Trace, &format!("Skipping {name}: its type is for the other mode"));
            }
        }
        Ok(objects)
    }

    fn needs(&self, object: &ObjectName) -> Needs {
        let dir = self.stage.object_dir(object);
        let names = |file| lines_of(&dir.join(file)).iter().map(|n| ObjectName::parse(n)).collect();
        Needs { requires: names("require"), autorequires: names("autorequire") }
    }

    fn is_nonparallel(&self, object: &ObjectName) -> bool {
        self.stage.type_of(object).is_nonparallel()
    }

    async fn prepare(&self, object: &ObjectName) -> Result<(), ConfigError> {
        self.prepare_object(object).await
    }

    async fn run(&self, object: &ObjectName) -> Result<bool, ConfigError> {
        self.run_object(object).await
    }
}
