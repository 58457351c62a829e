//! `cdist trigger`: starts the server, and ends it in peace.

use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cdist_core::{
    config::{log::Level, settings::Settings},
    host::{OwnDir, limits},
    token::Token,
    trigger::{
        connections::Connections,
        dispatcher::{self, Dispatcher},
        ledger::Rules,
        listener::{self, ListenError},
        server::{Access, Files, Server},
        socket,
        status::{Status, guard::Guard, view::ListenerView},
        store::{Sqlite, StoreError},
    },
};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    runtime::{Handle, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use crate::{
    failure::Failure,
    layout::Layout,
    logging,
    progress_display::Display,
    refusal::Refusal,
    trigger_args::TriggerArgs,
    trigger_client,
    trigger_runner::{JobRules, TriggerRunner},
};

/// Most connections of administrators and their monitoring.
const STATUS_CONNECTIONS: usize = 512;

/// Runs the server until a signal ends it, or asks a running one.
///
/// # Errors
///
/// It cannot be started: what, where, what to do.
pub(crate) fn run(args: TriggerArgs) -> Result<i32, Failure> {
    if let Some(command) = &args.command {
        return trigger_client::run(command);
    }
    let settings = Settings::load(args.run.config_file.as_deref()).map_err(refused)?;
    let display = Arc::new(Display::new(false, false));
    logging::start(verbosity(args.run.log.level(&settings)), &display);
    let state_dir = state_dir(args.state_dir.as_deref())?;
    let access = access(&args)?;
    let layout =
        Layout::find().map_err(|error| Failure::new(format!("finding the running program: {error}")))?;
    let (may_begin, begin) = watch::channel(false);
    let rules = JobRules {
        host_keys: args.host_key,
        target_name: args.target_name,
        state_dir: state_dir.clone(),
        begin,
    };
    let runner = TriggerRunner::new(args.run.clone(), settings, layout, rules)
        .map_err(|Refusal(text)| Failure::new(text))?;
    let listeners = listeners(&args, args.run.family())?;
    raise_limit_of_files(&args);
    let store = Sqlite::open(&state_dir).map_err(not_stored)?;
    let own = write_down_scripts(&state_dir, args.grace, may_begin)?;
    // Only now: a token is made in the state directory.
    let (guard, page) = page(&args, &state_dir)?;
    let socket = socket::listen(&state_dir).map_err(|error| {
        Failure::new(format!("making the socket in {}: {error}", state_dir.display()))
            .hint("name another directory with --state-dir")
    })?;
    let runtime = runtime_of_tasks()?;
    // Runs read and write files wherever they are; on threads of their own they hold no answer up.
    let jobs = runtime_of_tasks()?;
    let handle = jobs.handle().clone();
    let service =
        Service { args, access, listeners, guard, page, socket, store, runner: Arc::new(runner), state_dir };
    runtime.block_on(service.run(handle)).map_err(not_stored)?;
    // Readers of files and names that are still at it are nobody's any more.
    jobs.shutdown_timeout(Duration::from_secs(1));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(own);
    Ok(0)
}

/// From now on it is written down which scripts run. Those of a killed server have the time that running jobs have when a
/// server ends. Until they are over no job begins: theirs are about to be done again.
fn write_down_scripts(
    state_dir: &Path,
    grace: Duration,
    may_begin: watch::Sender<bool>,
) -> Result<OwnDir, Failure> {
    let failed = |error| Failure::new(format!("writing to {}: {error}", state_dir.display()));
    let own = OwnDir::make(state_dir).map_err(failed)?;
    own.write_down_scripts().map_err(failed)?;
    let place = state_dir.to_owned();
    let wait = move || {
        OwnDir::end_left(&place, grace, |left| {
            tracing::warn!("waiting for the scripts that a killed server left: processes {left:?}");
        });
        // No job waits any more if the server has ended.
        let _ = may_begin.send(true);
    };
    std::thread::Builder::new().name("left scripts".to_owned()).spawn(wait).map_err(failed)?;
    Ok(own)
}

fn runtime_of_tasks() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("starting the runtime: {error}")))
}

