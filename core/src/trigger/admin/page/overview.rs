//! The first page: is all well, and if not, what has failed and why.

use maud::{Markup, html};

use super::{Ask, frame::Frame, jobs, problem::Problem, text};
use crate::trigger::{
    dispatcher::{Dispatcher, Unavailable},
    job::{Job, JobState},
    policy::InstallPolicy,
    store::{Counts, JobFilter},
};

/// How many jobs each list has.
const SHOWN: usize = 10;
/// How many failed jobs are looked at for those that were not done again.
const LOOKED_AT: usize = 30;

/// Load and limit.
struct Gauge {
    name: &'static str,
    value: u64,
    max: u64,
}

pub(super) async fn page(ask: &Ask<'_>) -> Result<Frame, Problem> {
    let (dispatcher, now) = (ask.dispatcher, ask.now);
    let counts = dispatcher.counts().await?;
    let newest = dispatcher.jobs(JobFilter { limit: SHOWN, ..JobFilter::default() }).await?;
    let failed = open_failures(dispatcher).await?;
    let counters = dispatcher.counters();
    let rules = dispatcher.rules();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let gauges = [
        Gauge { name: "jobs waiting", value: load(&counters.waiting), max: rules.queue_max as u64 },
        Gauge { name: "jobs running", value: load(&counters.running), max: rules.at_once as u64 },
        Gauge { name: "machines known", value: load(&counters.machines), max: rules.machines_max as u64 },
    ];
    let complaint = counters.complaint();
    let content = html! {
        h1 { "Overview" }
        (health(complaint, failed.len()))
        @if let Some(problem) = counters.commit_problem() {
            p { "The last time that something could not be stored: " (text::ago(problem.at, now)) ", " (text::line(&problem.reason, 500)) "." }
        }
        @if rules.dry_run {
            p.banner.warn { strong { "Dry runs only." } " The server was started with -n: jobs show what they would change, and change nothing." }
        }
        ul.gauges aria-label="Load" {
            @for gauge in &gauges {
                li { strong { (gauge.value) } " " (gauge.name) " " span.quiet { "of at most " (gauge.max) } }
            }
        }
        @if !failed.is_empty() {
            section aria-labelledby="failed" {
                h2 id="failed" { "Failed, and not done again since" }
                (jobs::table("Failed jobs, the newest first", &failed, now))
            }
        }
        section aria-labelledby="states" {
            h2 id="states" { "Jobs by state" }
            (states(&counts))
        }
        section aria-labelledby="newest" {
            h2 id="newest" { "Newest jobs" }
            @if newest.is_empty() {
                p { "No machine has called yet. A machine that boots the PreOS calls " code { "/install/" } " or " code { "/config/" } " of this server." }
            } @else {
                (jobs::table("Jobs, the newest first", &newest, now))
                p { a href="/jobs" { "All jobs" } }
            }
        }
        p.quiet { "Install policy: " strong { (rules.policy) } ". " (policy(rules.policy)) }
    };
    let news = format!("{}; {}", complaint.unwrap_or("healthy"), jobs::count_words(&counts));
    Ok(Frame::new("Overview", content).section("/").refreshed(news))
}

fn health(complaint: Option<&str>, failed: usize) -> Markup {
    match complaint {
        Some(complaint) => html! {
            div.banner.bad role="alert" {
                p { strong { "No jobs are accepted: " (complaint) "." } }
                p { (advice(complaint)) }
            }
        },
        None if failed > 0 => html! {
            div.banner.warn { p { strong { "The server works." } " Some jobs have failed; they are listed first, with the reason." } }
        },
        None => html! { div.banner.good { p { strong { "All is well." } " The server accepts jobs." } } },
    }
}

/// What to do when jobs cannot be accepted.
fn advice(complaint: &str) -> &'static str {
    match complaint {
        "shutting down" => {
            "Machines that call are told to come again. Jobs that run may end; what waits is done after the next start."
        }
        "jobs cannot be stored" => {
            "See whether the disk of the state directory is full or read-only; the server's log has the reason. It tries \
             again by itself, and machines are told to come again."
        }
        "the queue is full" => {
            "Machines are told to come again. See below what runs: jobs that hang can be stopped, and more can run at once \
             with a higher -j."
        }
        _ => "The server's log has the reason.",
    }
}

fn policy(policy: InstallPolicy) -> &'static str {
    match policy {
        InstallPolicy::Once => {
            "A machine is installed when it calls for the first time; after that it has to be armed."
        }
        InstallPolicy::Armed => "A machine has to be armed before it is installed.",
        InstallPolicy::Always => {
            "A machine is installed whenever it asks for it, also when it is installed already."
        }
    }
}

fn states(counts: &Counts) -> Markup {
    html! {
        ul.counts {
            @for (state, count) in counts {
                li { a.{ "state " (state.name()) } href={ "/jobs?state=" (state.name()) } { strong { (count) } " " (state.name()) } }
            }
        }
    }
}

/// Failed and interrupted jobs that no newer one of the same kind and machine has taken the place of.
async fn open_failures(dispatcher: &Dispatcher) -> Result<Vec<Job>, Unavailable> {
    let mut candidates = Vec::new();
    for state in [JobState::Failed, JobState::Interrupted] {
        let filter = JobFilter { state: Some(state), limit: LOOKED_AT, ..JobFilter::default() };
        candidates.extend(dispatcher.jobs(filter).await?);
    }
    candidates.sort_by_key(|job| std::cmp::Reverse(job.id));
    let mut open = Vec::new();
    for job in candidates {
        let filter =
            JobFilter { machine: Some(job.machine), kind: Some(job.kind), limit: 1, ..JobFilter::default() };
        if dispatcher.jobs(filter).await?.first().is_some_and(|newest| newest.id == job.id) {
            open.push(job);
        }
        if open.len() == SHOWN {
            break;
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_has_its_advice() {
        for complaint in ["shutting down", "jobs cannot be stored", "the queue is full"] {
            assert_ne!(advice(complaint), advice("else"), "{complaint}");
        }
    }
}
