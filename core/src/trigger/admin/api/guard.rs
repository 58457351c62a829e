//! Who may ask the second listener, and for what.
//!
//! A page from elsewhere must not get through to a listener on this machine: not by a name that its owner lets lead here
//! (DNS rebinding), and not by a form that it sends.

use std::{
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, HeaderValue},
    http::{request::Parts, uri::Authority},
};

use super::problem::Problem;
use crate::{
    net::http::Origin,
    token::{Token, TokenError},
    trigger::state_dir::TOKEN,
};

/// The rules of the second listener.
#[derive(Clone, Debug)]
pub struct AccessGuard {
    names: Vec<String>,
    token: Token,
    reading_needs_token: bool,
}

/// Why the second listener cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Everybody on the network could read and change everything.
    #[error("the status page cannot listen on {0} without a token")]
    Open(IpAddr),
    /// The token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl GuardError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open(_) => Some(
                "name a file with one with --status-token-file, or let the page listen on a loopback address"
                    .to_owned(),
            ),
            Self::Token(_) => None,
        }
    }
}

impl AccessGuard {
    /// Rules for a listener on `address` that is known by `names` besides its addresses. Without a token file there is a
    /// token in the state directory, made when there is none yet.
    ///
    /// # Errors
    ///
    /// The address is not a loopback one and there is no token file; the token cannot be read or made.
    pub fn new(
        address: IpAddr,
        names: Vec<String>,
        token_file: Option<&Path>,
        state_dir: &Path,
    ) -> Result<Self, GuardError> {
        let is_local = address.to_canonical().is_loopback();
        let token = match token_file {
            Some(file) => Token::read(file)?,
            None if is_local => Token::keep(&token_path(state_dir))?,
            None => return Err(GuardError::Open(address)),
        };
        let names = names.into_iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Ok(Self { names, token, reading_needs_token: !is_local || token_file.is_some() })
    }

    /// The token.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// True if reading needs the token.
    pub fn reading_needs_token(&self) -> bool {
        self.reading_needs_token
    }

    /// Lets a request in that is meant for this listener, and tells which page it is from.
    pub(super) fn admit(&self, head: &Parts) -> Result<Origin, Problem> {
        let misdirected = |name: &str| {
            Problem::new(StatusCode::MISDIRECTED_REQUEST, format!("this server is not known as {name:?}"))
                .hint("ask by an address, by `localhost`, or by a name that is given with --status-name")
        };
        let host = host(head)?;
        for name in head.uri.authority().map(Authority::as_str).into_iter().chain(host) {
            if !self.is_known_as(name) {
                return Err(misdirected(name));
            }
        }
        let origin = origin(&head.headers, host);
        if origin == Origin::Foreign && changes(&head.method) {
            let error = "a page from elsewhere must not change anything here";
            return Err(Problem::new(StatusCode::FORBIDDEN, error));
        }
        Ok(origin)
    }

    /// Lets a request to the API through, and tells whether the token came with it. What scripts have said may hold secrets
    /// (`tells_output`): that needs the token, for every user of this machine gets to a loopback address.
    pub(super) fn authorize(&self, head: &Parts, tells_output: bool) -> Result<bool, Problem> {
        let given = head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let is_known = self.token.is_in(given);
        if is_known || !(changes(&head.method) || self.reading_needs_token || tells_output) {
            return Ok(is_known);
        }
        let error = "the token is missing or wrong; send it as `Authorization: Bearer TOKEN`";
        Err(Problem::new(StatusCode::UNAUTHORIZED, error).hint(
            "it is in the file of --status-token-file, else in status-token in the state directory of the server",
        ))
    }

    fn is_known_as(&self, authority: &str) -> bool {
        let Some(name) = without_port(authority) else { return false };
        if let Some(inner) = name.strip_prefix('[') {
            return inner.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())
            || self.names.contains(&name)
    }
}

/// Where the token is that a server makes for itself.
pub fn token_path(state_dir: &Path) -> PathBuf {
    state_dir.join(TOKEN)
}

/// True for all methods that are not known to change nothing.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The only `Host` header. Programs that speak HTTP/1.0 may have none; browsers do not.
fn host(head: &Parts) -> Result<Option<&str>, Problem> {
    let bad = |error: &str| Problem::new(StatusCode::BAD_REQUEST, error);
    let mut all = head.headers.get_all(header::HOST).iter();
    match (all.next(), all.next()) {
        (None, _) if head.version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(bad("the request has no Host header")),
        (Some(_), Some(_)) => Err(bad("the request has two Host headers")),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| bad("the Host header is no text")),
    }
}

/// A name or address without its port; `None` if the port is none.
fn without_port(authority: &str) -> Option<&str> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    match authority.get(after_address..)?.rfind(':') {
        None => Some(authority),
        Some(at) => {
            let (name, port) = authority.split_at_checked(after_address + at)?;
            port.bytes().skip(1).all(|b| b.is_ascii_digit()).then_some(name)
        }
    }
}

