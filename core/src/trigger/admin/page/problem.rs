//! What goes wrong, as a page: what is the case, and what to do.

use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use maud::html;

use super::{
    access::Visitor,
    frame::{self, Frame},
    text,
};
use crate::{
    net::http::Body,
    trigger::{dispatcher::Unavailable, ledger::OrderError},
};

/// Why there is no other answer.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no such page, job or machine.
    NotFound(String),
    /// A value makes no sense.
    Bad(String),
    /// Not with this form.
    Forbidden(String),
    /// Not with this method; these are right.
    Method(&'static str),
    /// Too much is asked at once.
    TooMany(&'static str),
    /// What was asked for makes no sense now.
    Order(OrderError),
    /// The server cannot do it.
    Unavailable(Unavailable),
    /// Something inside, which the log tells.
    Inside(String),
    /// Log in first; then go on there.
    Login(String),
    /// A login is needed, and the client is a script, which gets no form.
    Unauthorized,
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl Problem {
    pub(super) fn nothing_here() -> Self {
        Self::NotFound("There is no such page.".to_owned())
    }

    pub(super) fn no_job(id: i64) -> Self {
        Self::NotFound(format!("There is no job {id}. Jobs are removed some time after they have ended."))
    }

    pub(super) fn no_machine(id: i64) -> Self {
        Self::NotFound(format!("Machine {id} is not known. Maybe somebody has forgotten it."))
    }

    pub(super) fn bad(name: &str, value: &str) -> Self {
        Self::Bad(format!("“{}” is not possible for {name}.", text::line(value, 60)))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) | Self::Order(OrderError::UnknownJob(_) | OrderError::UnknownMachine(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Order(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Inside(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Login(_) => StatusCode::SEE_OTHER,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }

    /// Heading, sentence, and what to do.
    fn words(&self) -> (&'static str, String, Option<String>) {
        match self {
            Self::NotFound(text) => ("Not found", text.clone(), None),
            Self::Bad(text) => ("That makes no sense", text.clone(), None),
            Self::Forbidden(text) => ("Not allowed", text.clone(), None),
            Self::Method(methods) => {
                ("Not this way", format!("This address takes {methods} only. Nothing was changed."), None)
            }
            Self::TooMany(text) => ("Too much at once", (*text).to_owned(), None),
            Self::Order(error) => {
                let text = format!("{}.", text::line(&error.to_string(), 500));
                ("Nothing was changed", text, Some(text::line(&error.hint(), 500)))
            }
            Self::Unavailable(Unavailable::Closing) => {
                ("Shutting down", "The server is shutting down. Nothing was changed.".to_owned(), None)
            }
            Self::Unavailable(error @ Unavailable::Store(_)) => (
                "The server cannot do it",
                format!("{}.", text::line(&error.to_string(), 500)),
                Some("see whether the disk of the state directory is full or read-only".to_owned()),
            ),
            Self::Inside(text) => ("The server has failed", text::line(text, 500), None),
            Self::Login(_) | Self::Unauthorized => ("Log in", "Log in first.".to_owned(), None),
        }
    }

    pub(super) fn answer(&self, visitor: &Visitor) -> Response<Body> {
        if let Self::Login(wanted) = self {
            return frame::redirect(&frame::login_link(wanted));
        }
        let (heading, text, hint) = self.words();
        let content = html! {
            h1 { (heading) }
            p { (text) }
            @if let Some(hint) = hint { p.hint { "What to do: " (frame::commands(&hint)) "." } }
            @if matches!(self, Self::Forbidden(_)) && !visitor.is_known() {
                p { a href="/login" { "Log in" } }
            }
            p { a href="/" { "Back to the overview" } }
        };
        let mut response = Frame::new(heading, content).answer(visitor, "/");
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Method(methods) => drop(headers.insert(header::ALLOW, HeaderValue::from_static(methods))),
            Self::TooMany(_) => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"))),
            _ => {}
        }
        response
    }
}
