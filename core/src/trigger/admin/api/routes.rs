//! What the second listener and the socket know besides pages.

use hyper::Method;
use percent_encoding::percent_decode_str;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Status,
    Jobs,
    Job,
    Log,
    Events,
    Cancel,
    Retry,
    Machines,
    Machine,
    Arm,
    Disarm,
    Forget,
    Document,
    Metrics,
    Health,
}

/// All of them. A part in braces stands for one that is not empty.
pub(super) const ROUTES: [(Method, &str, Endpoint); 15] = [
    (Method::GET, "/api/v1/status", Endpoint::Status),
    (Method::GET, "/api/v1/jobs", Endpoint::Jobs),
    (Method::GET, "/api/v1/jobs/{id}", Endpoint::Job),
    (Method::GET, "/api/v1/jobs/{id}/log", Endpoint::Log),
    (Method::GET, "/api/v1/jobs/{id}/events", Endpoint::Events),
    (Method::POST, "/api/v1/jobs/{id}/cancel", Endpoint::Cancel),
    (Method::POST, "/api/v1/jobs/{id}/retry", Endpoint::Retry),
    (Method::GET, "/api/v1/machines", Endpoint::Machines),
    (Method::GET, "/api/v1/machines/{word}", Endpoint::Machine),
    (Method::POST, "/api/v1/machines/{word}/arm", Endpoint::Arm),
    (Method::POST, "/api/v1/machines/{word}/disarm", Endpoint::Disarm),
    (Method::DELETE, "/api/v1/machines/{word}", Endpoint::Forget),
    (Method::GET, "/api/v1/openapi.json", Endpoint::Document),
    (Method::GET, "/metrics", Endpoint::Metrics),
    (Method::GET, "/healthz", Endpoint::Health),
];

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Here. With the part of the path that stood for the braces.
    To(Endpoint, String),
    /// The path has these methods only.
    WrongMethod(String),
    /// Nowhere.
    Nowhere,
}

/// True for paths that are not the page's.
pub(super) fn is_ours(path: &str) -> bool {
    let below =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below("/api") || below("/metrics") || below("/healthz")
}

/// True for paths whose answers are what scripts have said.
pub(super) fn tells_output(path: &str) -> bool {
    let is = |endpoint| matches!(find(&Method::GET, path), Route::To(found, _) if found == endpoint);
    is(Endpoint::Log) || is(Endpoint::Events)
}

/// Finds the route of a request. HEAD is GET, whose body the connection leaves out.
pub(super) fn find(method: &Method, path: &str) -> Route {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut allow = Vec::new();
    for (known, template, endpoint) in &ROUTES {
        let Some(word) = capture(template, path) else { continue };
        if known == wanted {
            return Route::To(*endpoint, word);
        }
        allow.push(known.as_str());
        if *known == Method::GET {
            allow.push("HEAD");
        }
    }
    if allow.is_empty() { Route::Nowhere } else { Route::WrongMethod(allow.join(", ")) }
}

/// What stands for the braces, if the path is one of the template.
fn capture(template: &str, path: &str) -> Option<String> {
    let (mut known, mut parts) = (template.split('/'), path.split('/'));
    let mut word = String::new();
    loop {
        match (known.next(), parts.next()) {
            (None, None) => return Some(word),
            (Some(name), Some(part)) if name.starts_with('{') && !part.is_empty() => {
                // What is no UTF-8 is no number and no address either.
                word = percent_decode_str(part).decode_utf8_lossy().into_owned();
            }
            (Some(known), Some(part)) if known == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_should() {
        let to = |endpoint, word: &str| Route::To(endpoint, word.into());
        for (method, path, route) in [
            (Method::GET, "/api/v1/jobs", to(Endpoint::Jobs, "")),
            (Method::HEAD, "/api/v1/jobs/17", to(Endpoint::Job, "17")),
            (Method::GET, "/api/v1/machines/fe80::1%25eth0", to(Endpoint::Machine, "fe80::1%eth0")),
            (Method::DELETE, "/api/v1/machines/52:54:00:ab:cd:01", to(Endpoint::Forget, "52:54:00:ab:cd:01")),
            (Method::POST, "/api/v1/jobs/17/retry", to(Endpoint::Retry, "17")),
            (Method::PUT, "/api/v1/machines/1", Route::WrongMethod("GET, HEAD, DELETE".into())),
            (Method::GET, "/api/v1/jobs/17/retry", Route::WrongMethod("POST".into())),
            (Method::GET, "/api/v1/jobs/", Route::Nowhere),
            (Method::GET, "/api/v1/jobs//log", Route::Nowhere),
            (Method::GET, "/api/v1/jobs/17/log/", Route::Nowhere),
            (Method::GET, "/api/v1", Route::Nowhere),
            (Method::GET, "/metrics/", Route::Nowhere),
        ] {
            assert_eq!(find(&method, path), route, "{path}");
        }
        assert!(is_ours("/api/x") && is_ours("/api") && is_ours("/metrics") && is_ours("/healthz"));
        assert!(tells_output("/api/v1/jobs/x/log") && tells_output("/api/v1/jobs/%31/events"));
        assert!(!tells_output("/api/v1/jobs/1") && !tells_output("/api/v1/jobs/1/cancel"));
        assert!(!is_ours("/") && !is_ours("/apis") && !is_ours("/jobs/1"));
    }

    #[test]
    fn the_document_describes_exactly_these() {
        let document: serde_json::Value = serde_json::from_str(crate::trigger::admin::api::DOCUMENT).unwrap();
        let mut described: Vec<String> = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            described.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        let mut known: Vec<String> =
            ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        described.sort();
        known.sort();
        assert_eq!(described, known);
    }
}
