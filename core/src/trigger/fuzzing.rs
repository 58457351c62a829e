//! What the fuzz target calls: any bytes as a connection of a machine, and what must hold of it.
//!
//! Not for programs: it panics when something does not hold.

use std::{cell::RefCell, time::Duration};

use tokio::runtime::Runtime;

use super::{
    job::{Job, JobId, JobKind},
    ledger::Rules,
    machines::server::Access,
    policy::InstallPolicy,
    store::JobFilter,
    testing::{Bench, Told},
};

/// How often jobs are looked for that no answer tells of.
const LOOK_EVERY: usize = 256;

thread_local! {
    static SERVER: RefCell<Option<Fuzzed>> = const { RefCell::new(None) };
}

/// How many inputs one server serves: it keeps what it was told in memory.
const SERVES: usize = 100_000;

/// One server for many inputs.
struct Fuzzed {
    runtime: Runtime,
    bench: Bench,
    inputs: usize,
    newest: JobId,
}

/// A connection that says `data`. A job comes from a request for one, and from nothing else.
pub fn trigger_request(data: &[u8]) {
    SERVER.with_borrow_mut(|slot| {
        slot.take_if(|server| server.inputs >= SERVES);
        slot.get_or_insert_with(Fuzzed::start).connection(data);
    });
}

impl Fuzzed {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Jobs end at once, so that a call that waits for one does not wait long.
        let rules = Rules { policy: InstallPolicy::Always, ..Rules::default() };
        let bench =
            runtime.block_on(async { Bench::new(rules, Access::default(), Told::new(&[], Duration::ZERO)) });
        Self { runtime, bench, inputs: 0, newest: 0 }
    }

    fn connection(&mut self, data: &[u8]) {
        let answer = self.runtime.block_on(self.bench.answer(([10, 0, 0, 7], 4711).into(), data));
        let text = String::from_utf8_lossy(&answer);
        self.inputs += 1;
        let told = [" 202 ", " 200 ", " 599 "].iter().any(|status| text.contains(status));
        if !told && !self.inputs.is_multiple_of(LOOK_EVERY) {
            return;
        }
        for job in self.new_jobs() {
            assert!(told, "job {} is nobody's", job.id);
            assert!(is_asked_for(data, job.kind), "a {} that nobody asked for: {text}", job.kind);
            self.newest = self.newest.max(job.id);
        }
    }

    fn new_jobs(&self) -> Vec<Job> {
        let filter = JobFilter { limit: 100, ..JobFilter::default() };
        let jobs = self.runtime.block_on(self.bench.dispatcher.jobs(filter)).expect("a store in memory");
        jobs.into_iter().take_while(|job| job.id > self.newest).collect()
    }
}

/// The bytes have a request for it somewhere: a method, and the prefix as a path or in a URL.
fn is_asked_for(data: &[u8], kind: JobKind) -> bool {
    let prefix = format!("/{kind}/");
    let has = |word: &[u8]| data.windows(word.len()).any(|part| part == word);
    has(prefix.as_bytes()) && (has(b"GET ") || has(b"POST "))
}
