//! The log of an attempt: its end in a page, all of it as text.

use hyper::{Response, StatusCode};
use maud::html;

use super::{
    Ask,
    frame::{self, Frame},
    problem::Problem,
    text,
};
use crate::{
    net::http::{self, Body},
    trigger::{
        admin::follow::Follow,
        dispatcher::Dispatcher,
        job::{Job, JobId, JobState},
    },
};

/// The most of a log that a page shows: its end.
pub(super) const SHOWN: u64 = 256 * 1024;

/// An attempt that has begun, or is the first one.
pub(super) struct AttemptLog {
    pub(super) job: Job,
    pub(super) number: u32,
}

impl AttemptLog {
    /// True if more may come.
    fn is_live(&self) -> bool {
        let waits = self.job.state == JobState::Queued && self.job.attempts == 0;
        waits || (self.job.state == JobState::Running && self.job.attempts == self.number)
    }
}

/// The attempt that is asked for; the last one if none is named.
pub(super) async fn attempt(ask: &Ask<'_>, id: JobId) -> Result<AttemptLog, Problem> {
    let job = ask.dispatcher.job(id).await?.ok_or_else(|| Problem::no_job(id))?;
    let last = job.attempts.max(1);
    let number = ask.query.typed("attempt")?.unwrap_or(last);
    if !(1..=last).contains(&number) {
        return Err(Problem::NotFound(format!("Job {id} has no attempt {number}.")));
    }
    Ok(AttemptLog { job, number })
}

pub(super) async fn page(ask: &Ask<'_>, id: JobId) -> Result<Frame, Problem> {
    let attempt = attempt(ask, id).await?;
    let number = attempt.number;
    let log = end_of(ask.dispatcher, &attempt).await;
    let log = log.map_err(|error| Problem::Inside(format!("The log cannot be read: {error}.")))?;
    let is_live = attempt.is_live();
    let whole = format!("/jobs/{id}/log.txt?attempt={number}");
    let events = format!("/jobs/{id}/events?attempt={number}");
    let label = format!("Log of attempt {number}");
    let content = html! {
        h1 { "Job " (id) ": log of attempt " (number) }
        p {
            a href={ "/jobs/" (id) } { "Job " (id) ", " (attempt.job.kind) " of " (text::line(&attempt.job.address, 80)) } ": "
            (frame::badge(attempt.job.state))
        }
        p.quiet { "At most the last 256 KiB are shown; here is " a href=(whole) { "the whole log as text" } "." }
        p id="live" role="status" aria-live="polite" {
            @if is_live { noscript { "This log still grows: reload the page to see more." } }
            @else if log.is_empty() { "There is nothing in this log." }
        }
        pre id="log" tabindex="0" role="log" aria-label=(label) data-events=[is_live.then_some(events)] { (log) }
    };
    Ok(Frame::new(format!("Job {id}, log"), content).section("/jobs"))
}

/// The end of a log as text.
async fn end_of(dispatcher: &Dispatcher, attempt: &AttemptLog) -> std::io::Result<String> {
    let mut follow = Follow::new(dispatcher, &attempt.job, Some(attempt.number), false);
    follow.skip_to_end(SHOWN).await?;
    let mut log = Vec::new();
    // At most SHOWN bytes, for the log may grow as fast as it is read.
    while (log.len() as u64) < SHOWN
        && let Some(piece) = follow.next().await?
    {
        log.extend_from_slice(&piece);
    }
    Ok(text::lines(&String::from_utf8_lossy(&log)))
}

/// The whole log, as it is.
pub(super) async fn text(ask: &Ask<'_>, id: JobId, only_head: bool) -> Result<Response<Body>, Problem> {
    let attempt = attempt(ask, id).await?;
    let follow = Follow::new(ask.dispatcher, &attempt.job, Some(attempt.number), false);
    let body = if only_head { http::full("") } else { http::streamed(follow.pieces(std::future::pending())) };
    Ok(frame::safe(http::response(StatusCode::OK, "text/plain; charset=utf-8", body)))
}
