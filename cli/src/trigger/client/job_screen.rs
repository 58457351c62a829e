//! `cdist trigger show`: which step failed on which machine, and why, on one screen.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use cdist_core::{
    host,
    trigger::{
        admin::api::view::{Action, JobDetails},
        attempt::{AttemptReport, StreamEnd},
        job::JobState,
    },
};

use super::{
    screen::{Screen, wrapped},
    times::took,
};
use crate::terminal::printable::{line, lines};

/// Width of the names at the left.
const NAMES: usize = 11;
/// The most lines of a reason or hint on a terminal.
const SENTENCE_MAX: usize = 4;
/// The least lines that a stream gets; fewer say nothing.
const STREAM_MIN: usize = 2;

/// Everything about a job. `next` makes a command of the words after `cdist trigger`.
pub(super) fn text(job: &JobDetails, screen: &Screen, next: &dyn Fn(&str) -> String) -> String {
    let mut above = Rows::new(screen);
    above.rows.push(screen.cut(&title(job, screen)));
    above.rows.push(screen.cut(&machine(job)));
    let failure = job.report.as_deref().filter(|report| report.reason.is_some());
    above.sentence("note", job.job.note.as_deref());
    match job.job.state {
        JobState::Succeeded => above.sentence("done", job.report.as_deref().map(done).as_deref()),
        // A further attempt waits or runs; the report is that of the last one.
        JobState::Running | JobState::Queued if failure.is_some() => {
            above.sentence("before", Some("the attempt before failed:"));
            above.failure(failure);
        }
        _ => above.failure(failure),
    }
    let mut below = Rows::new(screen);
    below.sentence("hint", failure.and_then(|report| report.hint.as_deref()));
    let log = job.log.as_ref().map(|log| log.display().to_string());
    below.whole("log", log.as_deref());
    below.whole("files", job.report.as_deref().and_then(|report| report.files.as_deref()));
    for (at, words) in commands(job).iter().enumerate() {
        below.whole(if at == 0 { "next" } else { "" }, Some(&next(words)));
    }
    // The prompt wants a line, too.
    let room = screen.size.map(|(_, height)| height.saturating_sub(above.height() + below.height() + 1));
    above.rows.extend(streams(failure, room).iter().map(|row| screen.cut(row)));
    above.rows.extend(below.rows);
    above.rows.iter().map(|row| format!("{}\n", row.trim_end())).collect()
}

fn title(job: &JobDetails, screen: &Screen) -> String {
    let job = &job.job;
    let state = if job.state == JobState::Failed { "FAILED".to_owned() } else { job.state.to_string() };
    let seconds = job.seconds.map(took);
    let after = match (job.state, seconds) {
        (JobState::Running, Some(time)) => format!(" for {time}"),
        (JobState::Queued, _) | (_, None) => String::new(),
        (_, Some(time)) => format!(" after {time}"),
    };
    let attempt = if job.attempts > 0 { format!(", attempt {}", job.attempts) } else { String::new() };
    let clock = &screen.clock;
    let when = match (&job.not_before, &job.finished) {
        (Some(at), _) => format!(", the next one at {}", clock.date(at)),
        (None, Some(at)) => format!(", {}", clock.date(at)),
        (None, None) => {
            let begin = job.started.as_ref().or(job.created.as_ref());
            begin.map(|at| format!(", since {}", clock.date(at))).unwrap_or_default()
        }
    };
    format!("job {}: {} {state}{after}{attempt}{when}", job.id, job.kind)
}

fn machine(job: &JobDetails) -> String {
    let JobDetails { job, facts, machine_record, .. } = job;
    let mut words = vec![line(&job.address)];
    words.extend(job.mac.as_deref().map(line));
    words.extend(facts.serial.as_deref().map(|serial| format!("serial {}", line(serial))));
    match machine_record {
        None => words.push("forgotten since".to_owned()),
        Some(now) if now.address != job.address => words.push(format!("now at {}", line(&now.address))),
        Some(_) => {}
    }
    format!("machine {}: {}", job.machine, words.join(", "))
}

fn done(report: &AttemptReport) -> String {
    let AttemptReport { objects, changed, round_trips, .. } = report;
    let s = |count: u64| if count == 1 { "" } else { "s" };
    let (objects_s, trips_s) = (s(*objects as u64), s(*round_trips));
    format!("{objects} object{objects_s}, {changed} changed, {round_trips} round trip{trips_s}")
}

