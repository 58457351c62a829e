//! Who may do what: sessions by their cookie, and forms that only our own pages can have sent.

use std::time::Instant;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
    http::request::Parts,
};
use subtle::ConstantTimeEq;

use super::{
    Page, local,
    problem::Problem,
    route::{Place, Query},
};
use crate::trigger::http::Origin;

/// The cookie. No `__Host-` in front: browsers take that over https only.
pub(super) const COOKIE: &str = "cdist_session";
/// Other programs on the same host may have set cookies of this name for other paths.
const COOKIES_MAX: usize = 8;

/// Who asks: somebody with a session, or anybody.
#[derive(Default)]
pub(super) struct Visitor(Option<Session>);

/// A session that is valid now.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) csrf: String,
}

impl Visitor {
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// What forms have to carry.
    pub(super) fn csrf(&self) -> Option<&str> {
        self.0.as_ref().map(|session| session.csrf.as_str())
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.0.as_ref()
    }
}

impl Page {
    pub(super) fn visitor(&self, headers: &HeaderMap) -> Visitor {
        let mut sessions = self.sessions();
        let now = Instant::now();
        let find = |id: &str| sessions.csrf(id, now).map(|csrf| Session { id: id.to_owned(), csrf });
        Visitor(cookies(headers).take(COOKIES_MAX).find_map(find))
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// A request that changes something comes from our own pages. Cookies alone do not tell: a page of another port of the
/// same host is of the same site, and the browser sends them along.
pub(super) fn same_origin(headers: &HeaderMap, origin: Origin) -> Result<(), Problem> {
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
pub(super) fn session(visitor: &Visitor, form: &Query) -> Result<Session, Problem> {
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

/// What those see who have to log in before they look.
pub(super) fn stranger(place: Place, head: &Parts) -> Problem {
    match place {
        // A script asks; it cannot show a form.
        Place::Events(_) => Problem::Unauthorized,
        _ => Problem::Login(local(head)),
    }
}

/// A path on this server to go on with; anything else is the overview. Browsers take `\` for `/`, pass over tabs, and
/// take `//` for the beginning of another host.
pub(super) fn next(wanted: Option<&str>) -> &str {
    let is_local = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 1024
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
            // The path is one of ours, whatever the query is.
            && Place::parse(path.split(['?', '#']).next().unwrap_or_default()).is_some_and(Place::takes_get)
    };
    wanted.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_only_to_pages_of_this_server() {
        for good in ["/", "/jobs/17", "/jobs?state=failed&before=7", "/machines/3/arm"] {
            assert_eq!(next(Some(good)), good);
        }
        for bad in [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "evil",
            "/\t/evil.example",
            "/jobs\r\nSet-Cookie: a=b",
            "/jobs/../../x",
            "/@evil.example",
            "/logout",
            "/machines/3/disarm",
            "/jobs?ä",
            "",
        ] {
            assert_eq!(next(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(next(None), "/");
    }

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
