//! The thread's own side: a batch of commands, one commit, the answers, the jobs that may begin.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    DispatcherSettings, JobEvent, JobsDir, Message, Order, OrderDone, Shared, Unavailable, attempt,
    clock::Reckoned,
};
use crate::{
    chain,
    host::Cancel,
    net::neighbours,
    trigger::{
        attempt::{Binding, End, Ended, JobWorker},
        counters::CommitProblem,
        job::{self, Job, JobId, Millis},
        ledger::{Answer, Change, Ledger, Moment, OrderError, is_one_of},
        store::{Store, StoreError},
    },
};

/// The most that is decided together: the first caller should not wait for all later ones.
const BATCH: usize = 512;
/// How often old jobs are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How many are removed at a time; removing must not hold up calls.
const PRUNE_AT_ONCE: usize = 200;
/// How many jobs of one machine are kept, however young they are.
const JOBS_EACH: usize = 50;
/// How long stopped jobs may take to clean up when the server ends.
const CLEAN_UP: Duration = Duration::from_secs(20);
/// The longest that a caller waits.
const GRACE_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);
/// After so long without anything to do the store rests.
const REST_AFTER: Duration = Duration::from_millis(500);
/// How often storing is tried again while it fails.
const STORE_AGAIN: Duration = Duration::from_secs(2);

pub(super) struct Desk {
    settings: DispatcherSettings,
    shared: Arc<Shared>,
    sender: Sender<Message>,
    jobs_dir: JobsDir,
    ledger: Ledger,
    begin: Instant,
    cancels: HashMap<JobId, Cancel>,
    bindings: HashMap<JobId, Binding>,
    /// Ends that could not be stored yet.
    unstored: Vec<(JobId, Ended)>,
    /// The ledger holds more than the store, and could not be loaded anew.
    stale: bool,
    closing: Option<Closing>,
    reckoned: Reckoned,
    reckoned_at: Instant,
    prune_at: Instant,
    /// What has been found to be old.
    old: Vec<JobId>,
    /// Nothing was stored since the store has rested.
    rested: bool,
}

#[derive(Clone, Copy)]
struct Closing {
    stop_at: Instant,
    give_up_at: Instant,
    stopped: bool,
}

/// An answer that is given after the commit.
enum Reply {
    Call(oneshot::Sender<Result<Answer, Unavailable>>, Answer),
    Order(oneshot::Sender<Result<Result<OrderDone, OrderError>, Unavailable>>, Result<OrderDone, OrderError>),
}

impl Reply {
    fn give(self, failure: Option<&str>) {
        // A caller that has hung up needs no answer.
        match (self, failure) {
            (Self::Call(to, answer), None) => drop(to.send(Ok(answer))),
            (Self::Order(to, answer), None) => drop(to.send(Ok(answer))),
            (Self::Call(to, _), Some(why)) => drop(to.send(Err(Unavailable::Store(why.to_owned())))),
            (Self::Order(to, _), Some(why)) => drop(to.send(Err(Unavailable::Store(why.to_owned())))),
        }
    }
}

impl Desk {
    /// Loads the ledger, and stores what a crash has made of running jobs.
    pub(super) fn new(
        settings: &DispatcherSettings,
        store: &mut Box<dyn Store>,
        shared: Arc<Shared>,
        sender: Sender<Message>,
        jobs_dir: JobsDir,
    ) -> Result<Self, StoreError> {
        let begin = Instant::now();
        let now = Moment { wall: job::now(), mono: Duration::ZERO };
        let mut ledger = Ledger::load(settings.rules.clone(), store.load()?, now);
        ledger.recover(now);
        let changes = ledger.take_changes();
        if !changes.is_empty() {
            store.commit(&changes)?;
        }
        let stored = store.reckoned()?;
        let reckoned = Reckoned::new(stored, now.wall);
        if stored.is_none() {
            store.set_reckoned(reckoned.stored())?;
        }
        let desk = Self {
            settings: settings.clone(),
            shared,
            sender,
            jobs_dir,
            ledger,
            begin,
            cancels: HashMap::new(),
            bindings: HashMap::new(),
            unstored: Vec::new(),
            stale: false,
            closing: None,
            reckoned,
            reckoned_at: begin,
            // Not while machines that have waited for the server call.
            prune_at: begin + Duration::from_secs(60),
            old: Vec::new(),
            rested: false,
        };
        if let Some(why) = store.shortage() {
            let problem = CommitProblem { at: now.wall, reason: why.to_owned() };
            desk.shared.counters.committed(Duration::ZERO, Some(problem));
        }
        desk.tell_sizes();
        Ok(desk)
    }

