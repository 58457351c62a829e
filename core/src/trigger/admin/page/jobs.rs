//! Lists of jobs.

use maud::{Markup, html};

use super::{
    Ask,
    frame::{self, Frame},
    problem::Problem,
    text,
};
use crate::trigger::{
    job::{Job, JobKind, JobState, Millis},
    store::{Counts, JobFilter},
};

/// How many jobs a page has.
const SHOWN: usize = 50;
/// The most of a reason that a list shows.
const REASON_MAX: usize = 300;

pub(super) async fn page(ask: &Ask<'_>) -> Result<Frame, Problem> {
    let (dispatcher, query) = (ask.dispatcher, &ask.query);
    let filter = JobFilter {
        state: query.typed("state")?,
        kind: query.typed("kind")?,
        machine: query.typed("machine")?,
        before: query.typed("before")?,
        // One more tells whether there is another page.
        limit: SHOWN + 1,
    };
    let mut jobs = dispatcher.jobs(filter.clone()).await?;
    let has_more = jobs.len() > SHOWN;
    jobs.truncate(SHOWN);
    let counts = dispatcher.counts().await?;
    let content = html! {
        h1 { "Jobs" }
        (choice(&filter, &counts))
        @if jobs.is_empty() {
            p { "There are no such jobs." }
        } @else {
            (table("Jobs, the newest first", &jobs, ask.now))
        }
        @let first = filter.before.is_some().then(|| link(&filter, None));
        @let older = jobs.last().filter(|_| has_more).map(|last| link(&filter, Some(last.id)));
        (pages((first, "Newest"), (older, "Older")))
    };
    Ok(Frame::new("Jobs", content).section("/jobs").refreshed(count_words(&counts)))
}

/// Links to other parts of a list.
pub(super) fn pages(first: (Option<String>, &str), next: (Option<String>, &str)) -> Markup {
    html! {
        @if first.0.is_some() || next.0.is_some() {
            nav.pages aria-label="Pages" {
                @if let (Some(link), name) = first { a href=(link) { (name) } }
                @if let (Some(link), name) = next { a rel="next" href=(link) { (name) } }
            }
        }
    }
}

/// How many there are, in words.
pub(super) fn count_words(counts: &Counts) -> String {
    let words: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    words.join(", ")
}

fn choice(filter: &JobFilter, counts: &Counts) -> Markup {
    html! {
        form.filter method="get" action="/jobs" {
            label { "State "
                select name="state" {
                    option value="" { "all" }
                    @for (state, count) in counts {
                        option value=(state.name()) selected[filter.state == Some(*state)] { (state.name()) " (" (count) ")" }
                    }
                }
            }
            label { "What "
                select name="kind" {
                    option value="" { "all" }
                    @for kind in [JobKind::Install, JobKind::Config] {
                        option value=(kind.name()) selected[filter.kind == Some(kind)] { (kind.name()) }
                    }
                }
            }
            @if let Some(machine) = filter.machine { input type="hidden" name="machine" value=(machine); }
            button type="submit" { "Show" }
            @if let Some(machine) = filter.machine {
                span { "of " a href={ "/machines/" (machine) } { "machine " (machine) } " only" }
            }
        }
    }
}

fn link(filter: &JobFilter, before: Option<i64>) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix("/jobs?".to_owned(), "/jobs?".len());
    let pairs = [
        ("state", filter.state.map(|state| state.to_string())),
        ("kind", filter.kind.map(|kind| kind.to_string())),
        ("machine", filter.machine.map(|machine| machine.to_string())),
        ("before", before.map(|id| id.to_string())),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    query.finish()
}

/// A table of jobs. On a narrow screen each row is a card.
pub(super) fn table(caption: &str, jobs: &[Job], now: Millis) -> Markup {
    html! {
        table.cards {
            caption { (caption) }
            thead { tr {
                @for name in ["Job", "State", "What", "Machine", "Accepted", "Took", "Result"] { th scope="col" { (name) } }
            } }
            tbody {
                @for job in jobs {
                    tr {
                        th scope="row" { a href={ "/jobs/" (job.id) } { "Job " (job.id) } }
                        td { (frame::badge(job.state)) }
                        td data-label="What" { (job.kind) }
                        td data-label="Machine" {
                            a href={ "/machines/" (job.machine) } { (text::line(&job.address, 80)) }
                        }
                        td data-label="Accepted" { (text::ago(job.created, now)) }
                        td data-label="Took" { (took(job, now).unwrap_or_default()) }
                        td.why { (text::line(&why(job, now).unwrap_or_default(), REASON_MAX)) }
                    }
                }
            }
        }
    }
}

/// How long the last attempt took, or has taken so far.
pub(super) fn took(job: &Job, now: Millis) -> Option<String> {
    let started = job.started?;
    let end = match job.state {
        JobState::Running => now,
        _ => job.finished.filter(|end| *end >= started)?,
    };
    Some(text::span(end.saturating_sub(started) / 1000))
}

/// What there is to say about the state of a job, in one line.
pub(super) fn why(job: &Job, now: Millis) -> Option<String> {
    let reason = job.report.as_ref().and_then(|report| report.reason.as_deref());
    match (job.state, &job.report) {
        (JobState::Succeeded, Some(report)) => Some(format!(
            "{}, {} of them with something to do",
            text::many(report.objects, "object"),
            report.changed
        )),
        (JobState::Queued, _) if job.not_before.is_some() => {
            let pause = job.not_before.map_or(0, |at| at.saturating_sub(now) / 1000);
            let reason = reason.unwrap_or("the last attempt has failed");
            Some(format!("tried again in {}; {reason}", text::span(pause)))
        }
        (JobState::Running, _) if job.attempts > 1 => Some(format!("attempt {}", job.attempts)),
        (JobState::Failed, _) => match (reason, &job.note) {
            (Some(reason), Some(note)) => Some(format!("{reason} ({note})")),
            (reason, note) => reason.or(note.as_deref()).map(str::to_owned),
        },
        (JobState::Running, _) => None,
        (_, _) => job.note.clone(),
    }
}
