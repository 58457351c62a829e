//! What tests and fuzzing of the server share: a worker that does as it is told, and a server without a network.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::Handle,
    sync::watch,
};

use super::{
    attempt::{Attempt, AttemptReport, End, Ended, JobWorker},
    dispatcher::{Dispatcher, DispatcherSettings, Thread},
    ledger::Rules,
    machines::server::{Access, Server},
    store::{Memory, Store},
};
use crate::net::connections::Connections;

/// Ends attempts in the order that was given, and then all as a success; remembers what it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Told {
    ends: Mutex<VecDeque<End>>,
    pub(crate) attempts: Mutex<Vec<Attempt>>,
    /// How long an attempt takes; it may be cancelled meanwhile.
    pub(crate) takes: Duration,
}

impl Told {
    pub(crate) fn new(ends: &[End], takes: Duration) -> Arc<Self> {
        Arc::new(Self { ends: Mutex::new(ends.iter().copied().collect()), attempts: Mutex::default(), takes })
    }

    /// What it was asked for.
    #[cfg(test)]
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl JobWorker for Told {
    async fn run(&self, attempt: Attempt) -> Ended {
        let cancel = attempt.cancel.clone();
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        let begin = std::time::Instant::now();
        while begin.elapsed() < self.takes {
            if cancel.is_cancelled() {
                return Ended { end: End::Cancelled, report: AttemptReport::default() };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let end = self.ends.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        Ended { end: end.unwrap_or(End::Succeeded), report: AttemptReport::default() }
    }
}

/// A server without a network.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) server: Arc<Server>,
    /// The server would take its end for an order to stop.
    _stop: watch::Sender<bool>,
    #[cfg_attr(not(test), expect(dead_code, reason = "nobody waits for it when fuzzing"))]
    pub(crate) thread: Option<Thread>,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(rules: Rules, access: Access, worker: Arc<dyn JobWorker>) -> Self {
        Self::with_store(rules, access, worker, Box::new(Memory::default()))
    }

    pub(crate) fn with_store(
        rules: Rules,
        access: Access,
        worker: Arc<dyn JobWorker>,
        store: Box<dyn Store>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = DispatcherSettings {
            rules,
            state_dir: dir.path().to_owned(),
            keep: Duration::from_secs(3600),
            job_time: Duration::from_secs(3600),
        };
        let started = Dispatcher::start(&settings, store, worker, Handle::current());
        let (dispatcher, thread) = started.expect("a store in memory");
        let (stop, stopped) = watch::channel(false);
        let server = Server::answering(dispatcher.clone(), access, Connections::new(64), stopped, true);
        Self { dispatcher, server, _stop: stop, thread: Some(thread), _dir: dir }
    }

    /// All that the server answers to bytes of a peer that then says no more.
    pub(crate) async fn answer(&self, peer: SocketAddr, request: &[u8]) -> Vec<u8> {
        let (mut ours, theirs) = duplex(256 * 1024);
        let server = tokio::spawn(Arc::clone(&self.server).connection(theirs, peer));
        let mut answer = Vec::new();
        // The server may have hung up before it has read all.
        let _ = ours.write_all(request).await;
        let _ = ours.shutdown().await;
        let _ = ours.read_to_end(&mut answer).await;
        let _ = server.await;
        answer
    }

    /// The same as text.
    #[cfg(test)]
    pub(crate) async fn text(&self, peer: &str, request: &str) -> String {
        let peer = peer.parse().expect("an address with a port");
        String::from_utf8_lossy(&self.answer(peer, request.as_bytes()).await).into_owned()
    }
}
