//! What the fuzz target calls: any bytes as a connection of a machine, and what must hold of it.
//!
//! Not for programs: it panics when something does not hold.

use std::{cell::RefCell, time::Duration};

use tokio::runtime::Runtime;

use super::{
    dispatcher::Order,
    job::{Job, Kind, State},
    ledger::Rules,
    policy::InstallPolicy,
    server::Access,
    store::JobFilter,
    testing::{Bench, Told},
};

/// How often all jobs are counted.
const COUNT_EVERY: usize = 256;

thread_local! {
    static SERVER: RefCell<Option<Fuzzed>> = const { RefCell::new(None) };
}

/// One server for all inputs. After each of them it has nothing to do.
struct Fuzzed {
    runtime: Runtime,
    bench: Bench,
    inputs: usize,
}

/// A connection that says `data`. A job comes from a request for one, and from nothing else.
pub fn trigger_request(data: &[u8]) {
    SERVER.with_borrow_mut(|slot| slot.get_or_insert_with(Fuzzed::start).connection(data));
}

impl Fuzzed {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let rules = Rules { at_once: 0, policy: InstallPolicy::Always, ..Rules::default() };
        let bench =
            runtime.block_on(async { Bench::new(rules, Access::default(), Told::new(&[], Duration::ZERO)) });
        Self { runtime, bench, inputs: 0 }
    }

    fn connection(&mut self, data: &[u8]) {
        let answer = self.runtime.block_on(self.bench.answer(([10, 0, 0, 7], 4711).into(), data));
        let text = String::from_utf8_lossy(&answer);
        self.inputs += 1;
        if text.contains(" 202 ") {
            let jobs = self.waiting();
            assert!(jobs.len() <= 2, "an install and a configuration of a machine wait, at most");
            for job in jobs {
                assert!(is_asked_for(data, job.kind), "a {} that nobody asked for: {text}", job.kind);
                let cancelled = self.runtime.block_on(self.bench.dispatcher.order(Order::Cancel(job.id)));
                assert!(matches!(cancelled, Ok(Ok(_))), "{cancelled:?}");
            }
        } else if self.inputs.is_multiple_of(COUNT_EVERY) {
            assert_eq!(self.waiting(), [], "a job that nobody was told of");
        }
    }

    fn waiting(&self) -> Vec<Job> {
        let filter = JobFilter { state: Some(State::Queued), limit: 10, ..JobFilter::default() };
        self.runtime.block_on(self.bench.dispatcher.jobs(filter)).expect("a store in memory")
    }
}

/// The bytes have a request for it somewhere: a method, and the prefix as a path or in a URL.
fn is_asked_for(data: &[u8], kind: Kind) -> bool {
    let prefix = format!("/{kind}/");
    let has = |word: &[u8]| data.windows(word.len()).any(|part| part == word);
    has(prefix.as_bytes()) && (has(b"GET ") || has(b"POST "))
}
