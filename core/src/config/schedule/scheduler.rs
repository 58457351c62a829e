//! Which object comes next.
//!
//! An object is prepared when all that it requires is done, and runs when all that its manifest has declared
//! is done too. Objects are visited in the order of their creation, again and again until nothing changes.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::dependency::{self, Graph, Needs};
use crate::{
    config::{declare::object::ObjectName, error::ConfigError},
    progress::{Step, Unit},
};

/// As many objects as are worked on in one call: each of them is kept in memory with its files while they travel.
const PIECE_MAX: usize = 200;

/// What the scheduler puts in order: the engine, or a model of it in tests.
#[async_trait]
pub(in crate::config) trait Workload: Send + Sync + 'static {
    /// How many pieces of work at the same time; `None` is one after the other.
    fn jobs(&self) -> Option<NonZeroUsize>;
    /// The objects of the type calls since `position`, in their order, with repetitions. Moves `position` on.
    fn called_since(&self, position: &mut u64) -> Result<Vec<ObjectName>, ConfigError>;
    /// What an object waits for, as far as it is known.
    fn needs(&self, object: &ObjectName) -> Needs;
    /// True if no other object of the same type may run at the same time.
    fn is_nonparallel(&self, object: &ObjectName) -> bool;
    /// Explores and runs the manifests of objects that do not wait for each other; this may create objects.
    async fn prepare(&self, objects: &[ObjectName]) -> Result<(), ConfigError>;
    /// Generates and runs the code of objects that do not wait for each other. Which of them had any.
    async fn run(&self, objects: &[ObjectName]) -> Result<Vec<ObjectName>, ConfigError>;
}

/// The objects of a run and how far they are.
#[derive(Debug)]
pub(in crate::config) struct Scheduler<W> {
    workload: Arc<W>,
    /// How far the list of type calls has been read.
    position: u64,
    /// Everything that was created.
    known: HashSet<ObjectName>,
    /// Unfinished objects in creation order.
    open: Vec<ObjectName>,
    /// What unfinished objects wait for.
    needs: HashMap<ObjectName, Needs>,
    prepared: HashSet<ObjectName>,
    done: HashSet<ObjectName>,
    changed: Vec<ObjectName>,
}

impl<W: Workload> Scheduler<W> {
    pub(in crate::config) fn new(workload: Arc<W>) -> Self {
        Self {
            workload,
            position: 0,
            known: HashSet::new(),
            open: Vec::new(),
            needs: HashMap::new(),
            prepared: HashSet::new(),
            done: HashSet::new(),
            changed: Vec::new(),
        }
    }

    /// Works until all objects are done. Returns how many there were and which had code.
    ///
    /// All objects that wait for nothing are a wave: they are prepared together, then run together.
    pub(in crate::config) async fn run(
        mut self,
        step: &Step,
    ) -> Result<(usize, Vec<ObjectName>), ConfigError> {
        self.read_calls(&[])?;
        loop {
            let to_prepare = self
                .choose(|this, name, needs| !this.prepared.contains(name) && this.all_done(&needs.requires));
            self.prepare(&to_prepare, step).await?;
            // Before anything else is changed on the target.
            self.read_calls(&to_prepare)?;
            let ready = self.choose(|this, name, needs| {
                this.prepared.contains(name)
                    && this.all_done(&needs.requires)
                    && this.all_done(&needs.autorequires)
            });
            self.run_ready(&ready, step).await?;
            step.advance(self.done.len() as u64, Some(self.known.len() as u64), Unit::Objects);
            if to_prepare.is_empty() && ready.is_empty() {
                break;
            }
        }
        if self.open.is_empty() {
            return Ok((self.known.len(), self.changed));
        }
        let text = dependency::unresolved_text(&self.graph(), |name| self.done.contains(name));
        Err(ConfigError::Unresolved(text))
    }

