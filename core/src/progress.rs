//! What a long piece of work is doing, as events. Nothing here prints: the command line program decides how
//! events look on a terminal, on a pipe and as JSON.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Identifies a step within one process.
pub type StepId = u64;

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Packages.
    Packages,
    /// Objects of the configuration engine.
    Objects,
    /// Files.
    Files,
    /// Anything else.
    Items,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step begins. `depth` is 0 for a step at the top.
    Started { id: StepId, depth: usize, name: String },
    /// A counter moved. `total` is known for some steps only.
    Advanced { id: StepId, done: u64, total: Option<u64>, unit: Unit },
    /// What the step is busy with just now, one line.
    Doing { id: StepId, what: String },
    /// A step ended. `outcome` is one line such as "211 packages", possibly empty.
    Finished { id: StepId, depth: usize, name: String, elapsed: Duration, outcome: String, ok: bool },
    /// Something worth telling that is no failure.
    Note(String),
    /// Something that the user should look at.
    Warning(String),
}

/// Receives events. Called from several threads.
pub trait Sink: Send + Sync {
    /// Takes one event; must be quick.
    fn event(&self, event: &Event);
}

struct Ignore;
impl Sink for Ignore {
    fn event(&self, _: &Event) {}
}

/// A handle for telling progress; clones talk to the same sink.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Sink>,
    depth: usize,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("depth", &self.depth).finish_non_exhaustive()
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Progress {
    /// Tells everything to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, depth: 0 }
    }

    /// Discards all that it is told.
    pub fn silent() -> Self {
        Self::new(Arc::new(Ignore))
    }

    /// Begins a step. Dropping it without [`Step::finish`] reports it as failed.
    pub fn step(&self, name: impl Into<String>) -> Step {
        let step = Step {
            progress: self.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: name.into(),
            start: Instant::now(),
            finished: false,
        };
        self.sink.event(&Event::Started { id: step.id, depth: self.depth, name: step.name.clone() });
        step
    }

    /// Something worth telling that is no failure.
    pub fn note(&self, text: impl Into<String>) {
        self.sink.event(&Event::Note(text.into()));
    }

    /// Something that the user should look at.
    pub fn warning(&self, text: impl Into<String>) {
        self.sink.event(&Event::Warning(text.into()));
    }
}

/// A running step.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    id: StepId,
    name: String,
    start: Instant,
    finished: bool,
}

impl Step {
    /// A handle whose steps are inside this one.
    pub fn inner(&self) -> Progress {
        Progress { sink: Arc::clone(&self.progress.sink), depth: self.progress.depth + 1 }
    }

    /// Moves the counter to `done`.
    pub fn advance(&self, done: u64, total: Option<u64>, unit: Unit) {
        self.progress.sink.event(&Event::Advanced { id: self.id, done, total, unit });
    }

    /// Tells what the step is busy with, one line.
    pub fn doing(&self, what: impl Into<String>) {
        self.progress.sink.event(&Event::Doing { id: self.id, what: what.into() });
    }

    /// Ends the step well; `outcome` is one line such as "211 packages", or empty.
    pub fn finish(mut self, outcome: impl Into<String>) {
        self.end(outcome.into(), true);
    }

    fn end(&mut self, outcome: String, ok: bool) {
        self.finished = true;
        self.progress.sink.event(&Event::Finished {
            id: self.id,
            depth: self.progress.depth,
            name: self.name.clone(),
            elapsed: self.start.elapsed(),
            outcome,
            ok,
        });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.end(String::new(), false);
        }
    }
}
