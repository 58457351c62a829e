//! One host's run while it goes on: settings, directories, names. The stages work on it.

use std::{
    collections::HashSet,
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    error::ConfigError,
    log::Level,
    log_server::{LogServer, SOCKET_VARIABLE},
    names::HostNames,
    profile::{Open, SpanKind},
    request::{Mode, Run},
    stage::Stage,
    variables::Variables,
};
use crate::connector::RunContext;

/// One host's run. The parts of the engine add their methods to it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) run: Run,
    pub(super) stage: Stage,
    pub(super) names: HostNames,
    /// The environment that local scripts start with.
    pub(super) base: Vec<(OsString, OsString)>,
    /// For the connector.
    pub(super) context: RunContext,
    /// Helper programs of the connector; not part of what is kept.
    pub(super) connector_dir: PathBuf,
    log_server: Option<LogServer>,
    /// The target is ours; before that nothing on it may be removed.
    pub(super) reached: AtomicBool,
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
        let context = RunContext { host: run.host.clone(), env: Vec::new(), cancel: run.cancel.clone() };
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

    /// Begins a span of the profile.
    pub(super) fn span(&self, kind: SpanKind, name: impl FnOnce() -> String) -> Open {
        self.run.profile.begin(kind, &self.run.host, name)
    }

    pub(super) fn log(&self, level: Level, message: &str) {
        self.run.log.log(level, &self.run.host, message);
    }

    /// What all scripts know of the target.
    pub(super) fn target_variables(&self) -> Variables {
        vec![
            ("__target_host", self.run.host.clone().into()),
            ("__target_hostname", self.names.hostname.clone().into()),
            ("__target_fqdn", self.names.fqdn.clone().into()),
        ]
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
