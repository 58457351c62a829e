//! One thread that decides, stores, and starts jobs.
//!
//! Everything that changes machines or jobs goes through it, one after the other: what many ask for at the same time is
//! decided together, stored by one commit, and answered after that. So a sync of the disk is shared by all who wait for
//! it, and no decision is told that a crash could take back.

mod attempt;
mod clock;
mod desk;
mod events;
mod jobs_dir;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot};

pub use events::{JobEvent, JobEvents};
pub use jobs_dir::JobsDir;

use self::{desk::Desk, jobs_dir::Found};
use super::{
    attempt::{Ended, JobWorker},
    counters::Counters,
    job::{Job, JobId, Machine, MachineId, Millis},
    ledger::{Answer, Call, OrderError, Rules},
    store::{JobFilter, Reader, Store, StoreError},
};

/// What the server is told at its start.
#[derive(Clone, Debug)]
pub struct DispatcherSettings {
    /// The rules.
    pub rules: Rules,
    /// Where machines, jobs and logs are kept.
    pub state_dir: PathBuf,
    /// How long jobs are kept after their end; the newest one of each machine always is.
    pub keep: Duration,
    /// How long an attempt may take.
    pub job_time: Duration,
}

/// Why an answer is missing.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The server is about to end.
    #[error("the server is shutting down")]
    Closing,
    /// The store cannot be written to, so nothing is accepted; or not be read.
    #[error("{0}")]
    Store(String),
}

