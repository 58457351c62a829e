//! How progress looks: live lines on a terminal, plain lines on a pipe, one JSON object a line for machines.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cdist_core::progress::{Event, Sink, StepId, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::terminal::printable;

/// The form in which progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Quiet,
    /// One line that is rewritten for each running step.
    Live,
    /// A line when a step begins and one when it ends.
    Plain,
    /// One JSON object a line, on standard error.
    Json,
}

/// A finished step of the first level, for the summary.
struct Done {
    name: String,
    elapsed: Duration,
    outcome: String,
}

#[derive(Default)]
struct State {
    bars: BTreeMap<StepId, ProgressBar>,
    done: Vec<Done>,
}

/// Shows events and log lines without mixing them up.
pub(crate) struct Display {
    form: Form,
    multi: MultiProgress,
    state: Mutex<State>,
}

impl Display {
    /// Chooses the form: JSON if asked for, nothing if quiet, else what standard error is.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let form = match (json, quiet, std::io::stderr().is_terminal()) {
            (true, ..) => Form::Json,
            (_, true, _) => Form::Quiet,
            (.., true) => Form::Live,
            (.., false) => Form::Plain,
        };
        Self { form, multi: MultiProgress::new(), state: Mutex::default() }
    }

    /// Prints one line on standard error, above the live lines.
    pub(crate) fn line(&self, text: &str) {
        self.multi.suspend(|| {
            let mut stderr = std::io::stderr().lock();
            // If standard error cannot be written to, there is no place left for a message.
            let _ = if self.form == Form::Json {
                let value = json!({ "event": "log", "text": text });
                writeln!(stderr, "{}", printable::json(&value.to_string()))
            } else {
                writeln!(stderr, "{}", printable::lines(text))
            };
        });
    }

    /// Prints the steps with their seconds and outcomes; nothing when there were none.
    pub(crate) fn summary(&self) {
        let state = self.lock();
        if state.done.is_empty() || matches!(self.form, Form::Quiet | Form::Json) {
            return;
        }
        let width = state.done.iter().map(|step| step.name.len()).max().unwrap_or(0).max(5);
        let mut text = String::new();
        for step in &state.done {
            let seconds = step.elapsed.as_secs_f64();
            text.push_str(&format!("  {:width$} {seconds:8.1} s  {}\n", step.name, step.outcome));
        }
        let total: Duration = state.done.iter().map(|step| step.elapsed).sum();
        text.push_str(&format!("  {:width$} {:8.1} s", "total", total.as_secs_f64()));
        drop(state);
        self.line(&text);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, event: &Event) {
        let mut state = self.lock();
        match event {
            Event::Started { id, depth, name } => {
                let bar = self.multi.add(ProgressBar::no_length());
                let template = format!("{}{{prefix}}  {{msg}} {{elapsed}}", "  ".repeat(*depth));
                if let Ok(style) = ProgressStyle::with_template(&template) {
                    bar.set_style(style);
                }
                bar.set_prefix(printable::line(name));
                bar.enable_steady_tick(Duration::from_millis(250));
                state.bars.insert(*id, bar);
            }
            Event::Advanced { id, done, total, unit } => {
                if let Some(bar) = state.bars.get(id) {
                    let rate = match (unit, bar.elapsed().as_secs_f64()) {
                        (Unit::Bytes, seconds) if seconds > 0.5 => {
                            format!(", {}/s", bytes((*done as f64 / seconds) as u64))
                        }
                        _ => String::new(),
                    };
                    bar.set_message(format!("{}{rate}", counter(*done, *total, *unit)));
                }
            }
            Event::Doing { id, what } => {
                if let Some(bar) = state.bars.get(id) {
                    bar.set_message(printable::line(&what.chars().take(60).collect::<String>()));
                }
            }
            Event::Finished { id, .. } => {
                if let Some(bar) = state.bars.remove(id) {
                    bar.finish_and_clear();
                    self.multi.remove(&bar);
                }
            }
            Event::Note(_) | Event::Warning(_) => {}
        }
    }

    fn plain(&self, event: &Event) {
        match event {
            Event::Started { depth, name, .. } if self.form == Form::Plain => {
                self.line(&format!("{}{name} …", "  ".repeat(*depth)));
            }
            Event::Finished { depth, name, elapsed, outcome, ok, .. } => {
                let end = match (ok, outcome.is_empty()) {
                    (false, _) => "failed".to_owned(),
                    (true, true) => "done".to_owned(),
                    (true, false) => outcome.clone(),
                };
                self.line(&format!("{}{name}: {end} ({:.1} s)", "  ".repeat(*depth), elapsed.as_secs_f64()));
            }
            Event::Note(text) => self.line(&format!("note: {text}")),
            Event::Warning(text) => self.line(&format!("warning: {text}")),
            _ => {}
        }
    }
}

impl Sink for Display {
    fn event(&self, event: &Event) {
        if let Event::Finished { depth: 0, name, elapsed, outcome, ok: true, .. } = event {
            let done = Done { name: name.clone(), elapsed: *elapsed, outcome: outcome.clone() };
            self.lock().done.push(done);
        }
        match self.form {
            Form::Quiet => {
                if let Event::Warning(text) = event {
                    self.line(&format!("warning: {text}"));
                }
            }
            Form::Live => {
                self.live(event);
                self.plain(event);
            }
            Form::Plain => self.plain(event),
            Form::Json => {
                let text = printable::json(&as_json(event).to_string());
                // If standard error cannot be written to, there is no place left for a message.
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }
}

fn as_json(event: &Event) -> serde_json::Value {
    match event {
        Event::Started { id, depth, name } => {
            json!({ "event": "started", "id": id, "depth": depth, "step": name })
        }
        Event::Advanced { id, done, total, unit } => {
            json!({ "event": "advanced", "id": id, "done": done, "total": total, "unit": unit_name(*unit) })
        }
        Event::Doing { id, what } => json!({ "event": "doing", "id": id, "what": what }),
        Event::Finished { id, depth, name, elapsed, outcome, ok } => json!({
            "event": "finished", "id": id, "depth": depth, "step": name,
            "seconds": elapsed.as_secs_f64(), "outcome": outcome, "ok": ok,
        }),
        Event::Note(text) => json!({ "event": "note", "text": text }),
        Event::Warning(text) => json!({ "event": "warning", "text": text }),
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Packages => "packages",
        Unit::Objects => "objects",
        Unit::Files => "files",
        Unit::Items => "items",
    }
}

fn counter(done: u64, total: Option<u64>, unit: Unit) -> String {
    let count = |value: u64| if unit == Unit::Bytes { bytes(value) } else { value.to_string() };
    let label = if unit == Unit::Bytes { String::new() } else { format!(" {}", unit_name(unit)) };
    match total {
        Some(total) => format!("{} of {}{label}", count(done), count(total)),
        None => format!("{}{label}", count(done)),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.0} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_units() {
        assert_eq!(counter(1_500_000, Some(3_000_000_000), Unit::Bytes), "1.5 MB of 3.00 GB");
        assert_eq!(counter(7, None, Unit::Packages), "7 packages");
    }

    #[test]
    fn events_are_json_objects() {
        let event = Event::Doing { id: 3, what: "a \"b\"".to_owned() };
        assert_eq!(as_json(&event).to_string(), r#"{"event":"doing","id":3,"what":"a \"b\""}"#);
    }
}