/// Everything that a server needs, ready to go.
struct Service {
    args: TriggerArgs,
    access: Access,
    listeners: Vec<TcpListener>,
    guard: Guard,
    page: Option<TcpListener>,
    socket: UnixListener,
    store: Sqlite,
    runner: Arc<TriggerRunner>,
    state_dir: PathBuf,
}

impl Service {
    async fn run(self, jobs: Handle) -> Result<(), StoreError> {
        let settings = settings(&self.args, &self.state_dir);
        let (dispatcher, thread) = Dispatcher::start(&settings, Box::new(self.store), self.runner, jobs)?;
        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(self.args.connections);
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
        // Goes on until the last job has ended: somebody may want to look, or to stop it.
        let (stop_status, stopped) = watch::channel(false);
        if let Some(address) = self.page.as_ref().and_then(|listener| listener.local_addr().ok()) {
            tracing::info!("status page on http://{address}/");
            told.push(ListenerView { purpose: "status".into(), address: address.to_string() });
        }
        let status = Status::new(dispatcher.clone(), self.guard, self.state_dir, told, stopped);
        let administrators = serve_status(&status, self.page, self.socket);
        tell_systemd(&[NotifyState::Ready]);
        let mut ended = pin!(thread.join());
        let early = tokio::select! {
            () = wait_for_signal() => None,
            // Nobody decides any more: better no server than one that refuses everything.
            result = ended.as_mut() => Some(result),
        };
        tell_systemd(&[NotifyState::Stopping]);
        // Nobody may listen any more; it is the same.
        let _ = stop.send(true);
        let result = match early {
            Some(result) => result,
            None => end_jobs(dispatcher, self.args.grace, ended).await,
        };
        machines.join_all().await;
        let _ = stop_status.send(true);
        administrators.join_all().await;
        result
    }
}

/// Lets running jobs end, until the time is over or a second signal comes.
async fn end_jobs(
    dispatcher: Dispatcher,
    grace: Duration,
    ended: impl Future<Output = Result<(), StoreError>>,
) -> Result<(), StoreError> {
    let running = dispatcher.counters().running.load(Ordering::Relaxed);
    if running > 0 {
        tracing::warn!("waiting for {running} running job(s); once more stops them");
    }
    dispatcher.close(grace);
    let impatient = tokio::spawn(async move {
        wait_for_signal().await;
        dispatcher.close(Duration::ZERO);
    });
    let result = ended.await;
    impatient.abort();
    result
}

fn settings(args: &TriggerArgs, state_dir: &Path) -> dispatcher::Settings {
    dispatcher::Settings {
        rules: Rules {
            policy: args.install_policy,
            at_once: args.jobs,
            queue_max: args.queue,
            machines_max: args.machines,
            retries: args.retries,
            dry_run: args.run.dry_run,
        },
        state_dir: state_dir.to_owned(),
        keep: args.keep,
        job_time: args.job_time,
    }
}

/// Serves those who look at jobs and change them: by the page and the API, and by the socket for the command line.
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

/// The rules of the status page, and its listener if there is one.
fn page(args: &TriggerArgs, state_dir: &Path) -> Result<(Guard, Option<TcpListener>), Failure> {
    let address = args.status_listen;
    let token_file = args.status_token_file.as_deref();
    let guard = Guard::new(address.ip(), args.status_name.clone(), token_file, state_dir);
    let guard = guard.map_err(|error| with_hint(&error, error.hint()))?;
    if args.no_status {
        return Ok((guard, None));
    }
    let listener = listener::at(address.ip(), address.port())
        .map_err(|error| Failure::from_error(&error).hint("--status-listen takes another address or port"))?;
    Ok((guard, Some(listener)))
}

