//! The log of a job as the body of an answer, and what happens to a job as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Whatever is written here goes on for as long as the job does; it ends when the reader is gone, or the server ends.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast, mpsc, watch},
    time::interval,
};

use super::lines::Lines;
use crate::{
    net::{
        accept::stopped,
        http::{self, Body},
    },
    trigger::{
        admin::follow::Follow,
        dispatcher::{Dispatcher, JobEvent},
        job::{Job, JobId},
    },
};

/// How many pieces a reader may be behind.
const BEHIND: usize = 4;
/// How often a stream of events says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Which part of a job's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::trigger) struct Part {
    /// Of this attempt only; else of the last one.
    pub(in crate::trigger) attempt: Option<u32>,
    /// Only about so many bytes at its end, and what comes after that.
    pub(in crate::trigger) tail: Option<u64>,
    /// Until the attempt ends.
    pub(in crate::trigger) follow: bool,
}

/// The log of an attempt at a job. It keeps `permit` as long as it goes on.
///
/// # Errors
///
/// The log cannot be read.
pub(in crate::trigger) async fn log(
    dispatcher: &Dispatcher,
    job: &Job,
    part: Part,
    stop: watch::Receiver<bool>,
    permit: Option<OwnedSemaphorePermit>,
) -> io::Result<Body> {
    let mut follow = Follow::new(dispatcher, job, part.attempt, part.follow);
    if let Some(bytes) = part.tail {
        follow.skip_to_end(bytes).await?;
    }
    Ok(http::streamed(follow.pieces(async move {
        // Dropped with the stream.
        let _permit = permit;
        until(stop).await;
    })))
}

/// What happens to a job: lines of its log, `event: state` for each change of its state, and `event: end`. Goes on to the
/// end of the job, over all its attempts; with an attempt, to the end of that.
pub(in crate::trigger) fn events(
    dispatcher: &Dispatcher,
    job: JobId,
    part: Part,
    stop: watch::Receiver<bool>,
    permit: Option<OwnedSemaphorePermit>,
) -> Body {
    let (out, pieces) = mpsc::channel(BEHIND);
    let teller = Teller { dispatcher: dispatcher.clone(), job, part, stop: stop.clone(), out };
    tokio::spawn(async move {
        let _permit = permit;
        let (mut stop, out) = (stop, teller.out.clone());
        tokio::select! {
            _ = teller.tell() => {}
            () = stopped(&mut stop) => {}
            () = out.closed() => {}
        }
    });
    http::streamed(pieces)
}

async fn until(mut stop: watch::Receiver<bool>) {
    stopped(&mut stop).await;
}

/// The reader is gone.
struct Gone;

/// Tells what happens to a job.
struct Teller {
    dispatcher: Dispatcher,
    job: JobId,
    part: Part,
    stop: watch::Receiver<bool>,
    out: mpsc::Sender<io::Result<Bytes>>,
}

impl Teller {
    async fn tell(mut self) -> Result<(), Gone> {
        // Before the job is looked at, or a change could be missed.
        let mut changes = self.dispatcher.events();
        let mut heartbeat = interval(HEARTBEAT);
        let Some(mut job) = self.tell_state().await? else { return self.end(None).await };
        let mut attempt = self.part.attempt.unwrap_or(job.attempts.max(1));
        loop {
            while !job.state.is_final() && job.attempts < attempt {
                tokio::select! {
                    change = changed(&mut changes, self.job) => {
                        change?;
                        let Some(found) = self.tell_state().await? else { return self.end(None).await };
                        job = found;
                    }
                    _ = heartbeat.tick() => self.send(":\n\n".to_owned()).await?,
                }
            }
            let mut follow = Follow::new(&self.dispatcher, &job, Some(attempt), true);
            if let Some(bytes) = self.part.tail.take() {
                // What cannot be read is said by the first read.
                let _ = follow.skip_to_end(bytes).await;
            }
            let mut pieces = follow.pieces(until(self.stop.clone()));
            let mut lines = Lines::default();
            loop {
                tokio::select! {
                    piece = pieces.recv() => match piece {
                        Some(Ok(piece)) => self.send(lines.add(&piece)).await?,
                        Some(Err(error)) => {
                            tracing::warn!("reading the log of job {}: {error}", self.job);
                            break;
                        }
                        None => break,
                    },
                    change = changed(&mut changes, self.job) => {
                        change?;
                        if self.tell_state().await?.is_none() {
                            return self.end(None).await;
                        }
                    }
                    _ = heartbeat.tick() => self.send(":\n\n".to_owned()).await?,
                }
            }
            self.send(lines.rest()).await?;
            let Some(found) = self.look().await else { return self.end(None).await };
            job = found;
            if job.state.is_final() || self.part.attempt.is_some() {
                return self.end(Some(&job)).await;
            }
            attempt += 1;
        }
    }

    /// Looks at the job and tells its state. `None` if the job is not there any more.
    async fn tell_state(&self) -> Result<Option<Job>, Gone> {
        let found = self.look().await;
        if let Some(job) = &found {
            self.state("state", job).await?;
        }
        Ok(found)
    }

    async fn look(&self) -> Option<Job> {
        self.dispatcher.job(self.job).await.ok().flatten()
    }

    async fn state(&self, event: &str, job: &Job) -> Result<(), Gone> {
        let (id, state, attempts) = (job.id, job.state, job.attempts);
        let data = format!("{{\"job\":{id},\"state\":\"{state}\",\"attempts\":{attempts}}}");
        self.send(format!("event: {event}\ndata: {data}\n\n")).await
    }

    /// The last event. A job that is not there any more was removed after its end.
    async fn end(&self, job: Option<&Job>) -> Result<(), Gone> {
        match job {
            Some(job) => self.state("end", job).await,
            None => self.send("event: end\ndata: {}\n\n".to_owned()).await,
        }
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        if text.is_empty() {
            return Ok(());
        }
        self.out.send(Ok(text.into())).await.map_err(|_| Gone)
    }
}

/// Waits until something has happened to a job, or may have.
async fn changed(changes: &mut broadcast::Receiver<JobEvent>, job: JobId) -> Result<(), Gone> {
    loop {
        match changes.recv().await {
            Ok(event) if event.job == job => return Ok(()),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return Ok(()),
            Err(broadcast::error::RecvError::Closed) => return Err(Gone),
        }
    }
}