/// What is asked of the thread.
enum Message {
    Call(Call, oneshot::Sender<Result<Answer, Unavailable>>),
    Order(Order, oneshot::Sender<Result<Result<OrderDone, OrderError>, Unavailable>>),
    Finished(JobId, Ended),
    /// Jobs that may be old enough to go.
    Old(Vec<JobId>),
    Close(Duration),
}

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub enum Order {
    /// Stop a job.
    Cancel(JobId),
    /// Do a job again that has ended.
    Retry(JobId),
    /// Tell which machine a word stands for.
    Find(String),
    /// Let the machine that a word stands for be installed once more, if it asks in time.
    Arm(String, Duration),
    /// Take that back.
    Disarm(String),
    /// Forget a machine.
    Forget(String),
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderDone {
    /// The job has ended by that, or (false) is told to stop.
    Cancelled(bool),
    /// The new job, or the one that waits or runs already.
    Retried(JobId),
    /// The machine.
    Found(MachineId),
    /// The machine, and until when.
    Armed(MachineId, Millis),
    /// The machine.
    Disarmed(MachineId),
    /// The machine.
    Forgotten(MachineId),
}

/// What the thread tells everybody.
#[derive(Debug, Default)]
struct Shared {
    counters: Counters,
    events: JobEvents,
}

/// The way to the thread. Clones lead to the same one.
#[derive(Clone)]
pub struct Dispatcher {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    reader: Arc<Mutex<Box<dyn Reader>>>,
    jobs_dir: JobsDir,
    rules: Rules,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// The thread; it ends after [`Dispatcher::close`], and otherwise only if something is wrong inside.
#[derive(Debug)]
pub struct Thread(JoinHandle<Result<(), StoreError>>);

impl Thread {
    /// Waits for its end. Jobs that were running are stored as what they are then.
    ///
    /// # Errors
    ///
    /// The store could not be closed, or the thread has panicked; what it has promised is stored all the same.
    pub async fn join(self) -> Result<(), StoreError> {
        let joined = tokio::task::spawn_blocking(move || self.0.join()).await;
        joined.ok().and_then(Result::ok).unwrap_or_else(|| {
            let source = std::io::Error::other("the program failed inside; start it again");
            Err(StoreError::Io { doing: "deciding about jobs".to_owned(), source })
        })
    }
}

impl Dispatcher {
    /// Reads what is stored, deals with what a crash has left, and starts the thread. Jobs run as tasks of `runtime`.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written to.
    pub fn start(
        settings: &DispatcherSettings,
        mut store: Box<dyn Store>,
        worker: Arc<dyn JobWorker>,
        runtime: Handle,
    ) -> Result<(Self, Thread), StoreError> {
        let reader = store.reader()?;
        let shared = Arc::<Shared>::default();
        let (sender, receiver) = channel();
        let jobs_dir = JobsDir::make(&settings.state_dir)?;
        let desk = Desk::new(settings, &mut store, Arc::clone(&shared), sender.clone(), jobs_dir.clone())?;
        let (places, mut known) = (jobs_dir.clone(), store.reader()?);
        // What a crash has left between the database and the directory.
        runtime.spawn_blocking(move || {
            places.sweep(|id| match known.job(id) {
                Ok(None) => Found::Nothing,
                Ok(Some(job)) if job.state.is_final() => Found::Ended,
                _ => Found::Other,
            });
        });
        let rules = settings.rules.clone();
        let work = move || desk.work(store, &worker, &runtime, &receiver);
        let thread = std::thread::Builder::new().name("dispatcher".into()).spawn(work).map_err(|source| {
            StoreError::Io { doing: "starting the dispatcher's thread".to_owned(), source }
        })?;
        Ok((Self { sender, shared, reader: Arc::new(Mutex::new(reader)), jobs_dir, rules }, Thread(thread)))
    }

    /// A machine calls. The answer comes when it is stored.
    ///
    /// # Errors
    ///
    /// The server ends before a decision, or the decision cannot be stored and does not count.
    pub async fn call(&self, call: Call) -> Result<Answer, Unavailable> {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Call(call, sender))?;
        receiver.await.unwrap_or(Err(Unavailable::Closing))
    }

    /// An administrator asks for something.
    ///
    /// # Errors
    ///
    /// The outer error is that of [`call`](Self::call); the inner one tells why the order is refused.
    pub async fn order(&self, order: Order) -> Result<Result<OrderDone, OrderError>, Unavailable> {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Order(order, sender))?;
        receiver.await.unwrap_or(Err(Unavailable::Closing))
    }

    /// Nothing is accepted or started any more. Running jobs may end by themselves for `grace`, then they are stopped.
    pub fn close(&self, grace: Duration) {
        self.shared.counters.set_closing();
        // An error means that the thread has ended already.
        let _ = self.sender.send(Message::Close(grace));
    }

    fn send(&self, message: Message) -> Result<(), Unavailable> {
        self.sender.send(message).map_err(|_| Unavailable::Closing)
    }

    /// Runs `ask` where waiting for the disk blocks no other task.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let reader = Arc::clone(&self.reader);
        let answer = tokio::task::spawn_blocking(move || {
            ask(reader.lock().unwrap_or_else(PoisonError::into_inner).as_mut())
        });
        let said = |error: &dyn std::error::Error| Unavailable::Store(crate::chain(error));
        answer.await.map_err(|error| said(&error))?.map_err(|error| said(&error))
    }

    /// A job.
    ///
    /// # Errors
    ///
    /// The store cannot be read; the same holds for the methods that follow.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, Unavailable> {
        self.read(move |reader| reader.job(id)).await
    }

    /// Jobs, the newest first.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    pub async fn jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Unavailable> {
        self.read(move |reader| reader.jobs(&filter)).await
    }

    /// A machine.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    pub async fn machine(&self, id: MachineId) -> Result<Option<Machine>, Unavailable> {
        self.read(move |reader| reader.machine(id)).await
    }

    /// The machines with these numbers, as far as they are known.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    pub async fn machines_of(&self, ids: Vec<MachineId>) -> Result<Vec<Machine>, Unavailable> {
        let find = move |reader: &mut dyn Reader| {
            ids.iter().filter_map(|id| reader.machine(*id).transpose()).collect()
        };
        self.read(find).await
    }

    /// Machines whose number is higher than `after`, by number.
    #[allow(clippy::missing_errors_doc, reason = "said once")]
    pub async fn machines(&self, after: MachineId, limit: usize) -> Result<Vec<Machine>, Unavailable> {
        self.read(move |reader| reader.machines(after, limit)).await
    }

    /// How many jobs there are in each state.
    #[allow(
        clippy::missing_errors_doc,
        clippy::redundant_closure_for_method_calls,
        reason = "said once; a method is not general enough"
    )]
    pub async fn counts(&self) -> Result<crate::trigger::store::Counts, Unavailable> {
        self.read(|reader| reader.counts()).await
    }

    /// Counters and gauges.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What happens to jobs from now on.
    pub fn events(&self) -> tokio::sync::broadcast::Receiver<JobEvent> {
        self.shared.events.subscribe()
    }

    /// Where the jobs' logs are.
    pub fn jobs_dir(&self) -> &JobsDir {
        &self.jobs_dir
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}