    async fn prepare(&mut self, objects: &[ObjectName], step: &Step) -> Result<(), ConfigError> {
        if objects.is_empty() {
            return Ok(());
        }
        step.doing(doing("preparing", objects));
        let workload = Arc::clone(&self.workload);
        concurrently(self.workload.jobs(), self.pieces(objects, false), move |piece| {
            let workload = Arc::clone(&workload);
            async move { workload.prepare(&piece).await }
        })
        .await?;
        self.prepared.extend(objects.iter().cloned());
        Ok(())
    }

    async fn run_ready(&mut self, objects: &[ObjectName], step: &Step) -> Result<(), ConfigError> {
        if objects.is_empty() {
            return Ok(());
        }
        step.doing(doing("running", objects));
        let workload = Arc::clone(&self.workload);
        let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
        concurrently(self.workload.jobs(), self.pieces(objects, true), move |piece| {
            let (workload, sender) = (Arc::clone(&workload), sender.clone());
            async move {
                // The receiver lives until all are done.
                let _ = sender.send(workload.run(&piece).await?);
                Ok(())
            }
        })
        .await?;
        while let Ok(changed) = results.try_recv() {
            self.changed.extend(changed);
        }
        for object in objects {
            self.needs.remove(object);
        }
        self.done.extend(objects.iter().cloned());
        self.open.retain(|object| !self.done.contains(object));
        Ok(())
    }

    /// Takes note of type calls, and of what the manifests of `prepared` have made them wait for.
    ///
    /// # Errors
    ///
    /// Objects wait for each other in a circle.
    fn read_calls(&mut self, prepared: &[ObjectName]) -> Result<(), ConfigError> {
        let called = self.workload.called_since(&mut self.position)?;
        for object in &called {
            if self.known.insert(object.clone()) {
                self.open.push(object.clone());
            }
        }
        for object in called.iter().chain(prepared).filter(|object| !self.done.contains(*object)) {
            self.needs.insert(object.clone(), self.workload.needs(object));
        }
        if called.is_empty() {
            return Ok(());
        }
        dependency::find_cycle(&self.graph()).map_or(Ok(()), |cycle| Err(ConfigError::Cycle(cycle)))
    }

    /// The unfinished objects that `wanted` chooses, in creation order.
    fn choose(&self, wanted: impl Fn(&Self, &ObjectName, &Needs) -> bool) -> Vec<ObjectName> {
        let chosen =
            |name: &&ObjectName| self.needs.get(*name).is_some_and(|needs| wanted(self, name, needs));
        self.open.iter().filter(chosen).cloned().collect()
    }

    /// Cuts a wave into what is worked on together. `alone`: types that are not parallel stay in one piece.
    fn pieces(&self, objects: &[ObjectName], alone: bool) -> Vec<Vec<ObjectName>> {
        let jobs = self.workload.jobs().map_or(1, NonZeroUsize::get);
        let size = objects.len().div_ceil(jobs).clamp(1, PIECE_MAX);
        if jobs == 1 || !alone {
            return objects.chunks(size).map(<[_]>::to_vec).collect();
        }
        let (alone, free): (Vec<_>, Vec<_>) =
            objects.iter().cloned().partition(|object| self.workload.is_nonparallel(object));
        let mut of_type: Vec<Vec<ObjectName>> = Vec::new();
        for object in alone {
            let same = |piece: &&mut Vec<ObjectName>| {
                piece.first().is_some_and(|first| first.type_name() == object.type_name())
            };
            match of_type.iter_mut().find(same) {
                Some(piece) => piece.push(object),
                None => of_type.push(vec![object]),
            }
        }
        // The long ones first.
        of_type.extend(free.chunks(size).map(<[_]>::to_vec));
        of_type
    }

    fn graph(&self) -> Graph {
        self.open.iter().filter_map(|o| Some((o.clone(), self.needs.get(o)?.clone()))).collect()
    }

    fn all_done(&self, names: &[ObjectName]) -> bool {
        names.iter().all(|name| self.done.contains(name))
    }
}

/// What the user reads while a wave is worked on.
pub(super) fn doing(verb: &str, objects: &[ObjectName]) -> String {
    match objects {
        [object] => format!("{verb} {object}"),
        objects => format!("{verb} {} objects", objects.len()),
    }
}

