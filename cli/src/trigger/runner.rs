//! Works on the jobs of the trigger server as `cdist config` and `cdist install` would, with everything in the job's log.

use std::{
    any::Any,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cdist_core::{
    config::{
        ConfigError, Manifest, Mode,
        log::{Level, LogSink},
        names,
        settings::Settings,
    },
    connector::{ConnectorError, HostKeys, Problem, SshError},
    trigger::{
        job::Kind,
        runner::{End, Ended, Order, Runner},
    },
};
use tokio::{sync::watch, time::timeout};

use crate::{
    config::{
        host_runs::{Base, HostRuns},
        output::Output,
        run_args::RunArgs,
        run_maker::{RunMaker, Target, keep_files_private, manifest_of},
    },
    layout::Layout,
    terminal::{host_table::HostTable, log_lines::LogLines, refusal::Refusal},
    trigger::{checks, job_log::JobLog, report},
};

/// What to do about the host key of a machine that has not told its keys.
const ADVICE: &str = "let the machine tell its host keys when it calls, as a PreOS made with --trigger-url does, or start \
                      the server with --host-key accept-new";

/// How often a job that must not begin yet looks at whether it is still wanted.
const POLL: Duration = Duration::from_millis(200);

/// Which host keys are right for a machine that has not told its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HostKeyPolicy {
    /// Those that the ssh configuration says
    #[default]
    Strict,
    /// The first one of each machine; a new one after each install
    AcceptNew,
}

/// How machines are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TargetName {
    /// By their addresses
    #[default]
    Address,
    /// By the names of their addresses, if these lead back to them
    ReverseDns,
}

/// What holds for all jobs besides options and settings.
#[derive(Clone, Debug)]
pub(crate) struct JobRules {
    /// For machines that have not told their keys.
    pub(crate) host_keys: HostKeyPolicy,
    /// What stands for a machine in ssh, in scripts and in the log.
    pub(crate) target_name: TargetName,
    /// Accepted host keys are kept below it.
    pub(crate) state_dir: PathBuf,
    /// Becomes true when jobs may begin.
    pub(crate) begin: watch::Receiver<bool>,
}

/// Works on jobs, each in a task of its own.
#[derive(Clone, Debug)]
pub(crate) struct TriggerRunner(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    maker: RunMaker,
    rules: JobRules,
}

impl TriggerRunner {
    /// Looks whether jobs can work at all; a manifest from standard input is read now. From then on nobody else can read
    /// what this process makes.
    ///
    /// # Errors
    ///
    /// What every job would fail for: what, where, what to do.
    pub(crate) fn new(
        args: RunArgs,
        settings: Settings,
        layout: Layout,
        mut rules: JobRules,
    ) -> Result<Self, Refusal> {
        keep_files_private();
        let manifest = if args.initial_manifest.as_deref() == Some(Path::new("-")) {
            let mut text = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut text)
                .map_err(|error| Refusal(format!("reading the manifest from standard input: {error}")))?;
            Manifest::Bytes(text)
        } else {
            manifest_of(&args, &settings)
        };
        let mut maker = RunMaker::new(args, settings, layout, manifest);
        maker.is_service = true;
        checks::check(&maker)?;
        rules.state_dir = std::path::absolute(&rules.state_dir)?;
        Ok(Self(Arc::new(Shared { maker, rules })))
    }
}

#[async_trait]
impl Runner for TriggerRunner {
    async fn run(&self, order: Order) -> Ended {
        let log = self.0.log(&order.log);
        let shared = Arc::clone(&self.0);
        let lines = log.clone();
        let task = tokio::spawn(async move { shared.work(order, &lines).await });
        match task.await {
            Ok(ended) => ended,
            Err(error) => {
                let why = error.try_into_panic().map_or_else(|e| e.to_string(), |panic| words_of(&*panic));
                let reason = format!("the program failed inside: {why}");
                log.log(Level::Error, "cdist", &reason);
                report::failed(&reason)
            }
        }
    }
}