    pub(super) fn work(
        mut self,
        mut store: Box<dyn Store>,
        worker: &Arc<dyn JobWorker>,
        runtime: &Handle,
        receiver: &Receiver<Message>,
    ) -> Result<(), StoreError> {
        // What was waiting when the last server ended.
        self.turn(Vec::new(), store.as_mut(), worker, runtime);
        loop {
            let mut batch = Vec::new();
            match receiver.recv_timeout(self.patience()) {
                Ok(message) => batch.push(message),
                Err(RecvTimeoutError::Timeout) if !self.rested => {
                    self.rested = true;
                    store.rest();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while batch.len() < BATCH
                && let Ok(message) = receiver.try_recv()
            {
                batch.push(message);
            }
            self.turn(batch, store.as_mut(), worker, runtime);
            if self.is_over() {
                break;
            }
            self.prune(store.as_mut(), runtime);
        }
        store.close()
    }

    fn now(&self) -> Moment {
        Moment { wall: job::now(), mono: self.begin.elapsed() }
    }

    /// Time until the next scheduled work.
    fn patience(&self) -> Duration {
        if self.closing.is_some() {
            return Duration::from_millis(100);
        }
        if self.stale || !self.unstored.is_empty() || self.shared.counters.is_store_failing() {
            return STORE_AGAIN;
        }
        let due = self.ledger.next_due().map(|due| due.saturating_sub(self.begin.elapsed()));
        let prune = self.prune_at.saturating_duration_since(Instant::now());
        let prune = if self.rested { prune } else { prune.min(REST_AFTER) };
        // A millisecond more, or it would be woken up just before.
        due.map_or(prune, |due| due.min(prune)) + Duration::from_millis(1)
    }

    /// One batch: decide, store, answer, start.
    fn turn(
        &mut self,
        batch: Vec<Message>,
        store: &mut dyn Store,
        worker: &Arc<dyn JobWorker>,
        runtime: &Handle,
    ) {
        if self.stale {
            self.reload(store);
        }
        let now = self.now();
        let mut replies = Vec::new();
        for (job, ended) in std::mem::take(&mut self.unstored) {
            self.finish(job, ended, now);
        }
        for message in batch {
            self.decide(message, store, now, &mut replies);
        }
        self.stop_if_closing();
        self.ledger.expire(now);
        let may_start = self.closing.is_none() && !self.stale && store.shortage().is_none();
        let started = if may_start { self.ledger.start(now) } else { Vec::new() };
        let failure = self.commit(store, runtime);
        for reply in replies {
            reply.give(failure.as_deref());
        }
        if failure.is_none() {
            self.unstored.clear();
            for job in self.ledger.take_strangers() {
                if let Some(binding) = self.bindings.get(&job) {
                    binding.lose("another machine calls from its address now");
                }
            }
            for job in started {
                self.run(job, worker, runtime);
            }
        }
        self.tell_sizes();
    }

    fn decide(&mut self, message: Message, store: &dyn Store, now: Moment, replies: &mut Vec<Reply>) {
        match message {
            Message::Finished(job, ended) => self.finish(job, ended, now),
            Message::Old(jobs) => self.old.extend(jobs),
            Message::Close(grace) => {
                let stop_at = Instant::now() + grace.min(GRACE_MAX);
                let give_up_at = stop_at + CLEAN_UP;
                let closing = self.closing.get_or_insert(Closing { stop_at, give_up_at, stopped: false });
                // A second request to end shortens the grace.
                closing.stop_at = closing.stop_at.min(stop_at);
                closing.give_up_at = closing.give_up_at.min(give_up_at);
            }
            Message::Call(_, to) if self.closing.is_some() => {
                drop(to.send(Err(Unavailable::Closing)));
            }
            Message::Call(_, to) if store.shortage().is_some() => {
                let why = store.shortage().unwrap_or_default().to_owned();
                drop(to.send(Err(Unavailable::Store(why))));
            }
            Message::Call(call, to) => replies.push(Reply::Call(to, self.ledger.call(call, now))),
            Message::Order(order, to) => match self.order(&order, store, now) {
                Ok(answer) => replies.push(Reply::Order(to, answer)),
                Err(error) => drop(to.send(Err(Unavailable::Store(chain(&error))))),
            },
        }
    }

    fn order(
        &mut self,
        order: &Order,
        store: &dyn Store,
        now: Moment,
    ) -> Result<Result<OrderDone, OrderError>, StoreError> {
        let ledger = &mut self.ledger;
        let stored = |id| store.reader().and_then(|mut reader| reader.job(id));
        Ok(match order {
            Order::Cancel(id) => match ledger.cancel(*id, now) {
                Err(OrderError::UnknownJob(id)) => {
                    let ended = stored(id)?.map(|job| OrderError::AtItsEnd(id, job.state));
                    Err(ended.unwrap_or(OrderError::UnknownJob(id)))
                }
                result => {
                    if let (Ok(false), Some(cancel)) = (&result, self.cancels.get(id)) {
                        cancel.cancel();
                    }
                    result.map(OrderDone::Cancelled)
                }
            },
            Order::Retry(id) => {
                let any = |ledger: &Ledger, id| {
                    ledger.job(id).cloned().map_or_else(|| stored(id), |job| Ok(Some(job)))
                };
                let Some(old) = any(ledger, *id)? else { return Ok(Err(OrderError::UnknownJob(*id))) };
                let machine = ledger.machine(old.machine);
                let neighbour = machine.and_then(|machine| neighbours::mac_now(&machine.address));
                let told = store.reader()?.host_keys(old.machine)?;
                let told = match (told, machine.and_then(|machine| machine.last_job)) {
                    (Some(told), _) => told,
                    // It has not called since a version of the program that did not store them with the machine.
                    (None, Some(newest)) => {
                        any(ledger, newest)?.map(|job| job.facts.ssh_host_keys).unwrap_or_default()
                    }
                    (None, None) => Vec::new(),
                };
                ledger.retry(&old, told, neighbour.as_deref(), now).map(OrderDone::Retried)
            }
            Order::Find(word) => ledger.resolve(word).map(OrderDone::Found),
            Order::Arm(word, time) => ledger.resolve(word).and_then(|machine| {
                ledger.arm(machine, *time, now).map(|until| OrderDone::Armed(machine, until))
            }),
            Order::Disarm(word) => ledger
                .resolve(word)
                .and_then(|machine| ledger.take_arm_back(machine).map(|()| OrderDone::Disarmed(machine))),
            Order::Forget(word) => ledger
                .resolve(word)
                .and_then(|machine| ledger.forget(machine).map(|()| OrderDone::Forgotten(machine))),
        })
    }

    fn finish(&mut self, job: JobId, mut ended: Ended, now: Moment) {
        self.cancels.remove(&job);
        self.bindings.remove(&job);
        let stopped = self.closing.is_some_and(|closing| closing.stopped);
        match ended.end {
            // What is being stopped fails in many ways.
            End::Failed if stopped => ended.end = End::Cancelled,
            // Only an order stops a job while the server goes on; it counts also if it could not be stored.
            End::Cancelled if !stopped => drop(self.ledger.cancel(job, now)),
            _ => {}
        }
        // Should the commit fail, it is decided again.
        self.unstored.push((job, ended.clone()));
        self.ledger.finish(job, ended, now, fastrand::f64());
    }

    /// Stores what was decided. If that fails, nothing was.
    fn commit(&mut self, store: &mut dyn Store, runtime: &Handle) -> Option<String> {
        let changes = self.ledger.take_changes();
        if self.stale {
            return Some("what is stored cannot be read".to_owned());
        }
        // While storing fails it is tried out: machines may wait for the server to be healthy before they call.
        if changes.is_empty() && !self.shared.counters.is_store_failing() {
            return None;
        }
        self.rested = false;
        let begin = Instant::now();
        let result = if changes.is_empty() { store.try_out() } else { store.commit(&changes) };
        let problem = match &result {
            Ok(()) => store.shortage().map(str::to_owned),
            Err(error) => Some(chain(error)),
        };
        if store.shortage().is_some() || result.as_ref().is_err_and(StoreError::lacks_room) {
            self.make_room(runtime);
        }
        let problem = problem.map(|reason| CommitProblem { at: job::now(), reason });
        self.shared.counters.committed(begin.elapsed(), problem);
        match result {
            Ok(()) => {
                self.tell(&changes);
                self.trim(&changes, store, runtime);
                None
            }
            Err(error) => {
                let text = chain(&error);
                if !changes.is_empty() {
                    tracing::error!("{text}; what was asked for meanwhile is refused");
                    self.reload(store);
                }
                Some(text)
            }
        }
    }

    fn tell(&self, changes: &[Change]) {
        for change in changes {
            if let Change::Job(job) = change {
                self.shared.events.tell(JobEvent { job: job.id, state: job.state });
            }
        }
    }

    fn reload(&mut self, store: &mut dyn Store) {
        match store.load() {
            Ok(stored) => {
                let now = self.now();
                self.ledger = Ledger::load(self.settings.rules.clone(), stored, now);
                self.stale = false;
                let stopped = self.closing.is_some_and(|closing| closing.stopped);
                for id in self.ledger.running_jobs() {
                    match self.cancels.get(&id) {
                        // Stored after all, but not begun.
                        None if !self.unstored.iter().any(|(job, _)| *job == id) => self.ledger.lose(id, now),
                        // What was told to stop still is.
                        Some(cancel) if cancel.is_cancelled() && !stopped => {
                            drop(self.ledger.cancel(id, now));
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => {
                tracing::error!("{}", chain(&error));
                self.stale = true;
            }
        }
    }

    fn run(&mut self, job: Job, worker: &Arc<dyn JobWorker>, runtime: &Handle) {
        let cancel = Cancel::default();
        self.cancels.insert(job.id, cancel.clone());
        self.shared.counters.attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::info!("job {}: {} of {} begins, attempt {}", job.id, job.kind, job.address, job.attempts);
        let (worker, sender, jobs_dir) = (Arc::clone(worker), self.sender.clone(), self.jobs_dir.clone());
        let limit = self.settings.job_time;
        let binding = self.binding_of(&job);
        self.bindings.insert(job.id, binding.clone());
        runtime.spawn(async move {
            let ended = attempt::run(&job, cancel, limit, worker, jobs_dir, binding).await;
            let reason = ended.report.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            tracing::info!(
                "job {}: {} of {} {}{reason}",
                job.id,
                job.kind,
                job.address,
                attempt::word(ended.end)
            );
            // The receiver is gone when the server has given up waiting.
            let _ = sender.send(Message::Finished(job.id, ended));
        });
    }

    /// What the kernel knows of the address of a job, against what is known of its machine now.
    fn binding_of(&self, job: &Job) -> Binding {
        let Some(machine) = self.ledger.machine(job.machine).cloned() else { return Binding::default() };
        let address = job.address.clone();
        Binding::new(move || {
            let found = neighbours::mac_found(&address);
            if is_one_of(found.as_deref(), &machine) {
                return Ok(());
            }
            let mac = found.unwrap_or_default();
            Err(format!("{address} is no address of machine {} any more: {mac} has it", machine.id))
        })
    }

    fn stop_if_closing(&mut self) {
        let Some(closing) = &mut self.closing else { return };
        if !closing.stopped && Instant::now() >= closing.stop_at {
            closing.stopped = true;
            self.cancels.values().for_each(Cancel::cancel);
        }
    }

    /// True when the server ends and nothing runs any more, or what runs takes too long.
    fn is_over(&self) -> bool {
        let Some(closing) = self.closing else { return false };
        let waiting = self.ledger.running() > 0 || !self.unstored.is_empty();
        !waiting || Instant::now() >= closing.give_up_at
    }

    /// Old jobs are looked for on another thread, and removed here: only here is it known which are the newest.
    fn prune(&mut self, store: &mut dyn Store, runtime: &Handle) {
        if !self.old.is_empty() {
            let found = std::mem::take(&mut self.old);
            match store.remove(&found) {
                Ok(ids) => self.remove_files(ids, runtime),
                Err(error) => tracing::warn!("removing old jobs: {}", chain(&error)),
            }
            if found.len() == PRUNE_AT_ONCE {
                self.prune_at = Instant::now() + Duration::from_secs(1);
            }
        }
        if Instant::now() < self.prune_at {
            return;
        }
        self.prune_at = Instant::now() + PRUNE_EVERY;
        let elapsed = std::mem::replace(&mut self.reckoned_at, Instant::now()).elapsed();
        let wall = job::now();
        let time = self.reckoned.go_on(wall, elapsed);
        let keep = Millis::try_from(self.settings.keep.as_millis()).unwrap_or(Millis::MAX);
        let before = time.saturating_sub(keep);
        match store.set_reckoned(self.reckoned.stored()).and_then(|()| store.reader()) {
            Ok(mut reader) => {
                let sender = self.sender.clone();
                runtime.spawn_blocking(move || match reader.old(before, wall, PRUNE_AT_ONCE) {
                    Ok(found) if found.is_empty() => {}
                    // An error is the end of the server.
                    Ok(found) => drop(sender.send(Message::Old(found))),
                    Err(error) => tracing::warn!("looking for old jobs: {}", chain(&error)),
                });
            }
            Err(error) => tracing::warn!("looking for old jobs: {}", chain(&error)),
        }
    }

    /// Jobs of a machine that calls again and again do not fill the disk before they are old. Those of a machine that had to
    /// make room go with it; an administrator who forgets one may still want to read about it.
    fn trim(&self, changes: &[Change], store: &mut dyn Store, runtime: &Handle) {
        for change in changes {
            let (machine, keep) = match change {
                Change::Job(job) if job.state.is_final() => (job.machine, JOBS_EACH),
                Change::Evicted(machine) => (*machine, 0),
                _ => continue,
            };
            match store.trim(machine, keep) {
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => self.remove_files(ids, runtime),
                Err(error) => tracing::warn!("removing old jobs: {}", chain(&error)),
            }
        }
    }

    /// There is no room: what runs have left goes, but for what they log.
    fn make_room(&self, runtime: &Handle) {
        let running: HashSet<JobId> = self.cancels.keys().copied().collect();
        let places = self.jobs_dir.clone();
        runtime.spawn_blocking(move || places.drop_run_files(&running));
    }

    /// On another thread: it may take as long as it likes.
    fn remove_files(&self, jobs: Vec<JobId>, runtime: &Handle) {
        let places = self.jobs_dir.clone();
        runtime.spawn_blocking(move || jobs.into_iter().for_each(|id| places.forget(id)));
    }

    fn tell_sizes(&self) {
        let ledger = &self.ledger;
        self.shared.counters.set_sizes(
            ledger.waiting(),
            ledger.rules().queue_max,
            ledger.running(),
            ledger.machines(),
        );
    }
}
