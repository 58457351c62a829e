//! The counters of a server in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::trigger::{counters::Counters, store::Counts};

/// Everything, and how many jobs are stored in each state.
pub fn text(counters: &Counters, counts: &Counts) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        let _ = writeln!(text, "# HELP cdist_trigger_{name} {help}\n# TYPE cdist_trigger_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "cdist_trigger_{name}{labels} {value}");
        }
    };
    #[allow(clippy::cast_precision_loss, reason = "counters stay exact up to 2^53")]
    let number = |counter: &AtomicU64| counter.load(Relaxed) as f64;
    let alone = |counter: &AtomicU64| [(String::new(), number(counter))];
    let results = [
        ("accepted", &counters.accepted),
        ("joined", &counters.joined),
        ("refused", &counters.refused),
        ("unavailable", &counters.unavailable),
        ("forbidden", &counters.forbidden),
        ("bad", &counters.bad),
        ("failed", &counters.failed),
    ]
    .map(|(name, counter)| (format!("{{result=\"{name}\"}}"), number(counter)));
    family("requests_total", "counter", "Requests of machines by result.", &results);
    #[allow(clippy::cast_precision_loss, reason = "counters stay exact up to 2^53")]
    let jobs: Vec<(String, f64)> =
        counts.iter().map(|(state, count)| (format!("{{state=\"{state}\"}}"), *count as f64)).collect();
    family("jobs", "gauge", "Stored jobs by state.", &jobs);
    family("queue_length", "gauge", "Jobs that wait.", &alone(&counters.waiting));
    family("running_jobs", "gauge", "Jobs that run.", &alone(&counters.running));
    family("machines", "gauge", "Machines that are known.", &alone(&counters.machines));
    family("connections", "gauge", "Open connections of machines.", &alone(&counters.connections));
    family("attempts_total", "counter", "Attempts at jobs that have begun.", &alone(&counters.attempts));
    family("commits_total", "counter", "Commits to the store.", &alone(&counters.commits));
    family(
        "commit_failures_total",
        "counter",
        "Commits to the store that failed.",
        &alone(&counters.commits_failed),
    );
    let seconds = number(&counters.commit_micros) / 1e6;
    family("commit_seconds_total", "counter", "Time that commits have taken.", &[(String::new(), seconds)]);
    let healthy = f64::from(u8::from(counters.is_healthy()));
    family("healthy", "gauge", "1 while jobs can be accepted.", &[(String::new(), healthy)]);
    text
}