impl Shared {
    async fn work(&self, order: Order, log: &LogLines) -> Ended {
        let mut begin = self.rules.begin.clone();
        while !*begin.borrow_and_update() && !order.cancel.is_cancelled() {
            // Nothing tells that the job is cancelled, so that is looked at.
            if let Ok(Err(_)) = timeout(POLL, begin.changed()).await {
                break;
            }
        }
        let host = self.host_of(&order, log).await;
        let accepted = self.rules.state_dir.join("known_hosts").join(order.machine.to_string());
        let host_keys = match (order.ssh_host_keys.is_empty(), self.rules.host_keys) {
            (false, _) => HostKeys::Known(order.ssh_host_keys),
            (true, HostKeyPolicy::Strict) => HostKeys::Configured,
            (true, HostKeyPolicy::AcceptNew) => HostKeys::AcceptNew(accepted.clone()),
        };
        let mode = match order.kind {
            Kind::Install => Mode::Install,
            Kind::Config => Mode::Config,
        };
        // A machine that has booted a PreOS has new keys each time, and so has the system that is installed then.
        if mode == Mode::Install
            && let Err(error) = forget(&accepted)
        {
            let reason = format!("removing the host keys in {}: {error}", accepted.display());
            log.log(Level::Error, &host, &reason);
            return report::failed(&reason);
        }
        let base = match self.maker.out_dir() {
            Ok(Some(dir)) => Base::Kept(dir),
            _ => Base::Emptied(order.work_dir),
        };
        let output = Output::new(self.maker.args(), false, mode, log.clone());
        let cancel = order.cancel.clone();
        let runs = HostRuns {
            maker: &self.maker,
            mode,
            hosts: &[Target { host, host_keys, guard: Some(Arc::new(order.binding)), ..Target::default() }],
            parallel: None,
            base,
            log,
            output: &output,
            cancel: order.cancel,
            advice,
        };
        // As if the program had been asked to end by a signal.
        let (results, _) = runs.work(|| cancel.is_cancelled().then_some(143)).await;
        let Some(result) = results.first() else {
            return report::failed("the program failed inside");
        };
        let ended = report::ended(result);
        if mode == Mode::Install
            && ended.end == End::Succeeded
            && let Err(error) = forget(&accepted)
        {
            let text = format!("removing the host keys in {}: {error}", accepted.display());
            log.log(Level::Warning, &result.host, &text);
        }
        ended
    }

    /// Log lines as the user wants them, for the file at `path`.
    fn log(&self, path: &Path) -> LogLines {
        let (args, settings) = (self.maker.args(), self.maker.settings());
        let mut log = LogLines { table: HostTable::of_log(JobLog::open(path)), ..LogLines::new() };
        args.log.apply_to_log(settings, &mut log);
        log.with_pid = self.maker.jobs.is_some();
        log.with_time = args.with_time(settings);
        log
    }

    async fn host_of(&self, order: &Order, log: &LogLines) -> String {
        if self.rules.target_name == TargetName::Address {
            return order.address.clone();
        }
        let address = order.address.clone();
        // The resolver may wait for a name server.
        let name = tokio::task::spawn_blocking(move || names::confirmed(&address)).await;
        let why = match name {
            Ok(Ok(name)) => return name,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        log.log(Level::Warning, &order.address, &format!("{why}; going on with the address"));
        order.address.clone()
    }
}

/// What else helps if a host key is refused.
fn advice(error: &ConfigError) -> Option<&'static str> {
    match error {
        ConfigError::Entity { source, .. } => advice(source),
        ConfigError::Connector(ConnectorError::Ssh(SshError { problem, on_the_way: false, .. })) => {
            matches!(problem, Problem::HostKeyUnknown | Problem::HostKeyChanged).then_some(ADVICE)
        }
        _ => None,
    }
}

/// From now on any host key is right again.
fn forget(accepted: &Path) -> io::Result<()> {
    match fs::remove_file(accepted) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason is known".to_owned())
}

#[cfg(test)]
mod tests {
    use cdist_core::config::Entity;

    use super::*;

    fn refused(problem: Problem, on_the_way: bool) -> ConfigError {
        let error = SshError { host: "10.0.0.5".into(), problem, on_the_way, said: String::new() };
        let source = ConfigError::Connector(ConnectorError::Ssh(error));
        ConfigError::Entity { entity: Box::new(Entity::default()), source: Box::new(source) }
    }

    #[test]
    fn who_refuses_a_host_key_hears_of_both_ways() {
        for problem in [Problem::HostKeyUnknown, Problem::HostKeyChanged] {
            let text = advice(&refused(problem, false)).unwrap();
            assert!(text.contains("--trigger-url") && text.contains("--host-key accept-new"), "{text}");
            // The key of a jump host is the user's business.
            assert_eq!(advice(&refused(problem, true)), None);
        }
        assert_eq!(advice(&refused(Problem::HostKeyNotTold, false)), None);
        assert_eq!(advice(&ConfigError::Cancelled), None);
    }

    #[tokio::test]
    async fn the_words_of_a_panic_are_kept() {
        let number = 5;
        for (task, words) in [
            (tokio::spawn(async { panic!("plain") }), "plain"),
            (tokio::spawn(async move { panic!("with {number}") }), "with 5"),
        ] {
            let error: tokio::task::JoinError = task.await.unwrap_err();
            assert_eq!(words_of(&*error.into_panic()), words);
        }
    }
}
