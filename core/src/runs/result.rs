//! How the work on one host ended, for the summary, the printed plan and the JSON report.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, path::PathBuf};

use serde::Serialize;

use crate::{
    config::{ConfigError, Outcome, RunReport},
    connector::{ConnectorError, SshError, SshProblem},
    host,
};

/// How the work on a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// All objects are done.
    Done,
    /// Something failed.
    Failed,
    /// A signal asked to stop, before the host's turn or during it.
    Cancelled,
}

/// One host at the end of the run.
#[derive(Debug)]
pub struct HostResult {
    /// As the user wrote it.
    pub host: String,
    /// How it ended.
    pub state: HostState,
    /// What was done.
    pub report: RunReport,
    /// Why it failed.
    pub error: Option<ConfigError>,
    /// Why it failed, in one line.
    pub reason: Option<String>,
    /// What to try next besides what the error says.
    pub advice: Option<&'static str>,
}

impl HostResult {
    /// A host that was worked on.
    pub fn new(host: String, outcome: Outcome) -> Self {
        let Outcome { report, error } = outcome;
        let state = match &error {
            None => HostState::Done,
            Some(error) if error.is_cancelled() => HostState::Cancelled,
            Some(_) => HostState::Failed,
        };
        let reason = error.as_ref().map(ConfigError::reason);
        Self { host, state, report, error, reason, advice: None }
    }

    /// A host whose work could not begin.
    pub fn refused(host: String, reason: String) -> Self {
        let report = RunReport::default();
        Self { host, state: HostState::Failed, report, error: None, reason: Some(reason), advice: None }
    }

    /// A host whose turn did not come.
    pub fn skipped(host: String) -> Self {
        let report = RunReport::default();
        Self { host, state: HostState::Cancelled, report, error: None, reason: None, advice: None }
    }

    /// Where the files of a failed run are.
    pub fn kept(&self) -> Option<&PathBuf> {
        self.report.files.as_ref().filter(|dir| self.state == HostState::Failed && dir.exists())
    }

    /// Where the files of the run are, if they are still there.
    pub fn files(&self) -> Option<String> {
        self.report.files.as_ref().filter(|dir| dir.exists()).map(|dir| dir.display().to_string())
    }

    /// Why the host failed, if it did.
    pub fn failure(&self) -> Option<HostFailure> {
        if self.state != HostState::Failed {
            return None;
        }
        let reason = self.reason.clone().unwrap_or_default();
        let Some(error) = &self.error else {
            return Some(HostFailure { text: reason.clone(), reason, ..HostFailure::default() });
        };
        let entity = error.entity();
        let streams = entity.map(|e| e.streams.as_slice()).unwrap_or_default();
        let cause = match error {
            ConfigError::Entity { source, .. } => source,
            other => other,
        };
        Some(HostFailure {
            reason,
            what: entity.map(|e| e.what.clone()),
            script: error.script(),
            exit_status: error.status().and_then(|s| s.code()),
            signal: error.status().and_then(|s| s.signal()),
            facts: entity.map(|e| e.facts.iter().cloned().collect()).unwrap_or_default(),
            streams: streams
                .iter()
                .map(|(name, text)| NamedStream { name: name.clone(), text: text.clone() })
                .collect(),
            text: cause.report(),
            hint: error.hint(),
        })
    }

    /// True if the host key of the target itself is unknown or has changed; those of jump hosts are the user's business.
    pub fn is_host_key_refused(&self) -> bool {
        let mut error = self.error.as_ref();
        while let Some(ConfigError::Entity { source, .. }) = error {
            error = Some(source);
        }
        matches!(
            error,
            Some(ConfigError::Connector(ConnectorError::Ssh(SshError {
                problem: SshProblem::HostKeyUnknown | SshProblem::HostKeyChanged,
                on_the_way: false,
                ..
            })))
        )
    }

    /// What to try next.
    pub fn hints(&self) -> impl Iterator<Item = String> {
        let hint = self.error.as_ref().and_then(ConfigError::hint);
        hint.into_iter().chain(self.advice.map(str::to_owned))
    }

    /// Everything about the failure, for the log: the report, where the files are, what to try.
    pub fn explanation(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let mut text = error.report().trim_end().to_owned();
        text.push('\n');
        if let (Some(script), Some(status)) = (error.script(), error.status()) {
            text.push_str(&format!("\nfailed script: {script}, {}", host::describe(status)));
        }
        if let Some(dir) = self.kept() {
            text.push_str(&format!("\nfiles of the run: {}", dir.display()));
        }
        for hint in self.hints() {
            text.push_str(&format!("\nhint: {hint}"));
        }
        Some(text)
    }
}

/// Why a host failed. Its fields are those of the JSON report.
#[derive(Debug, Default, Serialize)]
pub struct HostFailure {
    /// In one line.
    pub reason: String,
    /// What was worked on, such as `object '__file/etc/motd'`.
    pub what: Option<String>,
    /// The script that failed, such as `code-remote`.
    pub script: Option<&'static str>,
    /// The exit status of what failed.
    pub exit_status: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Name, path, source, line and type of what was worked on, as far as they are known.
    pub facts: BTreeMap<&'static str, String>,
    /// What its scripts have said.
    pub streams: Vec<NamedStream>,
    /// The cause, without what is in the other fields.
    pub text: String,
    /// What to try next.
    pub hint: Option<String>,
}

/// What a script has said.
#[derive(Debug, Serialize)]
pub struct NamedStream {
    /// Such as `code-remote:stderr`.
    pub name: String,
    /// What it said.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Entity;

    fn refused(problem: SshProblem, on_the_way: bool) -> HostResult {
        let error = SshError { host: "10.0.0.5".into(), problem, on_the_way, said: String::new() };
        let source = ConfigError::Connector(ConnectorError::Ssh(error));
        let error = ConfigError::Entity { entity: Box::new(Entity::default()), source: Box::new(source) };
        HostResult::new("10.0.0.5".into(), Outcome { report: RunReport::default(), error: Some(error) })
    }

    #[test]
    fn only_the_host_key_of_the_target_itself_is_refused() {
        for problem in [SshProblem::HostKeyUnknown, SshProblem::HostKeyChanged] {
            assert!(refused(problem, false).is_host_key_refused());
            assert!(!refused(problem, true).is_host_key_refused());
        }
        assert!(!refused(SshProblem::HostKeyNotTold, false).is_host_key_refused());
        assert!(!HostResult::skipped("web1".into()).is_host_key_refused());
    }
}
