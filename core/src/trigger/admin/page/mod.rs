//! The status page for the administrator: what waits, runs and has failed, and the buttons to do something about it.
//!
//! HTML is made here, on the server; without JavaScript everything but live logs works. In reading order:
//!
//! - `route`: which page a path is
//! - `frame`: what all pages have in common, and the headers of every answer
//! - `overview`, `jobs`, `job`, `log`, `machines`, `machine`: the pages
//! - `events`: a log while it grows
//! - `confirm`, `actions`: what changes something, and what is asked before
//! - `access`: login, sessions and the right to see or change something
//! - `text`: what machines and scripts say, made harmless

mod access;
mod actions;
mod assets;
mod confirm;
mod events;
mod frame;
mod job;
mod jobs;
mod log;
mod machine;
mod machines;
mod overview;
mod problem;
mod query;
mod route;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod tests;
mod text;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::{Method, Response, http::request::Parts};
use tokio::sync::Semaphore;

use self::{
    access::{Visitor, guard, login, session::Sessions},
    problem::Problem,
    query::Query,
    route::Route,
};
use crate::{
    net::http::{Body, Origin},
    token::Token,
    trigger::{
        dispatcher::Dispatcher,
        job::{Millis, now},
    },
};

/// How many wrong tokens are thought about at once.
const LOGINS_AT_ONCE: usize = 4;
/// How many logs are followed at once; each looks at its file five times a second.
const STREAMS_AT_ONCE: usize = 64;

/// The status page.
#[derive(Debug)]
pub struct Page {
    dispatcher: Dispatcher,
    token: Token,
    reading_needs_token: bool,
    sessions: Mutex<Sessions>,
    logins: Semaphore,
    streams: Arc<Semaphore>,
    clock: fn() -> Millis,
}

/// What a page is made from.
struct Ask<'a> {
    dispatcher: &'a Dispatcher,
    query: Query,
    visitor: &'a Visitor,
    now: Millis,
}

impl Page {
    /// The page of a server. Changing something, and reading what scripts have said, needs the token; with
    /// `reading_needs_token`, reading anything does.
    pub fn new(dispatcher: Dispatcher, token: Token, reading_needs_token: bool) -> Self {
        Self {
            dispatcher,
            token,
            reading_needs_token,
            sessions: Mutex::default(),
            logins: Semaphore::new(LOGINS_AT_ONCE),
            streams: Arc::new(Semaphore::new(STREAMS_AT_ONCE)),
            clock: now,
        }
    }

    /// Answers a request whose `Host` is right. `None` if the path is no page and the client is no browser, which would
    /// get a page that says so.
    pub async fn answer(&self, head: &Parts, body: Bytes, origin: Origin) -> Option<Response<Body>> {
        let visitor = self.visitor(&head.headers);
        let result = match Route::parse(head.uri.path()) {
            Some(route) => self.decide(route, head, &body, origin, &visitor).await,
            None if route::wants_page(head) => Err(Problem::nothing_here()),
            None => return None,
        };
        Some(result.unwrap_or_else(|problem| problem.answer(&visitor)))
    }

    async fn decide(
        &self,
        route: Route,
        head: &Parts,
        body: &[u8],
        origin: Origin,
        visitor: &Visitor,
    ) -> Result<Response<Body>, Problem> {
        if head.method == Method::POST && route.takes_post() {
            guard::same_origin(&head.headers, origin)?;
            let form = Query::parse(&String::from_utf8_lossy(body));
            if route == Route::Login {
                return self.log_in(&form, visitor).await;
            }
            let session = guard::session(visitor, &form)?;
            return match route {
                Route::Logout => Ok(self.log_out(&session)),
                route => actions::act(&self.dispatcher, route, &form).await,
            };
        }
        if !route.takes_get() || !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Problem::Method(route.methods()));
        }
        if let Some(asset) = assets::answer(route, &head.headers) {
            return Ok(asset);
        }
        let needs_login = self.reading_needs_token || route.tells_output();
        if needs_login && !visitor.is_known() && route != Route::Login {
            return Err(guard::stranger(route, head));
        }
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let ask = Ask { dispatcher: &self.dispatcher, query, visitor, now: (self.clock)() };
        self.show(route, &ask, head).await
    }

    async fn show(&self, route: Route, ask: &Ask<'_>, head: &Parts) -> Result<Response<Body>, Problem> {
        let only_head = head.method == Method::HEAD;
        let frame = match route {
            Route::Overview => overview::page(ask).await?,
            Route::Jobs => jobs::page(ask).await?,
            Route::Job(id) => job::page(ask, id).await?,
            Route::Log(id) => log::page(ask, id).await?,
            Route::LogText(id) => return log::text(ask, id, only_head).await,
            Route::Events(id) => return events::answer(ask, id, &self.streams, only_head).await,
            Route::Cancel(id) => confirm::cancel(ask, id).await?,
            Route::Retry(id) => confirm::retry(ask, id).await?,
            Route::Machines => machines::page(ask).await?,
            Route::Machine(id) => machine::page(ask, id).await?,
            Route::Arm(id) => confirm::arm(ask, id).await?,
            Route::Forget(id) => confirm::forget(ask, id).await?,
            Route::Login => return Ok(login::page(ask)),
            Route::Disarm(_) | Route::Logout | Route::Style | Route::Script => {
                return Err(Problem::nothing_here());
            }
        };
        Ok(frame.answer(ask.visitor, &local(head)))
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Path and query, as they came.
fn local(head: &Parts) -> String {
    head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
}