/// Runs `work` on all items, `jobs` at a time (one if `None`). After a failure nothing more is begun; what was begun before
/// comes to its end.
///
/// # Errors
///
/// The error of the first failed item, in the order of `items`.
pub(in crate::config) async fn concurrently<T, F, W>(
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
    let mut items = items.into_iter().enumerate();
    let mut tasks = JoinSet::new();
    let mut first: Option<(usize, ConfigError)> = None;
    // Of those, too, whose end has not been taken yet.
    let has_failed = Arc::new(AtomicBool::new(false));
    loop {
        while !has_failed.load(Ordering::Acquire)
            && tasks.len() < jobs.get()
            && let Some((i, item)) = items.next()
        {
            let (future, has_failed) = (work(item), Arc::clone(&has_failed));
            tasks.spawn(async move {
                let result = future.await;
                has_failed.fetch_or(result.is_err(), Ordering::Release);
                (i, result)
            });
        }
        let Some(joined) = tasks.join_next().await else {
            return first.map_or(Ok(()), |(_, error)| Err(error));
        };
        let (i, result) = joined.map_err(ConfigError::Task)?;
        if let Err(error) = result
            && first.as_ref().is_none_or(|(at, _)| i < *at)
        {
            first = Some((i, error));
        }
    }
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
    impl Workload for Model {
        fn jobs(&self) -> Option<NonZeroUsize> {
            self.jobs
        }

        fn called_since(&self, position: &mut u64) -> Result<Vec<ObjectName>, ConfigError> {
            let created = self.created.lock().unwrap();
            let from = usize::try_from(*position).unwrap();
            *position = created.len() as u64;
            Ok(created[from..].iter().map(|i| name(*i)).collect())
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

        async fn prepare(&self, objects: &[ObjectName]) -> Result<(), ConfigError> {
            for i in objects.iter().map(number) {
                tokio::task::yield_now().await;
                for child in &self.nodes[i].children {
                    if !self.nodes[*child].requires.contains(&i) {
                        self.autorequires.lock().unwrap().entry(i).or_default().push(*child);
                    }
                    self.created.lock().unwrap().push(*child);
                }
                self.events.lock().unwrap().push(Event::Prepared(i));
            }
            Ok(())
        }

        async fn run(&self, objects: &[ObjectName]) -> Result<Vec<ObjectName>, ConfigError> {
            for i in objects.iter().map(number) {
                self.events.lock().unwrap().push(Event::RunBegins(i));
                tokio::task::yield_now().await;
                self.events.lock().unwrap().push(Event::RunEnds(i));
            }
            Ok(objects.iter().filter(|o| number(o).is_multiple_of(2)).cloned().collect())
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

    /// The failure of one piece ends what waits for its turn, and not what is being worked on.
    #[tokio::test]
    async fn after_a_failure_nothing_is_begun() {
        for jobs in 1..4 {
            let (begun, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
            let work = |i: usize| {
                let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
                async move {
                    begun.lock().unwrap().push(i);
                    for _ in 0..if i == 1 { 1 } else { 5 } {
                        tokio::task::yield_now().await;
                    }
                    ended.lock().unwrap().push(i);
                    if i == 1 { Err(ConfigError::ManifestMissing(i.to_string())) } else { Ok(()) }
                }
            };
            let result = concurrently(NonZeroUsize::new(jobs), (0..20).collect(), work).await;
            assert!(matches!(result, Err(ConfigError::ManifestMissing(text)) if text == "1"));
            let (begun, mut ended) = (begun.lock().unwrap().clone(), ended.lock().unwrap().clone());
            ended.sort_unstable();
            assert_eq!(begun, (0..jobs.max(2)).collect::<Vec<_>>(), "{jobs} at a time");
            assert_eq!(begun, ended, "{jobs} at a time");
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
                Err(ConfigError::Cycle(_)) => {
                    prop_assert!(ended_set.is_subset(&can_be_done));
                    prop_assert!(matches!(events.last(), None | Some(Event::Prepared(_))), "{:?}", events);
                }
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
