//! The parameters of a request: in its query, in its path, in its body.

use std::{ops::RangeInclusive, str::FromStr};

use hyper::StatusCode;

use super::problem::Problem;
use crate::trigger::job::JobId;

/// Highest number of a job or machine.
const HIGHEST: u64 = i64::MAX as u64;

/// The parameters of a query, each at most once.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may have the parameters `known`.
    ///
    /// # Errors
    ///
    /// The query has another parameter, or one parameter twice.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned() {
            let wrong = |what: String| Err(Problem::new(StatusCode::BAD_REQUEST, what));
            if !known.contains(&name.as_str()) {
                let problem = wrong(format!("there is no parameter {name:?} here"));
                return problem.map_err(|problem| match known {
                    [] => problem,
                    _ => problem.hint(format!("there are {}", known.join(", "))),
                });
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return wrong(format!("the parameter {name} is there twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        self.text(name).map(|text| number(name, text, bounds)).transpose()
    }

    /// A number of a job or machine.
    pub(super) fn id(&self, name: &str, lowest: u64) -> Result<Option<i64>, Problem> {
        let found = self.number(name, lowest..=HIGHEST)?;
        Ok(found.and_then(|number| i64::try_from(number).ok()))
    }

    /// One of a few words, which `must` lists.
    pub(super) fn word<T: FromStr>(&self, name: &str, must: &str) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| text.parse().map_err(|_| Problem::parameter(name, must))).transpose()
    }

    /// `1` or `0`; the latter if it is missing.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.number(name, 0..=1)? == Some(1))
    }
}

/// The number of a job in a path.
pub(super) fn job_id(text: &str) -> Result<JobId, Problem> {
    let found = number("id", text, 1..=HIGHEST)?;
    i64::try_from(found).map_err(|_| Problem::parameter("id", "the number of a job"))
}

/// Digits only: no sign, no point.
fn number(name: &str, text: &str, bounds: RangeInclusive<u64>) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let found: Option<u64> = text.parse().ok().filter(|number| digits && bounds.contains(number));
    found.ok_or_else(|| {
        let must = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        Problem::parameter(name, &must)
    })
}

/// For how many seconds a machine is armed: `{"seconds": N}`, or nothing.
pub(super) fn seconds(body: &[u8], default: u64, bounds: RangeInclusive<u64>) -> Result<u64, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(default);
    }
    let object: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_slice(body);
    let mut object =
        object.map_err(|_| Problem::parameter("the body", "a JSON object such as {\"seconds\": 3600}"))?;
    // As in the facts of machines: what is null is not there.
    object.retain(|_, value| !value.is_null());
    if let Some(name) = object.keys().find(|name| *name != "seconds") {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("the body has an unknown member {name:?}"),
        ));
    }
    let Some(value) = object.get("seconds") else { return Ok(default) };
    let must = format!("a whole number from {} to {}", bounds.start(), bounds.end());
    whole(value).filter(|n| bounds.contains(n)).ok_or_else(|| Problem::parameter("seconds", &must))
}

/// A whole number as JSON writes them: 60.0 is one, too.
fn whole(value: &serde_json::Value) -> Option<u64> {
    let float = || value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at before")]
    value.as_u64().or_else(|| float().map(|n| n as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        let problem = result.unwrap_err();
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
        problem.view.error
    }

    #[test]
    fn a_parameter_that_cannot_be_is_named() {
        let read = |query: &str| Query::read(Some(query), &["limit", "state"]);
        assert_eq!(read("limit=7&state=a%20b").unwrap().number("limit", 1..=9).unwrap(), Some(7));
        assert_eq!(read("").unwrap().number("limit", 1..=9).unwrap(), None);
        for bad in ["0", "10", "+1", "-1", "1.0", "", "x", "99999999999999999999"] {
            let query = read(&format!("limit={bad}")).unwrap();
            assert_eq!(
                error(query.number("limit", 1..=9)),
                "limit must be a whole number from 1 to 9",
                "{bad}"
            );
        }
        assert_eq!(error(read("limt=1")), "there is no parameter \"limt\" here");
        assert_eq!(error(read("limit=1&limit=2")), "the parameter limit is there twice");
        let state =
            read("state=done").unwrap().word::<crate::trigger::job::JobState>("state", "queued or running");
        assert_eq!(error(state), "state must be queued or running");
        assert_eq!(error(job_id("-1")), format!("id must be a whole number from 1 to {}", i64::MAX));
    }

    #[test]
    fn a_body_says_for_how_long() {
        let read = |body: &str| seconds(body.as_bytes(), 86_400, 1..=100_000);
        for (body, found) in [
            ("", 86_400),
            (" \n", 86_400),
            ("{}", 86_400),
            ("{\"seconds\":60}", 60),
            ("{\"seconds\":60.0}", 60),
            ("{\"seconds\":null,\"other\":null}", 86_400),
        ] {
            assert_eq!(read(body).unwrap(), found, "{body}");
        }
        for body in ["{\"seconds\":0}", "{\"seconds\":\"60\"}", "{\"seconds\":1.5}", "{\"seconds\":-1}"] {
            assert_eq!(error(read(body)), "seconds must be a whole number from 1 to 100000", "{body}");
        }
        assert_eq!(error(read("[60]")), "the body must be a JSON object such as {\"seconds\": 3600}");
        assert_eq!(error(read("{\"second\":60}")), "the body has an unknown member \"second\"");
    }
}
