//! The thread, with a store that can be made to fail and runs that do as they are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::trigger::{
    Facts,
    attempt::{Attempt, AttemptReport, End},
    job::{JobKind, JobState},
    ledger::{Change, Stored},
    machines::server::Access,
    policy::Refusal,
    store::Memory,
    testing::{Bench, Told},
};

fn call(kind: JobKind, address: &str) -> Call {
    let (address, path) = (address.parse().unwrap(), String::new());
    Call { kind, address, neighbour: None, facts: Facts::default(), path }
}

/// Waits until a job is in a state.
async fn until(dispatcher: &Dispatcher, id: JobId, state: JobState) -> Job {
    for _ in 0..2000 {
        if let Some(job) = dispatcher.job(id).await.unwrap()
            && job.state == state
        {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("job {id} is not {state}: {:?}", dispatcher.job(id).await);
}

/// A store that can be full.
#[derive(Clone, Default)]
struct Fickle {
    memory: Memory,
    full: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Store for Fickle {
    fn load(&mut self) -> Result<Stored, StoreError> {
        self.memory.load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StoreError::Io { doing: "writing".into(), source });
        }
        self.memory.commit(changes)
    }

    fn remove(&mut self, jobs: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        self.memory.remove(jobs)
    }

    fn trim(&mut self, machine: MachineId, keep: usize) -> Result<Vec<JobId>, StoreError> {
        self.memory.trim(machine, keep)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreError> {
        self.memory.reader()
    }
}

#[tokio::test]
async fn while_nothing_can_be_stored_nothing_is_accepted_started_or_lost() {
    let store = Fickle::default();
    let worker = Told::new(&[], Duration::from_millis(300));
    let bench =
        Bench::with_store(Rules::default(), Access::default(), worker.clone(), Box::new(store.clone()));
    let dispatcher = &bench.dispatcher;
    let queued = dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    assert_eq!(queued, Answer::Queued(1));
    until(dispatcher, 1, JobState::Running).await;

    store.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = dispatcher.call(call(JobKind::Install, "10.0.0.2")).await.unwrap_err();
        assert!(matches!(error, Unavailable::Store(_)), "{error}");
    }
    assert!(!dispatcher.counters().is_healthy());
    // Its end cannot be stored, either.
    let refused = store.refused.load(Ordering::SeqCst);
    while store.refused.load(Ordering::SeqCst) == refused {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(dispatcher.job(1).await.unwrap().unwrap().state, JobState::Running);
    assert_eq!(worker.attempts().len(), 1);

    store.full.store(false, Ordering::SeqCst);
    until(dispatcher, 1, JobState::Succeeded).await;
    assert_eq!(dispatcher.call(call(JobKind::Install, "10.0.0.2")).await.unwrap(), Answer::Queued(2));
    until(dispatcher, 2, JobState::Succeeded).await;
    assert!(dispatcher.counters().is_healthy());
    assert_eq!(worker.attempts().len(), 2);
}

#[tokio::test]
async fn never_more_at_once_than_is_allowed() {
    let worker = Told::new(&[], Duration::from_millis(20));
    let rules = Rules { at_once: 3, ..Rules::default() };
    let bench = Bench::new(rules, Access::default(), worker.clone());
    for i in 0..30 {
        bench.dispatcher.call(call(JobKind::Config, &format!("10.0.0.{i}"))).await.unwrap();
    }
    let mut most = 0;
    for id in 1..=30 {
        most = most.max(bench.dispatcher.counters().running.load(Ordering::Relaxed));
        until(&bench.dispatcher, id, JobState::Succeeded).await;
    }
    assert!((1..=3).contains(&most), "{most}");
    assert_eq!(worker.attempts().len(), 30);
}

#[tokio::test]
async fn orders_are_carried_out() {
    let worker = Told::new(&[End::Succeeded], Duration::from_millis(30));
    let bench = Bench::new(Rules::default(), Access::default(), worker.clone());
    let dispatcher = &bench.dispatcher;
    dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    until(dispatcher, 1, JobState::Succeeded).await;
    let again = dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    assert_eq!(again, Answer::Refused(Refusal::Installed, 1));
    let order = |order| dispatcher.order(order);
    let unknown = order(Order::Arm("10.0.0.9".into(), Duration::from_secs(5))).await.unwrap();
    assert_eq!(unknown, Err(OrderError::UnknownMachine("10.0.0.9".into())));
    let armed = order(Order::Arm("10.0.0.1".into(), Duration::from_secs(5))).await.unwrap().unwrap();
    assert!(matches!(armed, OrderDone::Armed(1, _)), "{armed:?}");
    assert_eq!(dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap(), Answer::Queued(2));
    until(dispatcher, 2, JobState::Running).await;
    assert_eq!(order(Order::Forget("1".into())).await.unwrap(), Err(OrderError::Busy(1, 2)));
    assert_eq!(order(Order::Retry(2)).await.unwrap(), Err(OrderError::NotAtItsEnd(2, JobState::Running)));
    assert_eq!(order(Order::Cancel(2)).await.unwrap(), Ok(OrderDone::Cancelled(false)));
    let job = until(dispatcher, 2, JobState::Cancelled).await;
    assert_eq!(job.note.as_deref(), Some("stopped while it ran"));
    assert_eq!(order(Order::Cancel(2)).await.unwrap(), Err(OrderError::AtItsEnd(2, JobState::Cancelled)));
    assert_eq!(order(Order::Cancel(77)).await.unwrap(), Err(OrderError::UnknownJob(77)));
    // An install that was stopped by hand is not done again by a call, but by `retry`.
    let stopped = dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    assert_eq!(stopped, Answer::Refused(Refusal::Stopped, 1));
    assert_eq!(order(Order::Retry(2)).await.unwrap(), Ok(OrderDone::Retried(3)));
    until(dispatcher, 3, JobState::Succeeded).await;
    assert_eq!(order(Order::Forget("10.0.0.1".into())).await.unwrap(), Ok(OrderDone::Forgotten(1)));
    assert_eq!(order(Order::Retry(3)).await.unwrap(), Err(OrderError::Forgotten(3)));
}

#[tokio::test]
async fn at_the_end_running_jobs_are_interrupted_and_waiting_ones_stay() {
    let store = Fickle::default();
    let worker = Told::new(&[], Duration::from_secs(60));
    let rules = Rules { at_once: 2, ..Rules::default() };
    let mut bench = Bench::with_store(rules.clone(), Access::default(), worker, Box::new(store.clone()));
    for (kind, address) in
        [(JobKind::Install, "10.0.0.1"), (JobKind::Config, "10.0.0.2"), (JobKind::Config, "10.0.0.3")]
    {
        bench.dispatcher.call(call(kind, address)).await.unwrap();
    }
    until(&bench.dispatcher, 2, JobState::Running).await;
    bench.dispatcher.close(Duration::from_secs(3600));
    // A second signal shortens the grace.
    bench.dispatcher.close(Duration::from_millis(50));
    bench.thread.take().unwrap().join().await.unwrap();
    let state = |id| store.reader().unwrap().job(id).unwrap().unwrap().state;
    assert_eq!([1, 2, 3].map(state), [JobState::Interrupted, JobState::Queued, JobState::Queued]);

    // The next server goes on with them, and not with the install.
    let worker = Told::new(&[], Duration::ZERO);
    let bench = Bench::with_store(rules, Access::default(), worker.clone(), Box::new(store));
    until(&bench.dispatcher, 2, JobState::Succeeded).await;
    until(&bench.dispatcher, 3, JobState::Succeeded).await;
    assert!(worker.attempts().iter().all(|attempt| attempt.job != 1));
    let answer = bench.dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    assert_eq!(answer, Answer::Refused(Refusal::Interrupted, 1));
}

#[tokio::test]
async fn what_waits_begins_when_there_is_room_again_without_a_call() {
    let store = Fickle::default();
    let rules = Rules { at_once: 1, ..Rules::default() };
    let worker = Told::new(&[], Duration::from_secs(60));
    let mut bench = Bench::with_store(rules.clone(), Access::default(), worker, Box::new(store.clone()));
    for address in ["10.0.0.1", "10.0.0.2"] {
        bench.dispatcher.call(call(JobKind::Config, address)).await.unwrap();
    }
    bench.dispatcher.close(Duration::ZERO);
    bench.thread.take().unwrap().join().await.unwrap();

    store.full.store(true, Ordering::SeqCst);
    let worker = Told::new(&[], Duration::ZERO);
    let bench = Bench::with_store(rules, Access::default(), worker.clone(), Box::new(store.clone()));
    assert!(bench.dispatcher.call(call(JobKind::Config, "10.0.0.3")).await.is_err());
    assert!(!bench.dispatcher.counters().is_healthy() && worker.attempts().is_empty());
    store.full.store(false, Ordering::SeqCst);
    until(&bench.dispatcher, 1, JobState::Succeeded).await;
    until(&bench.dispatcher, 2, JobState::Succeeded).await;
    assert!(bench.dispatcher.counters().is_healthy());

    // The server becomes healthy again without a call.
    store.full.store(true, Ordering::SeqCst);
    assert!(bench.dispatcher.call(call(JobKind::Config, "10.0.0.3")).await.is_err());
    store.full.store(false, Ordering::SeqCst);
    for _ in 0..2000 {
        if bench.dispatcher.counters().is_healthy() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still not healthy");
}

#[tokio::test]
async fn who_asks_once_more_to_end_does_not_wait() {
    let store = Fickle::default();
    let worker = Told::new(&[], Duration::from_secs(60));
    let mut bench = Bench::with_store(Rules::default(), Access::default(), worker, Box::new(store.clone()));
    bench.dispatcher.call(call(JobKind::Install, "10.0.0.1")).await.unwrap();
    until(&bench.dispatcher, 1, JobState::Running).await;
    bench.dispatcher.close(Duration::MAX);
    bench.dispatcher.close(Duration::ZERO);
    // A later call cannot make the grace longer again.
    bench.dispatcher.close(Duration::from_secs(3600));
    let end = bench.thread.take().unwrap().join();
    tokio::time::timeout(Duration::from_secs(10), end).await.unwrap().unwrap();
    assert_eq!(store.reader().unwrap().job(1).unwrap().unwrap().state, JobState::Interrupted);
}

#[derive(Debug)]
struct Panics;

#[async_trait]
impl JobWorker for Panics {
    async fn run(&self, _: Attempt) -> Ended {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_panic_is_a_failed_job_and_nothing_else() {
    let rules = Rules { retries: 0, ..Rules::default() };
    let bench = Bench::new(rules, Access::default(), Arc::new(Panics));
    bench.dispatcher.call(call(JobKind::Config, "10.0.0.1")).await.unwrap();
    let job = until(&bench.dispatcher, 1, JobState::Failed).await;
    assert!(job.report.unwrap().reason.unwrap().starts_with("the program failed inside"));
    assert_eq!(bench.dispatcher.call(call(JobKind::Config, "10.0.0.2")).await.unwrap(), Answer::Queued(2));
}

/// Works until it is told to stop.
#[derive(Debug)]
struct Endless;

#[async_trait]
impl JobWorker for Endless {
    async fn run(&self, attempt: Attempt) -> Ended {
        while !attempt.cancel.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ended { end: End::Cancelled, report: AttemptReport::default() }
    }
}

#[tokio::test]
async fn what_takes_too_long_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules { retries: 0, ..Rules::default() };
    let state_dir = dir.path().to_owned();
    let settings = DispatcherSettings {
        rules,
        state_dir,
        keep: Duration::from_secs(1),
        job_time: Duration::from_millis(50),
    };
    let runtime = Handle::current();
    let (dispatcher, _thread) =
        Dispatcher::start(&settings, Box::<Memory>::default(), Arc::new(Endless), runtime).unwrap();
    dispatcher.call(call(JobKind::Config, "10.0.0.1")).await.unwrap();
    let job = until(&dispatcher, 1, JobState::Failed).await;
    assert!(job.report.unwrap().reason.unwrap().contains("--job-time"));
}

#[tokio::test]
async fn what_a_crash_has_left_between_database_and_directory_goes() {
    let dir = tempfile::tempdir().unwrap();
    let places = JobsDir::make(dir.path()).unwrap();
    places.prepare(77, 1).unwrap();
    let settings = DispatcherSettings {
        rules: Rules::default(),
        state_dir: dir.path().to_owned(),
        keep: Duration::from_secs(1),
        job_time: Duration::from_secs(1),
    };
    let runtime = Handle::current();
    let _all = Dispatcher::start(&settings, Box::<Memory>::default(), Arc::new(Endless), runtime).unwrap();
    for _ in 0..2000 {
        if !places.work_dir(77, 1).exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the files of a job that nobody knows are still there");
}

/// Leaves a file of a failed run, and waits to be let go on.
#[derive(Debug)]
struct Leaves(tokio::sync::Semaphore);

#[async_trait]
impl JobWorker for Leaves {
    async fn run(&self, attempt: Attempt) -> Ended {
        std::fs::write(attempt.work_dir.join("reason"), "x").unwrap();
        std::fs::write(&attempt.log, "log").unwrap();
        drop(self.0.acquire().await.unwrap());
        Ended { end: End::Failed, report: AttemptReport::default() }
    }
}

#[tokio::test]
async fn a_run_whose_end_cannot_be_stored_gives_its_files_back() {
    let store = Fickle::default();
    let worker = Arc::new(Leaves(tokio::sync::Semaphore::new(0)));
    let rules = Rules { retries: 0, ..Rules::default() };
    let bench = Bench::with_store(rules, Access::default(), worker.clone(), Box::new(store.clone()));
    let dispatcher = &bench.dispatcher;
    dispatcher.call(call(JobKind::Config, "10.0.0.1")).await.unwrap();
    let work_dir = dispatcher.jobs_dir().work_dir(1, 1);
    for _ in 0..2000 {
        if work_dir.join("reason").exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.full.store(true, Ordering::SeqCst);
    worker.0.add_permits(1);
    for _ in 0..2000 {
        if !work_dir.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!work_dir.exists() && dispatcher.jobs_dir().log(1, 1).exists());
    assert_eq!(dispatcher.job(1).await.unwrap().unwrap().state, JobState::Running);
    store.full.store(false, Ordering::SeqCst);
    until(dispatcher, 1, JobState::Failed).await;
}
