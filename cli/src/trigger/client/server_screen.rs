//! `cdist trigger status`.

use cdist_core::trigger::admin::api::view::StatusView;

use super::{screen::Screen, times::took};
use crate::terminal::printable::line;

/// How a server is doing.
pub(super) fn text(status: &StatusView, screen: &Screen) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let health = match &status.complaint {
        None => "jobs are accepted".to_owned(),
        Some(why) => format!("jobs are NOT accepted: {why}"),
    };
    #[allow(clippy::cast_precision_loss, reason = "no server runs for 2^53 seconds")]
    let uptime = took(status.uptime_seconds as f64);
    rows.push(("state", health));
    rows.push((
        "server",
        format!("cdist {}, for {uptime}, since {}", status.version, screen.clock.date(&status.started)),
    ));
    for listener in &status.listeners {
        rows.push(("listens", format!("{} ({})", listener.address, listener.purpose)));
    }
    rows.push(("directory", status.state_dir.display().to_string()));
    rows.push((
        "jobs",
        format!(
            "{} running of {} at a time, {} waiting of {} at most",
            status.running, status.jobs_at_once, status.waiting, status.queue_max
        ),
    ));
    let counts: Vec<String> = status
        .jobs
        .iter()
        .filter(|(state, count)| state.is_final() && **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    if !counts.is_empty() {
        rows.push(("ended", counts.join(", ")));
    }
    rows.push(("machines", format!("{} of {} at most", status.machines, status.machines_max)));
    rows.push((
        "rules",
        format!("install {}, {} retries of a configuration", status.install_policy, status.retries),
    ));
    if status.dry_run {
        rows.push(("dry run", "nothing is changed on machines".to_owned()));
    }
    if let Some(problem) = &status.last_commit_problem {
        let when = problem.at.as_deref().map(|at| screen.clock.ago(at)).unwrap_or_default();
        rows.push((
            "storing",
            format!("failed {} times, last {when}: {}", status.commits_failed, problem.reason),
        ));
    }
    rows.iter().map(|(name, text)| format!("{name:<10} {}\n", line(text))).collect()
}
