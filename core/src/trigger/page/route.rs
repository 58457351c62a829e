//! Which page a path is. Paths are taken as they come: nothing is decoded, no dots and no double slashes are understood.

use hyper::{Method, header, http::request::Parts};

use super::problem::Problem;
use crate::trigger::job::{JobId, MachineId};

/// The first parts of paths that belong to other services of the same listener.
const OTHERS: [&str; 4] = ["api", "metrics", "healthz", "readyz"];

/// A page, or something that can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
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

impl Place {
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
        use Place::{Arm, Cancel, Disarm, Forget, Login, Logout, Retry};
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

/// True if a person who looks for a page that is not there should see one that says so.
pub(super) fn wants_page(head: &Parts) -> bool {
    let first = head.uri.path().split('/').nth(1).unwrap_or_default();
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    head.method == Method::GET && !OTHERS.contains(&first) && accept.contains("text/html")
}

/// The pairs of a query or a form.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a name; an empty one is none, as a form sends what was not filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value that has to be of a type, if it is there.
    pub(super) fn typed<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::bad(name, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_pages() {
        assert_eq!(Place::parse("/"), Some(Place::Overview));
        assert_eq!(Place::parse("/jobs/17/log.txt"), Some(Place::LogText(17)));
        assert_eq!(Place::parse("/machines/3/arm"), Some(Place::Arm(3)));
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
            assert_eq!(Place::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_form_is_decoded_and_empty_values_are_none() {
        let query = Query::parse("state=failed&kind=&next=%2Fjobs%2F1%3Fa&state=queued&before=x&bad=%ff");
        assert_eq!((query.get("state"), query.get("kind")), (Some("failed"), None));
        assert_eq!(query.get("next"), Some("/jobs/1?a"));
        assert!(query.typed::<i64>("before").is_err());
        assert!(query.typed::<i64>("after").unwrap().is_none());
    }
}
