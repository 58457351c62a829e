//! `cdist trigger`: starts the server, and ends it after its jobs.

use std::{
    io::{self, Read},
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cdist_core::{
    config::{Manifest, log::Level, settings::Settings},
    host::limits,
    net::listener::{self, ListenError},
    runs::{RunMaker, RunOptions, keep_files_private},
    token::Token,
    trigger::{
        admin::{api::guard::AccessGuard, socket},
        dispatcher,
        ledger::Rules,
        machines::server::{Access, Files},
        service::{self, Manager, Service},
        store::Sqlite,
        worker::{EngineWorker, JobRules},
    },
};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    args::TriggerArgs,
    client,
    job_lines::JobLines,
    values::{not_stored, state_dir, with_hint},
};
use crate::{
    config::run_args::RunArgs,
    layout::Layout,
    terminal::{failure::Failure, logging, progress::Display},
};

/// Runs the server until a signal ends it, or asks a running one.
///
/// # Errors
///
/// The server cannot be started, or a command is refused: what, where, what to do.
pub(crate) fn run(args: &TriggerArgs) -> Result<i32, Failure> {
    if let Some(command) = &args.command {
        return client::run(command);
    }
    let settings = Settings::load(args.run.config_file.as_deref()).map_err(refused)?;
    let display = Arc::new(Display::new(false, false));
    logging::start(verbosity(args.run.log.level(&settings)), &display);
    let state_dir = state_dir(args.state_dir.as_deref())?;
    let access = access(args)?;
    let layout =
        Layout::find().map_err(|error| Failure::new(format!("finding the running program: {error}")))?;
    let (may_begin, begin) = watch::channel(false);
    let rules = JobRules {
        host_keys: args.host_key.into(),
        target_name: args.target_name.into(),
        state_dir: state_dir.clone(),
        begin,
    };
    let options = RunOptions::from(&args.run);
    let family = options.family;
    let worker = worker(&args.run, options, settings, &layout, rules)?;
    let listeners = listeners(args, family)?;
    raise_limit_of_files(args);
    let store = Sqlite::open(&state_dir).map_err(not_stored)?;
    let own = service::note_scripts(&state_dir, args.grace, may_begin)
        .map_err(|error| Failure::new(format!("writing to {}: {error}", state_dir.display())))?;
    // Only now: a token is made in the state directory.
    let (guard, page) = page(args, &state_dir)?;
    let socket = socket::listen(&state_dir).map_err(|error| {
        Failure::new(format!("making the socket in {}: {error}", state_dir.display()))
            .hint("name another directory with --state-dir")
    })?;
    let runtime = runtime_of_tasks()?;
    // Runs read and write files wherever they are; on threads of their own they hold no answer up.
    let jobs = runtime_of_tasks()?;
    let handle = jobs.handle().clone();
    let service = Service {
        settings: server_settings(args, &state_dir),
        connections: args.connections,
        grace: args.grace,
        access,
        listeners,
        guard,
        page,
        socket,
        store,
        worker: Arc::new(worker),
    };
    runtime.block_on(service.run(handle, Arc::new(Systemd))).map_err(not_stored)?;
    // What still reads files and names then is waited for no longer.
    jobs.shutdown_timeout(Duration::from_secs(1));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(own);
    Ok(0)
}

/// Who works on jobs. A manifest from standard input is read now.
fn worker(
    args: &RunArgs,
    options: RunOptions,
    settings: Settings,
    layout: &Layout,
    rules: JobRules,
) -> Result<EngineWorker, Failure> {
    keep_files_private();
    let manifest = if options.initial_manifest.as_deref() == Some(Path::new("-")) {
        let mut text = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut text)
            .map_err(|error| Failure::new(format!("reading the manifest from standard input: {error}")))?;
        Manifest::Bytes(text)
    } else {
        options.manifest(&settings)
    };
    let lines = JobLines::new(args.clone(), settings.clone());
    let maker = RunMaker::new(options, settings, layout.paths(), manifest);
    EngineWorker::new(maker, rules, Box::new(lines)).map_err(refused)
}

fn runtime_of_tasks() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("starting the runtime: {error}")))
}

fn server_settings(args: &TriggerArgs, state_dir: &Path) -> dispatcher::DispatcherSettings {
    dispatcher::DispatcherSettings {
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

/// The rules of the status page, and its listener if there is one.
fn page(args: &TriggerArgs, state_dir: &Path) -> Result<(AccessGuard, Option<TcpListener>), Failure> {
    let address = args.status_listen;
    let token_file = args.status_token_file.as_deref();
    let guard = AccessGuard::new(address.ip(), args.status_name.clone(), token_file, state_dir);
    let guard = guard.map_err(|error| with_hint(&error, error.hint()))?;
    if args.no_status {
        return Ok((guard, None));
    }
    let listener = listener::at(address.ip(), address.port())
        .map_err(|error| Failure::from_error(&error).hint("--status-listen takes another address or port"))?;
    Ok((guard, Some(listener)))
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

/// Checked at the start, or the first machine that calls would find it out.
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

/// systemd, if it has started this process, and signals.
struct Systemd;

#[async_trait]
impl Manager for Systemd {
    async fn wait_for_stop(&self) {
        wait_for_signal().await;
    }

    fn ready(&self) {
        tell_systemd(NotifyState::Ready);
    }

    fn stopping(&self) {
        tell_systemd(NotifyState::Stopping);
    }
}

fn tell_systemd(state: NotifyState<'_>) {
    // Without systemd this does nothing.
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!("telling systemd: {error}");
    }
}

fn refused<E: std::error::Error>(error: E) -> Failure {
    Failure::from_error(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said() {
        let first = listener::at([127, 0, 0, 1].into(), 0).unwrap();
        let address: std::net::SocketAddr = first.local_addr().unwrap();
        let error = listener::at(address.ip(), address.port()).unwrap_err();
        assert_eq!(error.to_string(), format!("listening on {address}"));
        assert!(error.hint().contains("ss -ltnp"));
    }
}
