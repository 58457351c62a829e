//! One job: where it stands, and if it has failed, at what, why, and what to do.

use maud::{Markup, html};

use super::{
    Ask,
    access::Visitor,
    actions::Deed,
    frame::{self, Frame},
    jobs,
    problem::Problem,
    text,
};
use crate::trigger::{
    attempt::AttemptReport,
    job::{Job, JobId, JobKind, JobState, Millis},
};

/// The most of a single value that is shown.
pub(super) const VALUE_MAX: usize = 4096;
/// The most of a stream that is shown; its end tells. The whole of it is in the log.
const STREAM_MAX: usize = 16 * 1024;
/// How many attempts' logs are linked: the last ones.
const ATTEMPTS_MAX: u32 = 20;

pub(super) async fn page(ask: &Ask<'_>, id: JobId) -> Result<Frame, Problem> {
    let now = ask.now;
    let job = ask.dispatcher.job(id).await?.ok_or_else(|| Problem::no_job(id))?;
    let content = html! {
        h1 { "Job " (job.id) ": " (job.kind) " of " (text::line(&job.address, 80)) }
        (Deed::notice(&ask.query))
        p.lead { (frame::badge(job.state)) " " (standing(&job, now)) }
        @if let Some(report) = &job.report { (failure(&job, report)) }
        (buttons(&job, ask.visitor))
        section aria-labelledby="logs" { h2 id="logs" { "Logs" } (logs(&job, ask.visitor)) }
        section aria-labelledby="details" { h2 id="details" { "Details" } (details(&job, now)) }
        section aria-labelledby="shell" { h2 id="shell" { "In a shell" } (shell(&job)) }
        @if let Some(report) = job.report.as_ref().filter(|report| ask.visitor.is_known() && !report.streams.is_empty()) {
            section aria-labelledby="said" {
                h2 id="said" { "What the scripts have said last" }
                @for stream in &report.streams {
                    @let name = text::line(&stream.name, 200);
                    h3 { (name) }
                    pre tabindex="0" role="region" aria-label=(name) { (text::lines(text::tail(&stream.text, STREAM_MAX))) }
                }
            }
        }
    };
    let frame = Frame::new(format!("Job {id}"), content).section("/jobs");
    Ok(if job.state.is_final() { frame } else { frame.refreshed(format!("job {id} is {}", job.state)) })
}

/// The state in a sentence.
fn standing(job: &Job, now: Millis) -> Markup {
    let took = jobs::took(job, now);
    let objects = job.report.as_ref().map(|report| (report.done, report.objects, report.changed));
    html! {
        @match job.state {
            JobState::Queued if job.not_before.is_some() => {
                "The last attempt has failed; it is tried again "
                (text::ago(job.not_before.unwrap_or(now), now)) "."
            }
            JobState::Queued => { "It waits for its turn, since " (text::ago(job.created, now)) "." }
            JobState::Running => { "It is being worked on, for " (took.unwrap_or_default()) "." }
            JobState::Succeeded => {
                "Done"
                @if let Some(took) = took { " in " (took) }
                @if let Some((_, all, changed)) = objects { ": " (text::many(all, "object")) ", " (changed) " of them with something to do" }
                "."
            }
            JobState::Failed => {
                "It has failed"
                @if let Some(took) = took { " after " (took) }
                @if let Some((done, all, _)) = objects.filter(|(_, all, _)| *all > 0) { "; done: " (done) " of " (text::many(all, "object")) }
                "."
            }
            JobState::Interrupted if job.kind == JobKind::Install => {
                "The server ended meanwhile, so the machine may be half installed. It is not installed again by itself."
            }
            JobState::Interrupted => { "The server ended meanwhile." }
            JobState::Cancelled => { "Somebody has stopped it." }
        }
        @if let Some(note) = &job.note { " Note: " (text::line(note, VALUE_MAX)) "." }
    }
}

/// What has failed, at which step, and why.
fn failure(job: &Job, report: &AttemptReport) -> Markup {
    let Some(reason) = &report.reason else { return html! {} };
    let value = |value: &str| text::line(value, VALUE_MAX);
    let rows = [
        ("What", report.what.as_deref().map(value)),
        ("On the machine", Some(value(&job.address))),
        ("Script", report.script.as_deref().map(value)),
        ("Exit status", report.exit_status.map(|status| status.to_string())),
        ("Signal", report.signal.map(|signal| signal.to_string())),
        ("Declared in", source(report)),
    ];
    html! {
        section.failure aria-labelledby="why" {
            h2 id="why" { @if job.state.is_final() { "Why it failed" } @else { "Why the last attempt failed" } }
            p.reason { (value(reason)) }
            @if let Some(hint) = &report.hint { p.hint { strong { "What to try: " } (frame::commands(&value(hint))) } }
            (list(rows))
        }
    }
}

