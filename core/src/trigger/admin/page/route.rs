//! Which page a path is. Paths are taken as they come: nothing is decoded, no dots and no double slashes are understood.

use hyper::{Method, header, http::request::Parts};

use crate::trigger::job::{JobId, MachineId};

/// The first parts of paths that belong to other services of the same listener.
const OTHERS: [&str; 4] = ["api", "metrics", "healthz", "readyz"];

/// A page, or something that can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Overview,
    Jobs,
    Job(JobId),
    Log(JobId),
    LogText(JobId),
    Events(JobId),
    Cancel(JobId),
    Retry(JobId),
    Machines,
    Machine(MachineId),
    Arm(MachineId),
    Disarm(MachineId),
    Forget(MachineId),
    Login,
    Logout,
    Style,
    Script,
}

impl Route {
    /// The place of a path; `None` if it is none.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match *parts.as_slice() {
            [""] => Self::Overview,
            ["jobs"] => Self::Jobs,
            ["jobs", id] => Self::Job(number(id)?),
            ["jobs", id, "log"] => Self::Log(number(id)?),
            ["jobs", id, "log.txt"] => Self::LogText(number(id)?),
            ["jobs", id, "events"] => Self::Events(number(id)?),
            ["jobs", id, "cancel"] => Self::Cancel(number(id)?),
            ["jobs", id, "retry"] => Self::Retry(number(id)?),
            ["machines"] => Self::Machines,
            ["machines", id] => Self::Machine(number(id)?),
            ["machines", id, "arm"] => Self::Arm(number(id)?),
            ["machines", id, "disarm"] => Self::Disarm(number(id)?),
            ["machines", id, "forget"] => Self::Forget(number(id)?),
            ["login"] => Self::Login,
            ["logout"] => Self::Logout,
            ["style.css"] => Self::Style,
            ["page.js"] => Self::Script,
            _ => return None,
        })
    }

    pub(super) fn takes_post(self) -> bool {
        use Route::{Arm, Cancel, Disarm, Forget, Login, Logout, Retry};
        matches!(self, Cancel(_) | Retry(_) | Arm(_) | Disarm(_) | Forget(_) | Login | Logout)
    }

    pub(super) fn takes_get(self) -> bool {
        !matches!(self, Self::Disarm(_) | Self::Logout)
    }

    /// True where scripts speak: what they say may hold secrets.
    pub(super) fn tells_output(self) -> bool {
        matches!(self, Self::Log(_) | Self::LogText(_) | Self::Events(_))
    }

    /// For the header `Allow`.
    pub(super) fn methods(self) -> &'static str {
        match (self.takes_get(), self.takes_post()) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            (false, _) => "POST",
        }
    }
}

/// A number as this program writes it: no sign, no zero in front.
fn number(text: &str) -> Option<i64> {
    let good = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if good { text.parse().ok() } else { None }
}

/// True for a request of a browser for a page; one of no page is answered with a page that says so.
pub(super) fn wants_page(head: &Parts) -> bool {
    let first = head.uri.path().split('/').nth(1).unwrap_or_default();
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    head.method == Method::GET && !OTHERS.contains(&first) && accept.contains("text/html")
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
            && Route::parse(path.split(['?', '#']).next().unwrap_or_default()).is_some_and(Route::takes_get)
    };
    wanted.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_pages() {
        assert_eq!(Route::parse("/"), Some(Route::Overview));
        assert_eq!(Route::parse("/jobs/17/log.txt"), Some(Route::LogText(17)));
        assert_eq!(Route::parse("/machines/3/arm"), Some(Route::Arm(3)));
        for path in [
            "",
            "*",
            "//",
            "/jobs/",
            "/jobs/0",
            "/jobs/017",
            "/jobs/-1",
            "/jobs/+1",
            "/jobs/1/",
            "/jobs/1/../2",
            "/jobs/99999999999999999999",
            "/jobs/%31",
            "/./jobs",
            "/JOBS",
            "/style.css/",
            "jobs",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

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
}
