//! Which object comes next.
//!
//! An object is prepared when all that it requires is done, and runs when all that its manifest has declared
//! is done too. Objects are visited in the order of their creation, again and again until nothing changes.

use std::{collections::HashSet, future::Future, num::NonZeroUsize, sync::Arc};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    dependency::{self, Graph, Needs},
    error::ConfigError,
    object::ObjectName,
};
use crate::progress::{Step, Unit};

/// What the scheduler puts in order: the engine, or a model of it in tests.
#[async_trait]
pub(super) trait Worker: Send + Sync + 'static {
    /// How many objects at the same time; `None` is one after the other.
    fn jobs(&self) -> Option<NonZeroUsize>;

    /// All objects so far, in the order of their creation.
    fn objects(&self) -> Result<Vec<ObjectName>, ConfigError>;

    /// What an object waits for, as far as it is known.
    fn needs(&self, object: &ObjectName) -> Needs;

    /// True if no other object of the same type may run at the same time.
    fn is_nonparallel(&self, object: &ObjectName) -> bool;

    /// Explores and runs the manifest, which may create objects.
    async fn prepare(&self, object: &ObjectName) -> Result<(), ConfigError>;

    /// Generates and runs code. True if there was any.
    async fn run(&self, object: &ObjectName) -> Result<bool, ConfigError>;
}

/// The objects of a run and how far they are.
#[derive(Debug)]
pub(super) struct Scheduler<W> {
    worker: Arc<W>,
    prepared: HashSet<ObjectName>,
    done: HashSet<ObjectName>,
    changed: Vec<ObjectName>,
}

impl<W: Worker> Scheduler<W> {
    pub(super) fn new(worker: Arc<W>) -> Self {
        Self { worker, prepared: HashSet::new(), done: HashSet::new(), changed: Vec::new() }
    }

    /// Works until all objects are done. Returns how many there were and which had code.
    pub(super) async fn run(mut self, step: &Step) -> Result<(usize, Vec<ObjectName>), ConfigError> {
        loop {
            let objects = self.worker.objects()?;
            let graph = self.graph(&objects);
            if let Some(cycle) = dependency::find_cycle(&graph) {
                return Err(ConfigError::Cycle(cycle));
            }
            let total = objects.len() as u64;
            let moved = match self.worker.jobs() {
                None => self.visit_one_by_one(&objects, step).await?,
                Some(jobs) => self.visit_wave(&graph, jobs, step).await?,
            };
            step.advance(self.done.len() as u64, Some(total), Unit::Objects);
            if !moved {
                break;
            }
        }
        let objects = self.worker.objects()?;
        let open = self.graph(&objects);
        if open.is_empty() {
            return Ok((objects.len(), self.changed));
        }
        Err(ConfigError::Unresolved(dependency::unresolved_text(&open, |name| self.done.contains(name))))
    }

