//! One attempt at a job: its directory, its run, its end.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::JobsDir;
use crate::{
    connector::Guard,
    host::Cancel,
    trigger::{
        attempt::{Attempt, AttemptReport, Binding, End, Ended, JobWorker},
        job::Job,
    },
};

/// How long a run that is stopped may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(60);

/// One attempt in a task of its own, so that a panic ends it and nothing else.
///
/// What takes longer than `limit` is stopped and has failed: no machine keeps a place that others wait for.
pub(super) async fn run(
    job: &Job,
    cancel: Cancel,
    limit: Duration,
    worker: Arc<dyn JobWorker>,
    jobs_dir: JobsDir,
    binding: Binding,
) -> Ended {
    let failed = |reason: String| {
        let report = AttemptReport { reason: Some(reason), ..AttemptReport::default() };
        Ended { end: End::Failed, report }
    };
    let missed = |why: String| Ended { end: End::Missed, ..failed(why) };
    // Between the call and now there may be hours.
    if let Err(why) = binding.check().await {
        return missed(why);
    }
    let (id, number) = (job.id, job.attempts);
    let places = jobs_dir.clone();
    let prepared = tokio::task::spawn_blocking(move || places.prepare(id, number)).await;
    if let Ok(Err(error)) = prepared {
        let mut ended = failed(format!("making the directory of the job: {error}"));
        ended.report.hint =
            Some("see whether the file system of the state directory is full or read-only".to_owned());
        return ended;
    }
    let attempt = Attempt {
        job: id,
        kind: job.kind,
        address: job.address.clone(),
        number,
        ssh_host_keys: job.facts.ssh_host_keys.clone(),
        machine: job.machine,
        log: jobs_dir.log(id, number),
        work_dir: jobs_dir.work_dir(id, number),
        cancel: cancel.clone(),
        binding: binding.clone(),
    };
    let mut run = tokio::spawn(async move { worker.run(attempt).await });
    let ended = match timeout(limit, &mut run).await {
        Ok(ended) => ended,
        Err(_) => {
            cancel.cancel();
            let late = timeout(CLEAN_UP, &mut run).await;
            run.abort();
            let seconds = limit.as_secs();
            let reason = format!("it took longer than {seconds} s, which is what --job-time allows");
            let mut ended = late.ok().and_then(Result::ok).unwrap_or_else(|| failed(reason.clone()));
            ended.end = End::Failed;
            ended.report.reason = Some(reason);
            Ok(ended)
        }
    };
    // Measuring and removing many files may block for long, so a thread for such work does it.
    drop(tokio::task::spawn_blocking(move || jobs_dir.keep(id, number)).await);
    if let Some(why) = binding.missed() {
        return missed(why);
    }
    ended.unwrap_or_else(|_| failed("the program failed inside; its own log has more".to_owned()))
}

pub(super) fn word(end: End) -> &'static str {
    match end {
        End::Succeeded => "has succeeded",
        End::Failed => "has failed",
        End::Cancelled => "was stopped",
        End::Missed => "has not reached its machine",
    }
}
