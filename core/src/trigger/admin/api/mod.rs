//! What is told of a server and done to its jobs: the API, metrics and the page, on a listener of their own and on a
//! socket for the command line.
//!
//! - [`guard`]: who may ask the listener; a user who gets to the socket may do everything
//! - `routes`, `parameters`, `answers`, `problem`: the API, which `openapi.json` describes
//! - `logs`, `lines`: what goes on while a job does
//! - [`view`]: jobs and machines as the API shows them

mod answers;
pub mod guard;
mod lines;
pub(in crate::trigger) mod logs;
mod parameters;
mod problem;
mod routes;
#[cfg(test)]
mod tests;
pub mod view;

use std::{path::PathBuf, sync::Arc, time::Instant};

use bytes::Bytes;
use hyper::{Request, Response, StatusCode, body::Incoming, http::request::Parts};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};

pub use self::problem::ProblemView;
use self::{
    guard::AccessGuard,
    problem::{Problem, closing},
    routes::Route,
    view::ListenerView,
};
use super::page::Page;
use crate::{
    net::{
        accept::accept,
        connections::Connections,
        http::{self, Body, Origin},
    },
    trigger::dispatcher::Dispatcher,
};

/// The API in OpenAPI's format.
pub const DOCUMENT: &str = include_str!("openapi.json");
/// Most connections of command lines at a time.
const COMMAND_LINES: usize = 128;

/// Most logs that are followed by the API at a time; there are more connections than that.
const STREAMS: usize = 128;

/// Answers administrators, their browsers and their monitoring.
#[derive(Debug)]
pub struct Status {
    dispatcher: Dispatcher,
    guard: AccessGuard,
    page: Page,
    state_dir: PathBuf,
    listeners: Vec<ListenerView>,
    started: Timestamp,
    clock: Instant,
    streams: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// Which way a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Listener,
    Socket,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Caller {
    way: Way,
    origin: Origin,
    /// The token came with the request, or it came by the socket.
    is_known: bool,
}

impl Status {
    /// A service that ends when `stop` becomes true. `listeners` is what it tells of where the server listens.
    pub fn new(
        dispatcher: Dispatcher,
        guard: AccessGuard,
        state_dir: PathBuf,
        listeners: Vec<ListenerView>,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let page = Page::new(dispatcher.clone(), guard.token().clone(), guard.reading_needs_token());
        let (started, clock) = (Timestamp::now(), Instant::now());
        let streams = Arc::new(Semaphore::new(STREAMS));
        Arc::new(Self { dispatcher, guard, page, state_dir, listeners, started, clock, streams, stop })
    }

    /// Serves the listener until it is to stop, and then until the last answers are out.
    pub async fn serve_tcp(self: Arc<Self>, listener: TcpListener, connections: Connections) {
        accept(listener, connections, self.stop.clone(), |stream, peer| {
            let status = Arc::clone(&self);
            async move {
                let answer = |request| Arc::clone(&status).answer(request, Way::Listener);
                if let Err(error) = http::connection(stream, status.stop.clone(), false, answer).await {
                    tracing::debug!("connection of {peer}: {error}");
                }
            }
        })
        .await;
    }

    /// Serves the socket until it is to stop, and then until the last answers are out.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener) {
        let connections = Connections::of_anybody(COMMAND_LINES);
        accept(listener, connections, self.stop.clone(), |stream, ()| {
            let status = Arc::clone(&self);
            async move {
                let answer = |request| Arc::clone(&status).answer(request, Way::Socket);
                if let Err(error) = http::connection(stream, status.stop.clone(), false, answer).await {
                    tracing::debug!("connection of a command line: {error}");
                }
            }
        })
        .await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, way: Way) -> Response<Body> {
        let (head, body) = request.into_parts();
        let admitted = match way {
            Way::Listener => self.guard.admit(&head).and_then(|origin| {
                let path = head.uri.path();
                // What is not secret, and asked for by programs that have no token.
                if !routes::is_ours(path) || path == "/healthz" {
                    return Ok(Caller { way, origin, is_known: false });
                }
                let is_known = self.guard.authorize(&head, routes::tells_output(path))?;
                Ok(Caller { way, origin, is_known })
            }),
            Way::Socket => Ok(Caller { way, origin: Origin::Unknown, is_known: true }),
        };
        let read = match admitted {
            Ok(caller) => http::read(body).await.map(|body| (caller, body)).map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        match read {
            Ok((caller, body)) => self.respond(&head, body, caller).await,
            Err(problem) => closing(problem.response()),
        }
    }

    async fn respond(&self, head: &Parts, body: Bytes, caller: Caller) -> Response<Body> {
        let path = head.uri.path();
        if caller.way == Way::Listener && !routes::is_ours(path) {
            if let Some(response) = self.page.answer(head, body, caller.origin).await {
                return response;
            }
            return Problem::not_found(format!("there is no page {path:?}")).response();
        }
        let answer = match routes::find(&head.method, path) {
            Route::To(endpoint, word) => self.endpoint(endpoint, &word, head, &body, caller).await,
            Route::WrongMethod(allow) => {
                let error = format!("{} does nothing here; there are {allow}", head.method);
                let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, error);
                Err(Problem { allow: Some(allow), ..problem })
            }
            Route::Nowhere => Err(Problem::not_found(format!("nothing here has the path {path:?}"))
                .hint("/api/v1/openapi.json tells what there is")),
        };
        answer.unwrap_or_else(|problem| problem.response())
    }
}

fn json(status: StatusCode, view: &impl Serialize) -> Response<Body> {
    let mut text = serde_json::to_string(view).unwrap_or_default();
    text.push('\n');
    http::response(status, "application/json", http::full(text))
}
