//! The status page.

use bytes::Bytes;
use hyper::{Response, http::request::Parts};

use super::{
    dispatcher::Dispatcher,
    http::{Body, Origin},
};
use crate::token::Token;

/// Answers browsers.
#[derive(Debug)]
pub struct Page {}

impl Page {
    /// The page of a server.
    #[allow(clippy::needless_pass_by_value, reason = "nothing here yet")]
    pub fn new(_dispatcher: Dispatcher, _token: Token, _reading_needs_token: bool) -> Self {
        Self {}
    }

    /// Answers a request; `None` if there is no such page.
    #[allow(clippy::unused_async, clippy::needless_pass_by_value, reason = "nothing here yet")]
    pub async fn answer(&self, _head: &Parts, _body: Bytes, _origin: Origin) -> Option<Response<Body>> {
        None
    }
}
