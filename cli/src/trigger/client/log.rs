//! `cdist trigger log`.

use std::io::Write;

use cdist_core::trigger::{
    admin::api::view::JobDetails,
    client::{self, Client},
    job::{JobId, JobState},
};

use super::{Stopped, screen::Screen};
use crate::terminal::{failure::Failure, printable::Pieces};

/// Prints the log of an attempt. Followed to its end, the exit status tells how the job came out.
pub(super) fn print(
    client: &Client,
    id: JobId,
    attempt: Option<u32>,
    follow: bool,
    screen: &Screen,
    next: &dyn Fn(&str) -> String,
    out: &mut dyn Write,
) -> Result<i32, Stopped> {
    let attempt = attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
    let path = format!("/jobs/{id}/log?follow={}{attempt}", u8::from(follow));
    let mut text = screen.size.map(|_| Pieces::default());
    client.stream::<Stopped>(&path, |piece| {
        match &mut text {
            Some(text) => out.write_all(text.shown(piece).as_bytes())?,
            None => out.write_all(piece)?,
        }
        // With --follow it is to be seen at once.
        Ok(out.flush()?)
    })?;
    if let Some(mut text) = text {
        out.write_all(text.rest().as_bytes())?;
    }
    out.flush()?;
    if !follow {
        return Ok(0);
    }
    let job: JobDetails = client::read(&client.get(&format!("/jobs/{id}"))?)?;
    let job = job.job;
    match (job.state, job.not_before) {
        (JobState::Succeeded, _) => Ok(0),
        (JobState::Queued, Some(at)) => {
            let (attempts, at) = (job.attempts, screen.clock.date(&at));
            Err(Failure::new(format!("attempt {attempts} of job {id} failed; the next one begins at {at}"))
                .into())
        }
        (JobState::Queued | JobState::Running, _) => {
            Err(Failure::new(format!("job {id} is {} again", job.state)).into())
        }
        (state, _) => {
            let has = if state == JobState::Failed { "has" } else { "was" };
            let failure = Failure::new(format!("job {id} {has} {state}"));
            Err(failure.hint(format!("`{}` tells why", next(&format!("show {id}")))).into())
        }
    }
}