fn with_hint(error: &dyn std::error::Error, hint: Option<String>) -> Failure {
    let failure = Failure::from_error(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn access(args: &TriggerArgs) -> Result<Access, Failure> {
    let token = args.token_file.as_deref().map(Token::read).transpose();
    let token = token.map_err(|error| Failure::from_error(&error))?;
    let files = match (&args.directory, &args.source) {
        (Some(dir), Some(source)) => Some(files(dir, source)?),
        _ => None,
    };
    Ok(Access { allow: args.allow.clone(), token, files })
}

/// Looked at now: no machine should be the first to find out.
fn files(dir: &Path, source: &Path) -> Result<Files, Failure> {
    if !dir.is_dir() {
        return Err(Failure::new(format!(
            "{} is no directory; make it, or name another one with -D",
            dir.display()
        )));
    }
    std::fs::File::open(source).and_then(|file| file.metadata()).map_err(|error| {
        Failure::new(format!("reading {}: {error}", source.display())).hint("name another file with --source")
    })?;
    Ok(Files { dir: dir.to_owned(), source: source.to_owned() })
}

/// The listeners that systemd hands over, else those that the options name.
fn listeners(
    args: &TriggerArgs,
    family: cdist_core::config::names::Family,
) -> Result<Vec<TcpListener>, Failure> {
    let mut handed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..handed.len() {
        let taken = handed.take_tcp_listener(at).map_err(|error| {
            Failure::new(format!("the socket {at} that systemd hands over is no TCP listener: {error}"))
        })?;
        listeners.extend(taken);
    }
    for listener in &listeners {
        listener
            .set_nonblocking(true)
            .map_err(|error| Failure::new(format!("preparing a socket of systemd: {error}")))?;
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    let port = args.http_port;
    let made: Result<Vec<_>, ListenError> = if args.listen.is_empty() {
        listener::everywhere(port, family).map(|listener| vec![listener])
    } else {
        args.listen.iter().map(|address| listener::at(*address, port)).collect()
    };
    made.map_err(|error| Failure::from_error(&error).hint(error.hint()))
}

/// The state directory: the one that is named, else `~/.cdist/trigger`.
pub(crate) fn state_dir(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => dir.to_owned(),
        None => dirs::home_dir()
            .map(|home| home.join(".cdist/trigger"))
            .ok_or_else(|| Failure::new("there is no home directory").hint("name one with --state-dir"))?,
    };
    std::path::absolute(&dir)
        .map_err(|error| Failure::new(format!("finding the directory {}: {error}", dir.display())))
}

/// Each connection and each run needs some files.
fn raise_limit_of_files(args: &TriggerArgs) {
    let wanted = (args.connections + 64 * args.jobs + 1024) as u64;
    if let Some(may_be_open) = limits::raise_open_files().filter(|may| *may < wanted) {
        tracing::warn!(
            "only {may_be_open} files may be open, fewer than {wanted} for --connections and -j; raise LimitNOFILE"
        );
    }
}

fn verbosity(level: Level) -> i32 {
    match level {
        Level::Off => -1,
        Level::Error | Level::Warning => 0,
        Level::Info => 1,
        Level::Verbose | Level::Debug => 2,
        Level::Trace => 4,
    }
}

async fn wait_for_signal() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("telling systemd: {error}");
    }
}

fn refused<E: std::error::Error>(error: E) -> Failure {
    Failure::from_error(&error)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn not_stored(error: StoreError) -> Failure {
    with_hint(&error, error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(state_dir(Some(Path::new("x"))).unwrap(), here.join("x"));
    }

    #[test]
    fn a_taken_port_is_said() {
        let first = listener::at([127, 0, 0, 1].into(), 0).unwrap();
        let address: std::net::SocketAddr = first.local_addr().unwrap();
        let error = listener::at(address.ip(), address.port()).unwrap_err();
        assert_eq!(error.to_string(), format!("listening on {address}"));
        assert!(error.hint().contains("ss -ltnp"));
    }
}
