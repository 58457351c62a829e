//! `cdist trigger log`.

use std::io::Write;

use cdist_core::trigger::{
    job::{JobId, State},
    status::view::JobDetails,
};

use super::{
    Stopped,
    client::{self, Client},
    screen::Screen,
};
use crate::{failure::Failure, printable::printable};

/// Prints the log of an attempt. Followed to its end, the exit status tells how the job came out.
pub(super) fn print(
    client: &Client,
    id: JobId,
    attempt: Option<u32>,
    follow: bool,
    screen: &Screen,
    out: &mut dyn Write,
) -> Result<i32, Stopped> {
    let attempt = attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
    let path = format!("/jobs/{id}/log?follow={}{attempt}", u8::from(follow));
    let mut text = Text { escaped: screen.size.is_some(), begun: Vec::new() };
    client.stream::<Stopped>(&path, |piece| {
        out.write_all(&text.shown(piece))?;
        // Whoever follows wants to see it now.
        Ok(out.flush()?)
    })?;
    out.write_all(&text.rest())?;
    out.flush()?;
    if !follow {
        return Ok(0);
    }
    let job: JobDetails = client::read(&client.get(&format!("/jobs/{id}"))?)?;
    let job = job.job;
    match (job.state, job.not_before) {
        (State::Succeeded, _) => Ok(0),
        (State::Queued, Some(at)) => {
            let (attempts, at) = (job.attempts, screen.clock.date(&at));
            Err(Failure::new(format!("attempt {attempts} of job {id} failed; the next one begins at {at}"))
                .into())
        }
        (State::Queued | State::Running, _) => {
            Err(Failure::new(format!("job {id} is {} again", job.state)).into())
        }
        (state, _) => {
            let has = if state == State::Failed { "has" } else { "was" };
            let failure = Failure::new(format!("job {id} {has} {state}"));
            Err(failure.hint(format!("`cdist trigger show {id}` tells why")).into())
        }
    }
}

/// A log on a terminal, in pieces that may end within a character.
struct Text {
    escaped: bool,
    begun: Vec<u8>,
}

impl Text {
    fn shown(&mut self, piece: &[u8]) -> Vec<u8> {
        if !self.escaped {
            return piece.to_vec();
        }
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(piece);
        let last = whole.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
        let end = whole.len() - last;
        // A character has four bytes at most; more, or what cannot be the beginning of one, is none.
        let is_begun = std::str::from_utf8(&whole[end..]).is_err_and(|error| error.error_len().is_none());
        if is_begun {
            self.begun = whole.split_off(end);
        }
        printable(&whole, false).into_bytes()
    }

    fn rest(&mut self) -> Vec<u8> {
        printable(&std::mem::take(&mut self.begun), false).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_orders_and_whole_characters() {
        let mut text = Text { escaped: true, begun: Vec::new() };
        let mut shown = |piece: &[u8]| String::from_utf8(text.shown(piece)).unwrap();
        assert_eq!(shown(b"a\x1b[2J\n\xc3"), "a\\u{1b}[2J\n");
        assert_eq!(shown(b"\xa9\xff\n\xf0\x9f"), "\u{e9}\\xff\n");
        assert_eq!(shown(b"x"), "\\xf0\\x9fx");
        assert_eq!(shown(b"\xe2\x82"), "");
        assert_eq!(text.rest(), b"\\xe2\\x82");
        let mut text = Text { escaped: false, begun: Vec::new() };
        assert_eq!(text.shown(b"\x1b\xc3"), b"\x1b\xc3");
    }
}
