//! Who may do what: sessions by their cookie, and forms that only our own pages can have sent.

use std::time::Instant;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
    http::request::Parts,
};
use subtle::ConstantTimeEq;

use super::visitor::{COOKIE, Session, Visitor};
use crate::{
    net::http::Origin,
    trigger::admin::page::{Page, local, problem::Problem, query::Query, route::Route},
};

/// Other programs on the same host may have set cookies of this name for other paths.
const COOKIES_MAX: usize = 8;

impl Page {
    pub(in crate::trigger::admin::page) fn visitor(&self, headers: &HeaderMap) -> Visitor {
        let mut sessions = self.sessions();
        let now = Instant::now();
        let find = |id: &str| sessions.csrf(id, now).map(|csrf| Session { id: id.to_owned(), csrf });
        Visitor::new(cookies(headers).take(COOKIES_MAX).find_map(find))
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// A request that changes something comes from our own pages. Cookies alone do not tell: a page of another port of the
/// same host is of the same site, and the browser sends them along.
pub(in crate::trigger::admin::page) fn same_origin(
    headers: &HeaderMap,
    origin: Origin,
) -> Result<(), Problem> {
    let foreign =
        Problem::Forbidden("This form was sent by a page that is not part of this server.".to_owned());
    if origin == Origin::Foreign {
        return Err(foreign);
    }
    if let Some(from) = headers.get(header::ORIGIN) {
        // A proxy in front may speak https.
        let from = from.as_bytes();
        let from = from.strip_prefix(b"http://").or_else(|| from.strip_prefix(b"https://"));
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        if !from.zip(host).is_some_and(|(from, host)| from.eq_ignore_ascii_case(host)) {
            return Err(foreign);
        }
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(foreign);
    }
    Ok(())
}

/// The session of a form that carries its secret.
pub(in crate::trigger::admin::page) fn session(visitor: &Visitor, form: &Query) -> Result<Session, Problem> {
    let Some(session) = visitor.session() else {
        return Err(Problem::Forbidden("You are not logged in, or not any more.".to_owned()));
    };
    let given = form.get("csrf").unwrap_or_default();
    if !bool::from(session.csrf.as_bytes().ct_eq(given.as_bytes())) {
        let text = "The form does not belong to your session. Go back, reload the page and try again.";
        return Err(Problem::Forbidden(text.to_owned()));
    }
    Ok(session.clone())
}

/// The answer to a request without a session where reading needs a login.
pub(in crate::trigger::admin::page) fn stranger(route: Route, head: &Parts) -> Problem {
    match route {
        // A script asks; it cannot show a form.
        Route::Events(_) => Problem::Unauthorized,
        _ => Problem::Login(local(head)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            "a=b; cdist_session=one;cdist_session = no; xcdist_session=no".parse().unwrap(),
        );
        headers.append(header::COOKIE, "cdist_session=two".parse().unwrap());
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["one", "two"]);
    }
}
