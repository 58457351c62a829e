//! How a job has ended, for the trigger server to keep.

use crate::{
    printable::lines,
    runs::{HostResult, HostState},
    trigger::attempt::{AttemptReport, End, Ended, StreamEnd},
};

/// Most lines of a stream that are kept, and most bytes.
const LINES_MAX: usize = 40;
const BYTES_MAX: usize = 4 * 1024;
/// Most streams that are kept.
const STREAMS_MAX: usize = 8;

/// What is kept of a host that was worked on.
pub(super) fn ended(result: &HostResult) -> Ended {
    let end = match result.state {
        HostState::Done => End::Succeeded,
        HostState::Failed => End::Failed,
        HostState::Cancelled => End::Cancelled,
    };
    Ended { end, report: report(result) }
}

/// An attempt that could not begin, or of which no more is known.
pub(super) fn failed(reason: &str) -> Ended {
    Ended {
        end: End::Failed,
        report: AttemptReport { reason: Some(plain(reason)), ..AttemptReport::default() },
    }
}

fn report(result: &HostResult) -> AttemptReport {
    let mut report = AttemptReport {
        objects: result.report.objects,
        done: result.report.done,
        changed: result.report.changed.len(),
        seconds: result.report.elapsed.as_secs_f64(),
        round_trips: result.report.remote_calls,
        files: result.files(),
        ..AttemptReport::default()
    };
    let Some(failure) = result.failure() else { return report };
    let hints: Vec<String> = result.hints().collect();
    report.reason = Some(plain(&failure.reason));
    report.what = failure.what.as_deref().map(plain);
    report.script = failure.script.map(str::to_owned);
    (report.exit_status, report.signal) = (failure.exit_status, failure.signal);
    report.facts = failure.facts.iter().map(|(name, fact)| ((*name).to_owned(), plain(fact))).collect();
    // The last ones are those of the script that failed.
    let surplus = failure.streams.len().saturating_sub(STREAMS_MAX);
    let streams = failure.streams.iter().skip(surplus);
    report.streams =
        streams.map(|s| StreamEnd { name: s.name.clone(), text: plain(end_of(&s.text)) }).collect();
    report.hint = (!hints.is_empty()).then(|| plain(&hints.join("; or ")));
    report
}

/// The last lines of a text.
fn end_of(text: &str) -> &str {
    let mut from = text.len().saturating_sub(BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = text.get(from..).unwrap_or_default();
    let breaks = end.trim_end_matches('\n').rmatch_indices('\n');
    let begin = breaks.map(|(at, _)| at + 1).nth(LINES_MAX - 1).unwrap_or(0);
    end.get(begin..).unwrap_or_default()
}

/// Text for pages and terminals: what comes from a machine must not give orders to them.
fn plain(text: &str) -> String {
    lines(text)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::*;
    use crate::config::{ConfigError, Entity, Outcome, RunReport};

    #[test]
    fn only_the_last_lines_are_kept() {
        let lines = |n: usize| (0..n).map(|i| format!("line {i}\n")).collect::<String>();
        assert_eq!(end_of(&lines(40)), lines(40));
        assert_eq!(end_of(&lines(41)).lines().next(), Some("line 1"));
        assert_eq!(end_of(&lines(1000)).lines().count(), 40);
        let wide = "\u{e9}".repeat(4000);
        assert!(end_of(&wide).len() <= BYTES_MAX && end_of(&format!("x{wide}")).len() >= BYTES_MAX - 1);
        assert_eq!(end_of(""), "");
    }

    #[test]
    fn a_failure_is_told_with_the_end_of_its_streams() {
        let streams = (0..10).map(|i| (format!("s{i}"), format!("one\u{1b}[2J\t{i}\n"))).collect();
        let entity =
            Entity { what: "object '__x/y'".into(), facts: vec![("type", "/conf/type/__x".into())], streams };
        let status = ExitStatus::from_raw(3 << 8);
        let source = ConfigError::Failed { command: "/bin/sh -e /o/code-remote".into(), status, why: None };
        let error = ConfigError::Entity { entity: Box::new(entity), source: Box::new(source) };
        let mut result =
            HostResult::new("web1".into(), Outcome { report: RunReport::default(), error: Some(error) });
        result.advice = Some("do it right");
        let Ended { end, report } = ended(&result);
        assert_eq!(end, End::Failed);
        assert_eq!((report.script.as_deref(), report.exit_status), (Some("code-remote"), Some(3)));
        assert_eq!(report.facts["type"], "/conf/type/__x");
        assert_eq!((report.streams.len(), report.streams[0].name.as_str()), (8, "s2"));
        assert_eq!(report.streams[0].text, "one\\u{1b}[2J\t2\n");
        assert!(report.hint.unwrap().ends_with("; or do it right"));
    }

    #[test]
    fn without_a_failure_there_is_no_reason() {
        let Ended { end, report } = ended(&HostResult::skipped("web1".into()));
        assert_eq!((end, report), (End::Cancelled, AttemptReport::default()));
    }
}
