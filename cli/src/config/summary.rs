//! The lines at the end of a run, one for each host.

use std::time::Duration;

use cdist_core::runs::{HostResult, HostState};

/// The lines at the end of a run: first the hosts that are done, then the others with their reasons.
pub(crate) fn summary(results: &[HostResult], dry_run: bool) -> Vec<(HostState, String)> {
    let width = results.iter().map(|result| result.host.chars().count()).max().unwrap_or(0);
    let (done, others): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.state == HostState::Done);
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
        HostState::Done => format!(
            "{}, {} {}, {seconds}, {}",
            plural(report.objects as u64, "object"),
            report.changed.len(),
            if dry_run { "would change" } else { "changed" },
            plural(report.remote_calls, "round trip"),
        ),
        HostState::Failed => format!(
            "FAILED after {seconds}, {} of {} done: {}",
            report.done,
            plural(report.objects as u64, "object"),
            result.reason.as_deref().unwrap_or("no reason is known"),
        ),
        HostState::Cancelled => {
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
    use cdist_core::config::{Outcome, RunReport};

    use super::*;

    fn done(host: &str, objects: usize) -> HostResult {
        let mut report = RunReport::default();
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
