//! `cdist trigger jobs`.

use cdist_core::trigger::{
    admin::api::view::{JobList, JobView},
    job::{JobKind, JobState},
};

use super::{screen::Screen, table::Table, times::took};

/// What to ask for.
pub(super) fn path(state: Option<JobState>, kind: Option<JobKind>, host: Option<&str>, limit: u32) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    if let Some(state) = state {
        query.append_pair("state", state.name());
    }
    if let Some(kind) = kind {
        query.append_pair("kind", kind.name());
    }
    if let Some(host) = host {
        query.append_pair("machine", host);
    }
    format!("/jobs?{}", query.finish())
}

/// The jobs, one in each line.
pub(super) fn table(list: &JobList, screen: &Screen) -> String {
    let mut table = Table::new(&["ID", "KIND", "STATE", "ADDRESS", "MAC", "WHEN", "TOOK", "TRIES", "REASON"]);
    for job in &list.jobs {
        let when = job.finished.as_ref().or(job.started.as_ref()).or(job.created.as_ref());
        table.row([
            job.id.to_string(),
            job.kind.to_string(),
            job.state.to_string(),
            job.address.clone(),
            job.mac.clone().unwrap_or_default(),
            when.map(|when| screen.clock.ago(when)).unwrap_or_default(),
            job.seconds.map(took).unwrap_or_default(),
            job.attempts.to_string(),
            why(job),
        ]);
    }
    table.text(screen.size.map(|(width, _)| width), &["MAC", "TRIES", "TOOK"], 24)
}

/// Why a job is where it is, as far as that is not plain.
fn why(job: &JobView) -> String {
    let reason = job.reason.clone().filter(|_| job.state != JobState::Succeeded);
    match (job.state, reason, &job.note) {
        // The reason of the last attempt is not why the job was cancelled.
        (JobState::Interrupted | JobState::Cancelled, _, Some(note)) => note.clone(),
        (_, Some(reason), _) => reason,
        (_, None, note) => note.clone().filter(|_| job.state != JobState::Succeeded).unwrap_or_default(),
    }
}