/// What to try next.
fn commands(job: &JobDetails) -> Vec<String> {
    let id = job.job.id;
    let log = match job.job.state {
        JobState::Running => Some(format!("log -f {id}")),
        _ if job.job.attempts > 0 => Some(format!("log {id}")),
        _ => None,
    };
    let action = |action: &Action| match action {
        Action::Cancel => format!("cancel {id}"),
        Action::Retry => format!("retry {id}"),
    };
    log.into_iter().chain(job.actions.iter().map(action)).collect()
}

/// The last lines that the script has said, and then those of others, for as long as there is room.
fn streams(failure: Option<&AttemptReport>, room: Option<usize>) -> Vec<String> {
    let Some(report) = failure else { return Vec::new() };
    let is_of_script = |stream: &&StreamEnd| match &report.script {
        Some(script) => stream.name.starts_with(script.as_str()),
        None => false,
    };
    let rank = |stream: &&StreamEnd| (!is_of_script(stream), !stream.name.ends_with("stderr"));
    let mut streams: Vec<&StreamEnd> =
        report.streams.iter().rev().filter(|stream| !stream.text.trim().is_empty()).collect();
    streams.sort_by_key(rank);
    let mut rows = Vec::new();
    for stream in streams {
        // An empty line before it, and its name.
        let left = room.map(|room| room.saturating_sub(rows.len() + 3));
        if left.is_some_and(|left| left < STREAM_MIN) {
            break;
        }
        let shown = lines(stream.text.trim_end());
        let lines: Vec<&str> = shown.lines().collect();
        let from = left.map_or(0, |left| lines.len().saturating_sub(left));
        let part = if from > 0 { ", the end" } else { "" };
        rows.push(String::new());
        rows.push(format!("{}{part}:", line(&stream.name)));
        rows.extend(lines.iter().skip(from).map(|said| format!("  {}", said.replace('\t', "    "))));
    }
    if !rows.is_empty() {
        rows.push(String::new());
    }
    rows
}

/// Rows with a name at the left.
struct Rows<'a> {
    rows: Vec<String>,
    screen: &'a Screen,
}

impl<'a> Rows<'a> {
    fn new(screen: &'a Screen) -> Self {
        Self { rows: Vec::new(), screen }
    }

    /// How many lines of the terminal they take.
    fn height(&self) -> usize {
        let width = self.screen.size.map_or(usize::MAX, |(width, _)| width);
        self.rows.iter().map(|row| row.trim_end().chars().count().div_ceil(width).max(1)).sum()
    }

    /// What can go on in the next row.
    fn sentence(&mut self, name: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let text = line(&text.replace('\n', " "));
        let lines = match self.screen.size {
            Some((width, _)) => wrapped(&text, width.saturating_sub(NAMES), SENTENCE_MAX),
            None => vec![text],
        };
        for (at, text) in lines.iter().enumerate() {
            self.row(if at == 0 { name } else { "" }, text);
        }
    }

    /// What is to be copied: it is never cut, but goes on where the terminal lets it.
    fn whole(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.row(name, &line(text));
        }
    }

    fn row(&mut self, name: &str, text: &str) {
        let name = if name.is_empty() { String::new() } else { format!("{name}:") };
        self.rows.push(format!("{name:<NAMES$}{text}"));
    }

    fn failure(&mut self, report: Option<&AttemptReport>) {
        let Some(report) = report else { return };
        self.sentence("reason", report.reason.as_deref());
        self.sentence("worked on", report.what.as_deref());
        let status = match (report.exit_status, report.signal) {
            (Some(code), _) => Some(format!("exit status {code}")),
            (None, Some(signal)) => Some(host::describe(ExitStatus::from_raw(signal & 0x7f))),
            (None, None) => None,
        };
        match (&report.script, status) {
            (Some(script), Some(status)) => self.sentence("script", Some(&format!("{script}, {status}"))),
            (None, status) => self.sentence("status", status.as_deref()),
            (script, None) => self.sentence("script", script.as_deref()),
        }
        let fact = |names: &[&str]| names.iter().find_map(|name| report.facts.get(*name)).cloned();
        let source = fact(&["source", "object source"]).filter(|source| !source.is_empty());
        let source = source.map(|source| match report.facts.get("line") {
            Some(number) => format!("{source}, line {number}"),
            None => source,
        });
        self.whole("source", source.as_deref());
        // That of an object is one of the run's own directories, which are gone or named below.
        let file = fact(&["explorer path"]).or_else(|| fact(&["path"]).filter(|_| source.is_none()));
        self.whole("file", file.as_deref());
        if report.objects > 0 {
            let AttemptReport { objects, done, changed, .. } = report;
            self.row("objects", &format!("{done} of {objects} done, {changed} changed"));
        }
    }
}
