//! The server as a whole: the dispatcher, what listens, and an end that waits for running jobs.

use std::{
    io,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::watch, task::JoinSet};

use super::{
    admin::api::{Status, guard::AccessGuard, view::ListenerView},
    attempt::JobWorker,
    dispatcher::{Dispatcher, DispatcherSettings},
    machines::server::{Access, Server},
    store::{Sqlite, StoreError},
};
use crate::{host::OwnDir, net::connections::Connections};

/// Most connections of administrators and their monitoring.
const STATUS_CONNECTIONS: usize = 512;

/// The service manager: it asks the server to stop, and hears how far it is.
#[async_trait]
pub trait Manager: Send + Sync {
    /// Returns when the server is asked to stop. Called again for the next time.
    async fn wait_for_stop(&self);

    /// All listeners are served.
    fn ready(&self);

    /// The server is about to end.
    fn stopping(&self);
}

/// Everything that a server needs, ready to go.
#[derive(Debug)]
pub struct Service {
    /// The rules, and where everything is kept.
    pub settings: DispatcherSettings,
    /// Most connections of machines.
    pub connections: usize,
    /// How long running jobs may go on when the server ends.
    pub grace: Duration,
    /// Which machines are served, and what they get.
    pub access: Access,
    /// Where machines call.
    pub listeners: Vec<TcpListener>,
    /// Who may use the status page.
    pub guard: AccessGuard,
    /// Where the status page and the API listen, if they do.
    pub page: Option<TcpListener>,
    /// Where the command line asks.
    pub socket: UnixListener,
    /// Keeps machines and jobs.
    pub store: Sqlite,
    /// Does the work of jobs.
    pub worker: Arc<dyn JobWorker>,
}

impl Service {
    /// Serves until `manager` asks it to stop, and running jobs have ended. `jobs` is the runtime in which they run.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    pub async fn run(self, jobs: Handle, manager: Arc<dyn Manager>) -> Result<(), StoreError> {
        let (dispatcher, thread) =
            Dispatcher::start(&self.settings, Box::new(self.store), self.worker, jobs)?;
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(self.connections);
        let server = Server::new(dispatcher.clone(), self.access, connections, stopped);
        let mut machines = JoinSet::new();
        let mut told: Vec<ListenerView> = Vec::new();
        for listener in self.listeners {
            let address = listener.local_addr().map_or_else(|_| "a socket".to_owned(), |a| a.to_string());
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!("listening on {address}: {error}");
                    continue;
                }
            };
            tracing::info!("listening on {address}");
            told.push(ListenerView { purpose: "machines".into(), address });
            machines.spawn(Arc::clone(&server).serve(listener));
        }
        // Goes on until the last job has ended, to show it and to stop it.
        let (stop_status, stopped) = watch::channel(false);
        if let Some(address) = self.page.as_ref().and_then(|listener| listener.local_addr().ok()) {
            tracing::info!("status page on http://{address}/");
            told.push(ListenerView { purpose: "status".into(), address: address.to_string() });
        }
        let status = Status::new(dispatcher.clone(), self.guard, self.settings.state_dir, told, stopped);
        let administrators = serve_status(&status, self.page, self.socket);
        manager.ready();
        let mut ended = pin!(thread.join());
        let early = tokio::select! {
            () = manager.wait_for_stop() => None,
            // Without the dispatcher everything would be refused: better no server than that.
            result = ended.as_mut() => Some(result),
        };
        manager.stopping();
        // An error says that no listener is left.
        let _ = stop.send(true);
        let result = match early {
            Some(result) => result,
            None => end_jobs(dispatcher, self.grace, ended, manager).await,
        };
        machines.join_all().await;
        let _ = stop_status.send(true);
        administrators.join_all().await;
        result
    }
}

/// Lets running jobs end, until the time is over or the server is asked to stop once more.
async fn end_jobs(
    dispatcher: Dispatcher,
    grace: Duration,
    ended: impl Future<Output = Result<(), StoreError>>,
    manager: Arc<dyn Manager>,
) -> Result<(), StoreError> {
    let running = dispatcher.counters().running.load(Ordering::Relaxed);
    if running > 0 {
        tracing::warn!("waiting for {running} running job(s); once more stops them");
    }
    dispatcher.close(grace);
    let impatient = tokio::spawn(async move {
        manager.wait_for_stop().await;
        dispatcher.close(Duration::ZERO);
    });
    let result = ended.await;
    impatient.abort();
    result
}

/// Serves administrators: by the page and the API, and by the socket for the command line.
fn serve_status(status: &Arc<Status>, page: Option<TcpListener>, socket: UnixListener) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some(page) = page {
        let is_local = page.local_addr().is_ok_and(|address| address.ip().is_loopback());
        let connections = if is_local { Connections::of_users } else { Connections::new }(STATUS_CONNECTIONS);
        match tokio::net::TcpListener::from_std(page) {
            Ok(listener) => drop(tasks.spawn(Arc::clone(status).serve_tcp(listener, connections))),
            Err(error) => tracing::error!("serving the status page: {error}"),
        }
    }
    match tokio::net::UnixListener::from_std(socket) {
        Ok(socket) => drop(tasks.spawn(Arc::clone(status).serve_unix(socket))),
        Err(error) => tracing::error!("serving the socket: {error}"),
    }
    tasks
}

/// From now on the scripts that run are noted in a directory below `state_dir`, until the value is dropped. Scripts of a killed
/// server may go on for `grace`; only when they have ended `may_begin` becomes true, because their jobs are done again.
///
/// # Errors
///
/// The state directory cannot be written to, or there are no more threads.
pub fn note_scripts(state_dir: &Path, grace: Duration, may_begin: watch::Sender<bool>) -> io::Result<OwnDir> {
    let own = OwnDir::make(state_dir)?;
    own.write_down_scripts()?;
    let place = state_dir.to_owned();
    let wait = move || {
        OwnDir::end_left(&place, grace, |left| {
            tracing::warn!("waiting for the scripts that a killed server left: processes {left:?}");
        });
        // An error says that the server has ended, and no job waits.
        let _ = may_begin.send(true);
    };
    thread::Builder::new().name("left scripts".to_owned()).spawn(wait)?;
    Ok(own)
}
