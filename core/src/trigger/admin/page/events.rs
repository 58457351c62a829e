//! A log while it grows, as server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Each connection begins with `start`, upon which the page empties what it shows, and the last part of the log. So after
//! a lost connection nothing is missing and nothing is there twice. Lines come as `message`; `end` has a sentence.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Ask, frame,
    log::{self, AttemptLog, SHOWN},
    problem::Problem,
    text,
};
use crate::{
    net::http::{self, Body},
    trigger::{
        admin::follow::Follow,
        dispatcher::Dispatcher,
        job::{JobId, JobState},
    },
};

/// After so long without a line something is sent, or proxies take the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the end of the server is looked for.
const TICK: Duration = Duration::from_millis(500);
/// A line without an end is passed on in parts of this size.
const LINE_MAX: usize = 16 * 1024;

pub(super) async fn answer(
    ask: &Ask<'_>,
    id: JobId,
    streams: &Arc<Semaphore>,
    only_head: bool,
) -> Result<Response<Body>, Problem> {
    let attempt = log::attempt(ask, id).await?;
    let kind = "text/event-stream; charset=utf-8";
    if only_head {
        return Ok(frame::safe(http::response(StatusCode::OK, kind, http::full(""))));
    }
    let permit = Arc::clone(streams).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::TooMany("Too many logs are followed just now."))?;
    // Little is made before the client has taken what is there.
    let (sender, pieces) = mpsc::channel(2);
    tokio::spawn(follow(ask.dispatcher.clone(), attempt, Sender(sender), permit));
    Ok(frame::safe(http::response(StatusCode::OK, kind, http::streamed(pieces))))
}

/// The way to the client.
struct Sender(mpsc::Sender<io::Result<Bytes>>);

impl Sender {
    /// `None` if the client is gone.
    async fn send(&self, piece: Bytes) -> Option<()> {
        self.0.send(Ok(piece)).await.ok()
    }
}

/// Sends the log until the attempt ends, the client goes, or the server ends.
async fn follow(dispatcher: Dispatcher, attempt: AttemptLog, sender: Sender, permit: OwnedSemaphorePermit) {
    let sent = tokio::select! {
        sent = pieces(&dispatcher, &attempt, &sender) => sent,
        () = sender.0.closed() => None,
        () = closing(&dispatcher) => Some("The server is shutting down. Reload the page when it is back.".to_owned()),
    };
    if let Some(sentence) = sent {
        let _ = sender.send(event("end", &sentence)).await;
    }
    drop(permit);
}

async fn closing(dispatcher: &Dispatcher) {
    while !dispatcher.counters().is_closing() {
        tokio::time::sleep(TICK).await;
    }
}

/// The sentence at the end; `None` if the reader is gone.
async fn pieces(dispatcher: &Dispatcher, attempt: &AttemptLog, sender: &Sender) -> Option<String> {
    sender.send(Bytes::from_static(b"retry: 2000\nevent: start\ndata: \n\n")).await?;
    let mut follow = Follow::new(dispatcher, &attempt.job, Some(attempt.number), true);
    let failed = |error: io::Error| format!("The log cannot be read: {error}.");
    if let Err(error) = follow.skip_to_end(SHOWN).await {
        return Some(failed(error));
    }
    let mut pieces = follow.pieces(std::future::pending());
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset_at(Instant::now() + HEARTBEAT);
    let mut lines = Lines::default();
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            _ = heartbeat.tick() => {
                sender.send(Bytes::from_static(b": still there\n\n")).await?;
                continue;
            }
        };
        let text = match piece {
            Some(Ok(piece)) => lines.take(&piece),
            None => {
                if let Some(rest) = lines.rest() {
                    sender.send(event("message", &rest)).await?;
                }
                return Some(ending(dispatcher, attempt).await);
            }
            Some(Err(error)) => return Some(failed(error)),
        };
        if let Some(text) = text {
            sender.send(event("message", &text)).await?;
            heartbeat.reset();
        }
    }
}

/// How the attempt has ended.
async fn ending(dispatcher: &Dispatcher, attempt: &AttemptLog) -> String {
    let job = dispatcher.job(attempt.job.id).await.ok().flatten();
    let number = attempt.number;
    match job {
        Some(job) if job.attempts <= number && job.state.is_final() => {
            if job.state == JobState::Succeeded {
                return format!("Attempt {number} has succeeded.");
            }
            let reason = job.report.and_then(|report| report.reason).or(job.note);
            let reason = reason.map(|why| format!(": {}", text::line(&why, 500))).unwrap_or_default();
            format!("Attempt {number}: {}{reason}.", job.state)
        }
        Some(_) => format!("Attempt {number} has failed, and the job is tried again."),
        None => format!("Attempt {number} has ended."),
    }
}

/// Text as one event; each line of it needs its own `data`.
fn event(name: &str, text: &str) -> Bytes {
    let mut event = format!("event: {name}\n");
    for line in text.split('\n') {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

/// Makes whole, harmless lines of pieces.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that are whole now, without the end of the last one.
    fn take(&mut self, piece: &[u8]) -> Option<String> {
        self.0.extend_from_slice(piece);
        let whole = match self.0.iter().rposition(|b| *b == b'\n') {
            Some(end) => self.0.drain(..=end).collect::<Vec<u8>>(),
            None if self.0.len() >= LINE_MAX => std::mem::take(&mut self.0),
            None => return None,
        };
        let whole = whole.strip_suffix(b"\n").unwrap_or(&whole);
        Some(text::lines(&String::from_utf8_lossy(whole)))
    }

    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then(|| text::lines(&String::from_utf8_lossy(&rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_harmless() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw"), Some("one".to_owned()));
        assert_eq!(lines.take(b"\xc3"), None);
        assert_eq!(lines.take(b"\xb6\n\x1b[31mred\x1b[0m\r\n\n"), Some("twö\nred\n".to_owned()));
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.take(b"end\x07"), None);
        assert_eq!(lines.rest(), Some("end\\u{7}".to_owned()));
        assert!(lines.take(&[b'x'; LINE_MAX]).is_some());
    }

    #[test]
    fn a_line_cannot_become_another_event() {
        let text = text::lines("a\revent: end\r\ndata: x\n\nid: 1");
        let event = event("message", &text);
        let event = std::str::from_utf8(&event).unwrap();
        assert_eq!(
            event,
            "event: message\ndata: a\ndata: event: end\ndata: data: x\ndata: \ndata: id: 1\n\n"
        );
    }
}