/// Where what has failed is declared: file and line.
fn source(report: &AttemptReport) -> Option<String> {
    let fact = |name| report.facts.get(name).map(|value| text::line(value, VALUE_MAX));
    let source = fact("source").or_else(|| fact("object source"))?;
    Some(fact("line").map_or_else(|| source.clone(), |line| format!("{source}:{line}")))
}

/// Names and values; those without a value are left out.
pub(super) fn list<'a>(rows: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Markup {
    html! {
        dl {
            @for (name, value) in rows {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn buttons(job: &Job, visitor: &Visitor) -> Markup {
    // Those ask before they do it: an install erases disks, and half of one is of no use.
    let asks = job.kind == JobKind::Install;
    let (deed, name, asks) = match job.state {
        JobState::Queued => ("cancel", "Stop this job", false),
        JobState::Running => ("cancel", "Stop this job", asks),
        _ => ("retry", "Do it again", asks),
    };
    let path = format!("/jobs/{}/{deed}", job.id);
    html! {
        div.actions {
            @if asks { a.button href=(path) { (name) "…" } }
            @else if visitor.is_known() {
                form method="post" action=(path) { (frame::secret(visitor)) button type="submit" { (name) } }
            } @else {
                a.button href=(frame::login_link(&format!("/jobs/{}", job.id))) { "Log in to " (lower(name)) }
            }
        }
    }
}

fn lower(name: &str) -> String {
    name.to_lowercase()
}

fn logs(job: &Job, visitor: &Visitor) -> Markup {
    if job.attempts == 0 {
        return html! { p { "It has not begun, so there is no log." } };
    }
    let first = job.attempts.saturating_sub(ATTEMPTS_MAX - 1).max(1);
    html! {
        @if !visitor.is_known() { p.quiet { "What scripts say may hold secrets: logs are for those who have logged in." } }
        ul {
            @for attempt in (first..=job.attempts).rev() {
                li {
                    a href={ "/jobs/" (job.id) "/log?attempt=" (attempt) } { "Log of attempt " (attempt) }
                    @if attempt == job.attempts && job.state == JobState::Running { " (live)" }
                    ", " a href={ "/jobs/" (job.id) "/log.txt?attempt=" (attempt) } { "as text" }
                }
            }
        }
    }
}

fn details(job: &Job, now: Millis) -> Markup {
    let value = |value: &str| Some(text::line(value, VALUE_MAX));
    let some = |value: &Option<String>| value.as_deref().and_then(value_of);
    let report = job.report.as_ref();
    html! {
        dl {
            div { dt { "Machine" } dd { a href={ "/machines/" (job.machine) } { "Machine " (job.machine) } ", " (text::line(&job.address, 80)) } }
            div { dt { "Accepted" } dd { (text::moment(job.created, now)) } }
            @if let Some(at) = job.started { div { dt { "Last attempt began" } dd { (text::moment(at, now)) } } }
            @if let Some(at) = job.finished { div { dt { "Ended" } dd { (text::moment(at, now)) } } }
        }
        (list([
            ("Attempts", Some(job.attempts.to_string())),
            ("Requests that joined it", (job.joined > 0).then(|| job.joined.to_string())),
            ("Path of the request", value(&format!("/{}/{}", job.kind, job.path))),
            ("Hardware address", some(&job.facts.mac)),
            ("UUID", some(&job.facts.uuid)),
            ("Serial number", some(&job.facts.serial)),
            ("ssh host keys", (!job.facts.ssh_host_keys.is_empty()).then(|| job.facts.ssh_host_keys.len().to_string())),
            ("Calls of the machine", report.filter(|report| report.round_trips > 0).map(|report| report.round_trips.to_string())),
            ("Files of the run", report.and_then(|report| report.files.as_deref()).and_then(value_of)),
        ]))
        @if let Some(report) = report.filter(|report| !report.facts.is_empty()) {
            h3 { "What was worked on" }
            (list(report.facts.iter().map(|(name, value)| (name.as_str(), value_of(value)))))
        }
    }
}

fn value_of(value: &str) -> Option<String> {
    Some(text::line(value, VALUE_MAX))
}

fn shell(job: &Job) -> Markup {
    let id = job.id;
    let commands = if job.state.is_final() {
        vec![
            (format!("cdist trigger show {id}"), "everything about it"),
            (format!("cdist trigger log {id}"), "its log"),
            (format!("cdist trigger retry {id}"), "do it again"),
        ]
    } else {
        vec![
            (format!("cdist trigger log {id} -f"), "its log while it grows"),
            (format!("cdist trigger cancel {id}"), "stop it"),
        ]
    };
    html! { dl.commands { @for (command, what) in commands { div { dt { code { (command) } } dd { (what) } } } } }
}