/// Whose page has sent a request: what a browser says of it, in headers that pages cannot set.
fn origin(headers: &HeaderMap, host: Option<&str>) -> Origin {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("null"));
    if let Some(origin) = text("origin") {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let same = authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
        return if same { Origin::Own } else { Origin::Foreign };
    }
    match text("sec-fetch-site") {
        None => Origin::Unknown,
        // By the user himself: an address that was typed, a bookmark.
        Some("same-origin" | "none") => Origin::Own,
        Some(_) => Origin::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn guard(reading_needs_token: bool) -> AccessGuard {
        let token = Token::new("0123456789abcdef").unwrap();
        AccessGuard { names: vec!["trigger.example.org".into()], token, reading_needs_token }
    }

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/api/v1/jobs");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_addresses_and_known_names_are_hosts() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:3001",
            "[::1]:3001",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "10.0.0.1",
            "trigger.example.org",
            "Trigger.Example.Org.:3001",
        ] {
            assert!(guard(false).admit(&head("GET", &[("host", good)])).is_ok(), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "::1",
            "[::1",
            "[evil]",
            "localhost:x",
            "trigger.example.org.evil:80",
            "",
            "2130706433",
        ] {
            let problem = guard(false).admit(&head("GET", &[("host", bad)])).unwrap_err();
            assert_eq!(problem.status, StatusCode::MISDIRECTED_REQUEST, "{bad}");
        }
        for headers in [&[][..], &[("host", "localhost"), ("host", "evil")]] {
            assert_eq!(
                guard(false).admit(&head("GET", headers)).unwrap_err().status,
                StatusCode::BAD_REQUEST
            );
        }
        let mut absolute = head("GET", &[("host", "localhost")]);
        absolute.uri = "http://evil.example/api/v1/jobs".parse().unwrap();
        assert!(guard(false).admit(&absolute).is_err());
    }

    #[test]
    fn a_foreign_page_changes_nothing() {
        let host = ("host", "127.0.0.1:3001");
        let admit = |method: &str, more: (&str, &str)| {
            guard(false).admit(&head(method, &[host, more])).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(admit("POST", ("origin", "http://127.0.0.1:3001")), Ok(Origin::Own));
        assert_eq!(admit("POST", ("sec-fetch-site", "same-origin")), Ok(Origin::Own));
        assert_eq!(admit("POST", ("user-agent", "curl")), Ok(Origin::Unknown));
        for foreign in ["http://127.0.0.1:3002", "http://127.0.0.1", "null", "http://evil.example", ""] {
            assert_eq!(admit("POST", ("origin", foreign)), Err(403), "{foreign}");
            assert_eq!(admit("DELETE", ("origin", foreign)), Err(403), "{foreign}");
            assert_eq!(admit("GET", ("origin", foreign)), Ok(Origin::Foreign), "{foreign}");
        }
        assert_eq!(admit("POST", ("sec-fetch-site", "cross-site")), Err(403));
        assert_eq!(admit("POST", ("sec-fetch-site", "same-site")), Err(403));
    }

    #[test]
    fn changing_always_needs_the_token_and_reading_sometimes() {
        let right = ("authorization", "Bearer 0123456789abcdef");
        let wrong = ("authorization", "Bearer 0123456789abcdeg");
        for (reading_needs_token, method, header, good) in [
            (false, "GET", None, true),
            (false, "GET", Some(wrong), true),
            (false, "POST", None, false),
            (false, "DELETE", Some(wrong), false),
            (false, "POST", Some(right), true),
            (true, "GET", None, false),
            (true, "HEAD", None, false),
            (true, "GET", Some(right), true),
        ] {
            let headers: Vec<_> = header.into_iter().collect();
            let result = guard(reading_needs_token).authorize(&head(method, &headers), false);
            assert_eq!(result.is_ok(), good, "{method} {header:?} {reading_needs_token}");
            let known = header == Some(right);
            assert_eq!(result.unwrap_or(known), known);
            let output = guard(reading_needs_token).authorize(&head(method, &headers), true);
            assert_eq!(output.is_ok(), known, "what scripts have said: {method} {header:?}");
        }
    }

    #[test]
    fn an_open_listener_needs_a_token_file() {
        let dir = tempfile::tempdir().unwrap();
        let made = |address: &str| AccessGuard::new(address.parse().unwrap(), Vec::new(), None, dir.path());
        let local = made("127.0.0.1").unwrap();
        assert!(!local.reading_needs_token() && token_path(dir.path()).exists());
        assert!(made("::1").is_ok() && made("::ffff:127.0.0.1").is_ok());
        for open in ["0.0.0.0", "::", "10.0.0.1"] {
            assert!(matches!(made(open), Err(GuardError::Open(_))), "{open}");
        }
        let file = token_path(dir.path());
        let guard = AccessGuard::new([10, 0, 0, 1].into(), Vec::new(), Some(&file), dir.path()).unwrap();
        assert!(guard.reading_needs_token());
    }
}