    async fn visit_one_by_one(&mut self, objects: &[ObjectName], step: &Step) -> Result<bool, ConfigError> {
        let mut moved = false;
        for object in objects {
            if self.done.contains(object) || !self.all_done(&self.worker.needs(object).requires) {
                continue;
            }
            if !self.prepared.contains(object) {
                step.doing(object.to_string());
                self.worker.prepare(object).await?;
                self.prepared.insert(object.clone());
                moved = true;
            }
            if self.all_done(&self.worker.needs(object).autorequires) {
                step.doing(object.to_string());
                let changed = self.worker.run(object).await?;
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
        let worker = Arc::clone(&self.worker);
        concurrently(Some(jobs), to_prepare.clone(), move |object| {
            let worker = Arc::clone(&worker);
            async move { worker.prepare(&object).await }
        })
        .await?;
        let mut moved = !to_prepare.is_empty();
        self.prepared.extend(to_prepare);

        let objects = self.worker.objects()?;
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
            let worker = Arc::clone(&self.worker);
            let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
            concurrently(Some(jobs), chunk, move |object| {
                let (worker, sender) = (Arc::clone(&worker), sender.clone());
                async move {
                    let changed = worker.run(&object).await?;
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
                !self.worker.is_nonparallel(object) || alone.insert(object.type_name().to_owned())
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

    fn graph(&self, objects: &[ObjectName]) -> Graph {
        objects
            .iter()
            .filter(|o| !self.done.contains(*o))
            .map(|o| (o.clone(), self.worker.needs(o)))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use proptest::prelude::*;
    use std::{collections::HashMap, ffi::OsStr, sync::Mutex};

    /// One object of a model: what it requires, what its manifest creates, whether it is an object from the start.
    #[derive(Clone, Debug)]
    struct Node {
        requires: Vec<usize>,
        children: Vec<usize>,
        initial: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Prepared(usize),
        RunBegins(usize),
        RunEnds(usize),
    }

    struct Model {
        nodes: Vec<Node>,
        jobs: Option<NonZeroUsize>,
        created: Mutex<Vec<usize>>,
        autorequires: Mutex<HashMap<usize, Vec<usize>>>,
        events: Mutex<Vec<Event>>,
    }

    fn name(i: usize) -> ObjectName {
        ObjectName::parse(OsStr::new(&format!("__{}/{i}", if i.is_multiple_of(3) { "alone" } else { "n" })))
    }

    fn number(object: &ObjectName) -> usize {
        object.id().to_str().unwrap().parse().unwrap()
    }

    #[async_trait]
    impl Worker for Model {
        fn jobs(&self) -> Option<NonZeroUsize> {
            self.jobs
        }

        fn objects(&self) -> Result<Vec<ObjectName>, ConfigError> {
            Ok(self.created.lock().unwrap().iter().map(|i| name(*i)).collect())
        }

        fn needs(&self, object: &ObjectName) -> Needs {
            let i = number(object);
            let names = |all: &[usize]| all.iter().map(|i| name(*i)).collect();
            Needs {
                requires: names(&self.nodes[i].requires),
                autorequires: names(self.autorequires.lock().unwrap().get(&i).map_or(&[], Vec::as_slice)),
            }
        }

        fn is_nonparallel(&self, object: &ObjectName) -> bool {
            object.type_name() == "__alone"
        }

        async fn prepare(&self, object: &ObjectName) -> Result<(), ConfigError> {
            let i = number(object);
            tokio::task::yield_now().await;
            for child in &self.nodes[i].children {
                if !self.nodes[*child].requires.contains(&i) {
                    self.autorequires.lock().unwrap().entry(i).or_default().push(*child);
                }
                let mut created = self.created.lock().unwrap();
                if !created.contains(child) {
                    created.push(*child);
                }
            }
            self.events.lock().unwrap().push(Event::Prepared(i));
            Ok(())
        }

        async fn run(&self, object: &ObjectName) -> Result<bool, ConfigError> {
            let i = number(object);
            self.events.lock().unwrap().push(Event::RunBegins(i));
            tokio::task::yield_now().await;
            self.events.lock().unwrap().push(Event::RunEnds(i));
            Ok(i.is_multiple_of(2))
        }
    }

    /// Which objects can be done at all: the least set that is closed under the two rules.
    fn reachable(nodes: &[Node]) -> (HashSet<usize>, HashSet<usize>) {
        let mut exists: HashSet<usize> = (0..nodes.len()).filter(|i| nodes[*i].initial).collect();
        let (mut prepared, mut done) = (HashSet::new(), HashSet::new());
        loop {
            let before = (prepared.len(), done.len());
            for i in 0..nodes.len() {
                if !exists.contains(&i) || !nodes[i].requires.iter().all(|r| done.contains(r)) {
                    continue;
                }
                prepared.insert(i);
                exists.extend(&nodes[i].children);
                let waits_for = |c: &&usize| !nodes[**c].requires.contains(&i);
                if nodes[i].children.iter().filter(waits_for).all(|c| done.contains(c)) {
                    done.insert(i);
                }
            }
            if before == (prepared.len(), done.len()) {
                return (exists, done);
            }
        }
    }

    fn nodes() -> impl Strategy<Value = Vec<Node>> {
        (1usize..9).prop_flat_map(|n| {
            let few = || prop::collection::vec(0..n, 0..3);
            prop::collection::vec((few(), few(), any::<bool>()), n).prop_map(|all| {
                let node = |(requires, children, initial)| Node { requires, children, initial };
                all.into_iter().map(node).collect()
            })
        })
    }

    proptest! {
        /// Whatever is created by whom: everything that can be done is done exactly once and in time, or the run
        /// fails; with any number of jobs.
        #[test]
        fn order_is_that_of_the_rules(nodes in nodes(), jobs in 0usize..4) {
            let model = Arc::new(Model {
                created: Mutex::new((0..nodes.len()).filter(|i| nodes[*i].initial).collect()),
                nodes: nodes.clone(),
                jobs: NonZeroUsize::new(jobs),
                autorequires: Mutex::default(),
                events: Mutex::default(),
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let step = Progress::silent().step("test");
            let result = runtime.block_on(Scheduler::new(Arc::clone(&model)).run(&step));
            let events = model.events.lock().unwrap().clone();

            let (exists, can_be_done) = reachable(&nodes);
            let ended: Vec<usize> = events.iter().filter_map(|e| match e { Event::RunEnds(i) => Some(*i), _ => None }).collect();
            let ended_set: HashSet<usize> = ended.iter().copied().collect();
            prop_assert_eq!(ended.len(), ended_set.len(), "an object ran twice");
            match &result {
                Ok((count, changed)) => {
                    prop_assert_eq!(*count, exists.len());
                    prop_assert_eq!(&ended_set, &exists);
                    prop_assert_eq!(&can_be_done, &exists);
                    prop_assert_eq!(changed.len(), ended.iter().filter(|i| *i % 2 == 0).count());
                }
                Err(ConfigError::Unresolved(_)) => prop_assert_eq!(&ended_set, &can_be_done),
                // It is found before anything else runs, so less may be done than could be.
                Err(ConfigError::Cycle(_)) => prop_assert!(ended_set.is_subset(&can_be_done)),
                Err(other) => prop_assert!(false, "{}", other),
            }
            prop_assert!(result.is_err() || can_be_done == exists);

            let mut finished: HashSet<usize> = HashSet::new();
            let mut running: HashSet<usize> = HashSet::new();
            for event in events {
                match event {
                    Event::Prepared(i) => prop_assert!(nodes[i].requires.iter().all(|r| finished.contains(r))),
                    Event::RunBegins(i) => {
                        let waits = nodes[i].children.iter().filter(|c| !nodes[**c].requires.contains(&i));
                        prop_assert!(waits.clone().all(|c| finished.contains(c)));
                        prop_assert!(running.len() < jobs.max(1));
                        prop_assert!(i % 3 != 0 || running.iter().all(|r| r % 3 != 0), "two that must be alone");
                        running.insert(i);
                    }
                    Event::RunEnds(i) => {
                        running.remove(&i);
                        finished.insert(i);
                    }
                }
            }
        }
    }
}
