//! The style sheet and the script, which are in the program.

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderValue},
};
use md5::{Digest, Md5};

use super::{frame, route::Route};
use crate::net::http::{self, Body};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The answer, if the place is one of them.
pub(super) fn answer(route: Route, headers: &HeaderMap) -> Option<Response<Body>> {
    let (kind, text) = match route {
        Route::Style => ("text/css; charset=utf-8", STYLE),
        Route::Script => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let digest: String = Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = HeaderValue::from_str(&format!("\"{digest}\"")).ok()?;
    let has = |value: &HeaderValue| value == tag || value == "*";
    let mut response = if headers.get_all(header::IF_NONE_MATCH).iter().any(has) {
        http::response(StatusCode::NOT_MODIFIED, kind, http::full(""))
    } else {
        http::response(StatusCode::OK, kind, http::full(text))
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    // Kept, but asked for each time: after an update of the program the new one has to count.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(frame::safe(response))
}
