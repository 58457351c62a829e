//! One host's run while it goes on: settings, directories, names, and the stages in their order.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    environment::Variables,
    error::ConfigError,
    log::Level,
    log_server::{LogServer, SOCKET_VARIABLE},
    names::HostNames,
    object::ObjectName,
    run::{Mode, Run},
    scheduler::Scheduler,
    stage::Stage,
};
use crate::{connector::Context, host::Cancel, progress::Step};

/// One host's run. The parts of the engine add their methods to it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) run: Run,
    pub(super) stage: Stage,
    pub(super) names: HostNames,
    /// The environment that local scripts start with.
    pub(super) base: Vec<(OsString, OsString)>,
    /// For the connector.
    pub(super) context: Context,
    /// Helper programs of the connector; not part of what is kept.
    connector_dir: PathBuf,
    log_server: Option<LogServer>,
    /// The target is ours; before that nothing on it may be removed.
    reached: AtomicBool,
    /// Something was run on it.
    pub(super) answered: AtomicBool,
    pub(super) calls: AtomicU64,
    /// Types whose explorers are on the target.
    pub(super) sent_types: tokio::sync::Mutex<HashSet<OsString>>,
    /// Directories above the work directory that a dry run has to remove again.
    pub(super) missing_parents: OnceLock<Vec<PathBuf>>,
}

impl Engine {
    pub(super) fn new(
        run: Run,
        stage: Stage,
        names: HostNames,
        connector_dir: PathBuf,
    ) -> Result<Self, ConfigError> {
        let commands = run
            .connector
            .commands(&connector_dir)
            .map_err(ConfigError::io("preparing the way to the target"))?;
        let mut base = run.environment.clone();
        let own: [(&str, OsString); 3] = [
            ("__global", stage.out.clone().into()),
            ("__remote_exec", commands.exec),
            ("__remote_copy", commands.copy),
        ];
        for (key, value) in own {
            base.retain(|(k, _)| k != key);
            base.push((key.into(), value));
        }
        let log_server = if run.log_server || run.mode == Mode::Install {
            let server = LogServer::start(&run.temporary, Arc::clone(&run.log));
            Some(server.map_err(ConfigError::io("starting the log server"))?)
        } else {
            None
        };
        let context = Context { host: run.host.clone(), env: Vec::new(), cancel: run.cancel.clone() };
        let mut engine = Self {
            run,
            stage,
            names,
            base,
            context,
            connector_dir,
            log_server,
            reached: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            sent_types: tokio::sync::Mutex::default(),
            missing_parents: OnceLock::new(),
        };
        let target = engine.target_variables();
        let mut env = engine.base.clone();
        env.retain(|(k, _)| !target.iter().any(|(name, _)| k == name));
        env.extend(target.into_iter().map(|(k, v)| (k.into(), v)));
        engine.context.env = env;
        Ok(engine)
    }

    /// The stages that touch the target. Returns how many objects there were and which had code.
    pub(super) async fn work(self: Arc<Self>, step: &Step) -> Result<(usize, Vec<ObjectName>), ConfigError> {
        self.run.connector.open(&self.context).await?;
        self.reached.store(true, Ordering::Relaxed);
        if self.run.dry_run {
            self.note_missing_parents().await?;
        }
        step.doing("global explorers");
        Arc::clone(&self).run_global_explorers().await?;
        step.doing("initial manifest");
        self.run_initial_manifest().await?;
        Scheduler::new(Arc::clone(&self)).run(step).await
    }

    /// What must happen after success and failure alike. Nothing of it changes the result.
    pub(super) async fn finish(&self) {
        // The user's wish to stop has been heard; cleaning up is not what it was about.
        let context = Context { cancel: Cancel::default(), ..self.context.clone() };
        if self.run.remove_remote_dir
            && self.reached.load(Ordering::Relaxed)
            && let Err(error) = self.remove_remote_dir(&context).await
        {
            self.log(
                Level::Warning,
                &format!("Cannot remove the work directory on the target: {}", error.report()),
            );
        }
        self.remove_missing_parents(&context).await;
        if let Err(error) = self.run.connector.close(&context).await {
            self.log(Level::Warning, &format!("Cleanup command failed: {error}"));
        }
        if let Err(error) = fs::remove_dir_all(&self.connector_dir) {
            self.log(Level::Debug, &format!("removing {}: {error}", self.connector_dir.display()));
        }
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        self.run.log.log(level, &self.run.host, message);
    }

    /// What scripts have that may start an inner run.
    pub(super) fn log_server_variables(&self) -> Variables {
        self.log_server.iter().map(|server| (SOCKET_VARIABLE, server.path().into())).collect()
    }

    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn remote_calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}
