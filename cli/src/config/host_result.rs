//! How the work on one host ended, for the summary, the printed plan and the JSON report.

use std::{path::PathBuf, time::Duration};

use cdist_core::{
    config::{ConfigError, Outcome, Report},
    host,
};

/// How the work on a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// All objects are done.
    Done,
    /// Something failed.
    Failed,
    /// A signal asked to stop, before the host's turn or during it.
    Cancelled,
}

/// One host at the end of the run.
#[derive(Debug)]
pub(crate) struct HostResult {
    /// As the user wrote it.
    pub(crate) host: String,
    /// How it ended.
    pub(crate) state: State,
    /// What was done.
    pub(crate) report: Report,
    /// Why it failed.
    pub(crate) error: Option<ConfigError>,
    /// Why it failed, in one line.
    pub(crate) reason: Option<String>,
    /// What to try next besides what the error says.
    pub(crate) advice: Option<&'static str>,
}

impl HostResult {
    /// A host that was worked on.
    pub(crate) fn new(host: String, outcome: Outcome) -> Self {
        let Outcome { report, error } = outcome;
        let state = match &error {
            None => State::Done,
            Some(error) if error.is_cancelled() => State::Cancelled,
            Some(_) => State::Failed,
        };
        let reason = error.as_ref().map(ConfigError::reason);
        Self { host, state, report, error, reason, advice: None }
    }

    /// A host whose work could not begin.
    pub(crate) fn refused(host: String, reason: String) -> Self {
        let report = Report::default();
        Self { host, state: State::Failed, report, error: None, reason: Some(reason), advice: None }
    }

    /// A host whose turn did not come.
    pub(crate) fn skipped(host: String) -> Self {
        let report = Report::default();
        Self { host, state: State::Cancelled, report, error: None, reason: None, advice: None }
    }

    /// Where the files of a failed run are.
    pub(crate) fn kept(&self) -> Option<&PathBuf> {
        self.report.files.as_ref().filter(|dir| self.state == State::Failed && dir.exists())
    }

    /// What to try next.
    pub(crate) fn hints(&self) -> impl Iterator<Item = String> {
        let hint = self.error.as_ref().and_then(ConfigError::hint);
        hint.into_iter().chain(self.advice.map(str::to_owned))
    }

    /// Everything about the failure, for the log: the report, where the files are, what to try.
    pub(crate) fn explanation(&self) -> Option<String> {
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

/// The lines at the end of a run: first the hosts that are done, then the others with their reasons.
pub(crate) fn summary(results: &[HostResult], dry_run: bool) -> Vec<(State, String)> {
    let width = results.iter().map(|result| result.host.chars().count()).max().unwrap_or(0);
    let (done, others): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.state == State::Done);
    done.into_iter()
        .chain(others)
        .map(|result| (result.state, summary_line(result, width, dry_run)))
        .collect()
}

fn summary_line(result: &HostResult, width: usize, dry_run: bool) -> String {
    let report = &result.report;
    let name = format!("{}:", result.host);
    let seconds = seconds(report.elapsed);
    let text = match result.state {
        State::Done => format!(
            "{}, {} {}, {seconds}, {}",
            plural(report.objects as u64, "object"),
            report.changed.len(),
            if dry_run { "would change" } else { "changed" },
            plural(report.remote_calls, "round trip"),
        ),
        State::Failed => format!(
            "FAILED after {seconds}, {} of {} done: {}",
            report.done,
            plural(report.objects as u64, "object"),
            result.reason.as_deref().unwrap_or("no reason is known"),
        ),
        State::Cancelled => {
            format!("stopped, {} of {} done", report.done, plural(report.objects as u64, "object"))
        }
    };
    format!("{name:<0$} {text}", width + 1)
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(host: &str, objects: usize) -> HostResult {
        let mut report = Report::default();
        (report.objects, report.done, report.remote_calls) = (objects, objects, 7);
        report.elapsed = Duration::from_millis(1260);
        HostResult::new(host.into(), Outcome { report, error: None })
    }

    #[test]
    fn failed_hosts_are_last_and_columns_align() {
        let results = [
            HostResult::refused("b".into(), "no home".into()),
            done("a-long-name", 1),
            HostResult::skipped("c".into()),
            done("d", 2),
        ];
        let lines =
            |dry_run| summary(&results, dry_run).into_iter().map(|(_, line)| line).collect::<Vec<_>>();
        assert_eq!(
            lines(false),
            [
                "a-long-name: 1 object, 0 changed, 1.3 s, 7 round trips",
                "d:           2 objects, 0 changed, 1.3 s, 7 round trips",
                "b:           FAILED after 0.0 s, 0 of 0 objects done: no home",
                "c:           stopped, 0 of 0 objects done",
            ]
        );
        assert!(lines(true).first().is_some_and(|line| line.contains("0 would change")));
    }
}
