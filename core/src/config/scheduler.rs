//! Which object comes next.
//!
//! An object is prepared when all that it requires is done, and runs when all that its manifest has declared
//! is done too. Objects are visited in the order of their creation, again and again until nothing changes.

use std::{collections::HashSet, fs, future::Future, io, num::NonZeroUsize, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    dependency::{self, Graph, Needs},
    engine::Engine,
    error::ConfigError,
    log::Level,
    object::{ObjectName, names_in},
    relations,
    run::Mode,
    types::lines_of,
};
use crate::progress::{Step, Unit};

/// The objects of a run and how far they are.
#[derive(Debug)]
pub(super) struct Scheduler {
    engine: Arc<Engine>,
    prepared: HashSet<ObjectName>,
    done: HashSet<ObjectName>,
    changed: Vec<ObjectName>,
    skipped: HashSet<ObjectName>,
}

impl Scheduler {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            prepared: HashSet::new(),
            done: HashSet::new(),
            changed: Vec::new(),
            skipped: HashSet::new(),
        }
    }

    /// Works until all objects are done. Returns how many there were and which had code.
    pub(super) async fn run(mut self, step: &Step) -> Result<(usize, Vec<ObjectName>), ConfigError> {
        loop {
            let objects = self.objects()?;
            let graph = self.graph(&objects);
            if let Some(cycle) = dependency::find_cycle(&graph) {
                return Err(ConfigError::Cycle(cycle));
            }
            let total = objects.len() as u64;
            let moved = match self.engine.run.jobs {
                None => self.visit_one_by_one(&objects, step).await?,
                Some(jobs) => self.visit_wave(&graph, jobs, step).await?,
            };
            step.advance(self.done.len() as u64, Some(total), Unit::Objects);
            if !moved {
                break;
            }
        }
        let objects = self.objects()?;
        let open = self.graph(&objects);
        if open.is_empty() {
            return Ok((objects.len(), self.changed));
        }
        Err(ConfigError::Unresolved(dependency::unresolved_text(&open, |name| self.done.contains(name))))
    }

    async fn visit_one_by_one(&mut self, objects: &[ObjectName], step: &Step) -> Result<bool, ConfigError> {
        let mut moved = false;
        for object in objects {
            if self.done.contains(object) || !self.all_done(&self.needs(object).requires) {
                continue;
            }
            if !self.prepared.contains(object) {
                step.doing(object.to_string());
                self.engine.prepare_object(object).await?;
                self.prepared.insert(object.clone());
                moved = true;
            }
            if self.all_done(&self.needs(object).autorequires) {
                step.doing(object.to_string());
                let changed = self.engine.run_object(object).await?;
                self.finish(object.clone(), changed);
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Prepares all objects that wait for nothing, then runs all that may run.
    async fn visit_wave(
        &mut self,
        graph: &Graph,
        jobs: NonZeroUsize,
        step: &Step,
    ) -> Result<bool, ConfigError> {
        let to_prepare: Vec<ObjectName> = graph
            .iter()
            .filter(|(name, needs)| !self.prepared.contains(name) && self.all_done(&needs.requires))
            .map(|(name, _)| name.clone())
            .collect();
        step.doing(format!("preparing {} objects", to_prepare.len()));
        let engine = Arc::clone(&self.engine);
        concurrently(Some(jobs), to_prepare.clone(), move |object| {
            let engine = Arc::clone(&engine);
            async move { engine.prepare_object(&object).await }
        })
        .await?;
        let mut moved = !to_prepare.is_empty();
        self.prepared.extend(to_prepare);

        let objects = self.objects()?;
        let ready: Vec<ObjectName> = self
            .graph(&objects)
            .into_iter()
            .filter(|(name, needs)| {
                self.prepared.contains(name)
                    && self.all_done(&needs.requires)
                    && self.all_done(&needs.autorequires)
            })
            .map(|(name, _)| name)
            .collect();
        for chunk in self.chunks(ready) {
            step.doing(format!("running {} objects", chunk.len()));
            let engine = Arc::clone(&self.engine);
            let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
            concurrently(Some(jobs), chunk, move |object| {
                let (engine, sender) = (Arc::clone(&engine), sender.clone());
                async move {
                    let changed = engine.run_object(&object).await?;
                    // The receiver lives until all are done.
                    let _ = sender.send((object, changed));
                    Ok(())
                }
            })
            .await?;
            while let Ok((object, changed)) = results.try_recv() {
                self.finish(object, changed);
                moved = true;
            }
        }
        Ok(moved)
    }

    /// Packs objects so that no two of a type that is not parallel are together.
    fn chunks(&self, mut objects: Vec<ObjectName>) -> Vec<Vec<ObjectName>> {
        let mut chunks = Vec::new();
        while !objects.is_empty() {
            let mut alone = HashSet::new();
            let (chunk, rest) = objects.into_iter().partition(|object: &ObjectName| {
                !self.engine.stage.type_of(object).is_nonparallel()
                    || alone.insert(object.type_name().to_owned())
            });
            chunks.push(chunk);
            objects = rest;
        }
        chunks
    }

    fn finish(&mut self, object: ObjectName, changed: bool) {
        if changed {
            self.changed.push(object.clone());
        }
        self.done.insert(object);
    }

    /// The objects of this mode in the order of their creation.
    fn objects(&mut self) -> Result<Vec<ObjectName>, ConfigError> {
        let path = self.engine.stage.out.join(relations::CREATED);
        let list = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            list => list.map_err(ConfigError::io(format!("reading {}", path.display())))?,
        };
        let install = self.engine.run.mode == Mode::Install;
        let mut objects = Vec::new();
        for name in names_in(&list) {
            if self.engine.stage.type_of(&name).is_install() == install {
                objects.push(name);
            } else if self.skipped.insert(name.clone()) {
                self.engine.log(Level::Debug, &format!("Skipping {name}: its type is for the other mode"));
            }
        }
        Ok(objects)
    }

    fn graph(&self, objects: &[ObjectName]) -> Graph {
        objects.iter().filter(|o| !self.done.contains(*o)).map(|o| (o.clone(), self.needs(o))).collect()
    }

    fn needs(&self, object: &ObjectName) -> Needs {
        let dir = self.engine.stage.object_dir(object);
        let names = |file| lines_of(&dir.join(file)).iter().map(|n| ObjectName::parse(n)).collect();
        Needs { requires: names("require"), autorequires: names("autorequire") }
    }

    fn all_done(&self, names: &[ObjectName]) -> bool {
        names.iter().all(|name| self.done.contains(name))
    }
}

/// Runs `work` on all items, `jobs` at a time (one if `None`). After a failure the others that were begun come
/// to their end; one at a time, nothing more is begun.
///
/// # Errors
///
/// That of the first item, in the order of `items`, that failed.
pub(super) async fn concurrently<T, F, W>(
    jobs: Option<NonZeroUsize>,
    items: Vec<T>,
    work: W,
) -> Result<(), ConfigError>
where
    W: Fn(T) -> F,
    F: Future<Output = Result<(), ConfigError>> + Send + 'static,
{
    let Some(jobs) = jobs else {
        for item in items {
            work(item).await?;
        }
        return Ok(());
    };
    let permits = Arc::new(Semaphore::new(jobs.get()));
    let mut tasks = JoinSet::new();
    for (i, item) in items.into_iter().enumerate() {
        let future = work(item);
        let permits = Arc::clone(&permits);
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            (i, future.await)
        });
    }
    let mut first: Option<(usize, ConfigError)> = None;
    while let Some(joined) = tasks.join_next().await {
        let (i, result) = joined.map_err(ConfigError::Task)?;
        if let Err(error) = result
            && first.as_ref().is_none_or(|(at, _)| i < *at)
        {
            first = Some((i, error));
        }
    }
    first.map_or(Ok(()), |(_, error)| Err(error))
}
