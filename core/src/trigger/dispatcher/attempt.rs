//! One attempt at a job: its directory, its run, its end.

use std::sync::Arc;

use super::JobsDir;
use crate::{
    host::Cancel,
    trigger::{
        job::{Job, State},
        runner::{self, End, Ended, RunReport, Runner},
    },
};

/// One attempt in a task of its own, so that a panic ends it and nothing else.
pub(super) async fn run(job: &Job, cancel: Cancel, runner: Arc<dyn Runner>, jobs_dir: JobsDir) -> Ended {
    let failed = |reason: String| {
        let report = RunReport { reason: Some(reason), ..RunReport::default() };
        Ended { end: End::Failed, report }
    };
    let (id, attempt) = (job.id, job.attempts);
    let places = jobs_dir.clone();
    let prepared = tokio::task::spawn_blocking(move || places.prepare(id, attempt)).await;
    if let Ok(Err(error)) = prepared {
        return failed(format!("making the directory of the job: {error}"));
    }
    let order = runner::Order {
        job: id,
        kind: job.kind,
        address: job.address.clone(),
        attempt,
        ssh_host_keys: job.facts.ssh_host_keys.clone(),
        machine: job.machine,
        log: jobs_dir.log(id, attempt),
        work_dir: jobs_dir.work_dir(id, attempt),
        cancel,
    };
    let ended = tokio::spawn(async move { runner.run(order).await }).await;
    jobs_dir.tidy(id, attempt);
    ended.unwrap_or_else(|_| failed("the program failed inside; its own log has more".to_owned()))
}

pub(super) fn word(end: End) -> State {
    match end {
        End::Succeeded => State::Succeeded,
        End::Failed => State::Failed,
        End::Cancelled => State::Cancelled,
    }
}
