//! The objects of one host's run, for the scheduler.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    num::NonZeroUsize,
};

use async_trait::async_trait;

use super::{
    dependency::Needs,
    scheduler::{self, Workload},
};
use crate::config::{
    declare::{
        object::{ObjectName, names_in},
        relations,
        types::lines_of,
    },
    engine::Engine,
    error::ConfigError,
    log::Level,
    profile::SpanKind,
    request::Mode,
};

#[async_trait]
impl Workload for Engine {
    fn jobs(&self) -> Option<NonZeroUsize> {
        self.run.jobs
    }

    /// Those of this mode. The others are created too, but nothing happens to them.
    fn called_since(&self, position: &mut u64) -> Result<Vec<ObjectName>, ConfigError> {
        let path = self.stage.out.join(relations::CALLS);
        let read = |from: u64| -> io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut list = Vec::new();
            file.read_to_end(&mut list)?;
            Ok(list)
        };
        let mut list = match read(*position) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            list => list.map_err(ConfigError::io(format!("reading {}", path.display())))?,
        };
        // A type call in the background may be writing its name just now.
        list.truncate(list.iter().rposition(|&b| b == 0).map_or(0, |at| at + 1));
        *position += list.len() as u64;
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

    async fn prepare(&self, objects: &[ObjectName]) -> Result<(), ConfigError> {
        let _wave = self.span(SpanKind::Wave, || scheduler::doing("preparing", objects));
        self.prepare_objects(objects).await
    }

    async fn run(&self, objects: &[ObjectName]) -> Result<Vec<ObjectName>, ConfigError> {
        let _wave = self.span(SpanKind::Wave, || scheduler::doing("running", objects));
        self.run_objects(objects).await
    }
}
