//! Why a request is not done, as the API says it.

use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use serde::{Deserialize, Serialize};

use crate::{
    net::http::{Body, BodyError},
    trigger::{dispatcher::Unavailable, ledger::OrderError},
};

/// The body of an answer that says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// One sentence.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A request that is not done.
#[derive(Debug)]
pub(in crate::trigger) struct Problem {
    pub(super) status: StatusCode,
    pub(super) view: ProblemView,
    /// The methods that there are instead.
    pub(super) allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, view: ProblemView { error: error.into(), hint: None }, allow: None }
    }

    /// A parameter, or a member of the body, that cannot be used.
    pub(super) fn parameter(name: &str, must: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name} must be {must}"))
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.view.hint = Some(hint.into());
        self
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = super::json(self.status, &self.view);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Closing => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                .hint("ask again when it has been started anew"),
            Unavailable::Store(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
                .hint("see whether the file system of the state directory is full or read-only"),
        }
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let status = match error {
            OrderError::UnknownMachine(_) | OrderError::UnknownJob(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string()).hint(error.hint())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.to_string())
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("reading the log: {error}"))
    }
}

/// An answer to a peer that goes on sending: what comes after a body that was not read cannot be told
/// from it.
pub(super) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
