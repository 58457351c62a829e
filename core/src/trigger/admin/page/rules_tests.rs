//! What is allowed to whom.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};

use super::{
    tests::{TOKEN, World, job, machine},
    *,
};
use crate::trigger::{
    attempt::{AttemptReport, StreamEnd},
    job::{Job, JobKind, JobState},
    ledger::Change,
    store::{JobFilter, Reader},
};

const PLACES: [&str; 17] = [
    "/",
    "/jobs",
    "/jobs/1",
    "/jobs/1/log",
    "/jobs/1/log.txt",
    "/jobs/1/events",
    "/jobs/1/cancel",
    "/jobs/1/retry",
    "/machines",
    "/machines/1",
    "/machines/1/arm",
    "/machines/1/disarm",
    "/machines/1/forget",
    "/login",
    "/logout",
    "/style.css",
    "/page.js",
];
const ACTIONS: [&str; 5] =
    ["/machines/1/arm", "/machines/1/disarm", "/machines/1/forget", "/jobs/1/retry", "/jobs/1/cancel"];

fn world(reading_needs_token: bool) -> World {
    let job = job(1, JobState::Failed, JobKind::Config);
    World::new(&[Change::Machine(Box::new(machine(1))), Change::Job(Box::new(job))], reading_needs_token)
}

/// Everything that is stored.
fn stored(world: &World) -> String {
    let mut store = world.store.clone();
    let jobs = store.jobs(&JobFilter { limit: 99, ..JobFilter::default() }).unwrap();
    format!("{:?} {jobs:?}", Reader::machines(&mut store, 0, 99).unwrap())
}

#[tokio::test]
async fn only_a_form_of_the_session_changes_something() {
    let world = world(false);
    let before = stored(&world);
    let (cookie, csrf) = world.log_in().await;
    let (_, others) = world.log_in().await;
    let long = "f".repeat(64);
    for place in ACTIONS {
        for (cookie, csrf) in [
            ("", csrf.as_str()),
            (cookie.as_str(), ""),
            (&cookie, "wrong"),
            (&cookie, &others),
            (&cookie, &csrf.to_uppercase().replace(char::is_numeric, "0")),
            (&format!("cdist_session={long}"), &long),
            ("cdist_session=", ""),
        ] {
            let seen =
                world.ask(Method::POST, place, &[("cookie", cookie)], &format!("hours=24&csrf={csrf}")).await;
            assert_eq!(seen.status, StatusCode::FORBIDDEN, "{place} {cookie} {csrf}");
        }
        // The field's place is the body.
        let target = format!("{place}?hours=24&csrf={csrf}");
        let seen = world.ask(Method::POST, &target, &[("cookie", &cookie)], "hours=24").await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{place}");
    }
    assert_eq!(stored(&world), before);
}

#[tokio::test]
async fn forms_of_other_origins_are_refused() {
    let world = world(false);
    let before = stored(&world);
    let (cookie, csrf) = world.log_in().await;
    let body = format!("hours=24&csrf={csrf}");
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "http://127.0.0.1:3002"),
        ("origin", "http://127.0.0.1"),
        ("origin", "ftp://127.0.0.1:3001"),
        ("origin", "127.0.0.1:3001"),
        ("origin", "http://127.0.0.1:3001.evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        let seen =
            world.ask(Method::POST, "/machines/1/arm", &[("cookie", &cookie), (name, value)], &body).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN, "{name}: {value}");
        let login = world.ask(Method::POST, "/login", &[(name, value)], &format!("token={TOKEN}")).await;
        assert_eq!(
            (login.status, login.header("set-cookie")),
            (StatusCode::FORBIDDEN, ""),
            "{name}: {value}"
        );
    }
    let headers = [("cookie", cookie.as_str())];
    let foreign = world.answer(Method::POST, "/machines/1/arm", &headers, &body, Origin::Foreign).await;
    assert_eq!(foreign.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(stored(&world), before);
    let headers =
        [("cookie", cookie.as_str()), ("origin", "http://127.0.0.1:3001"), ("sec-fetch-site", "same-origin")];
    let seen = world.ask(Method::POST, "/machines/1/arm", &headers, &body).await;
    assert_eq!((seen.status, seen.header("location")), (StatusCode::SEE_OTHER, "/machines/1?done=armed"));
    assert!(stored(&world).contains("armed_until: Some"));
}

#[tokio::test]
async fn looking_changes_nothing_and_other_methods_are_refused() {
    let world = world(false);
    let (cookie, csrf) = world.log_in().await;
    let before = stored(&world);
    for place in PLACES {
        for method in [Method::GET, Method::HEAD] {
            let target = format!("{place}?csrf={csrf}&hours=24&token={TOKEN}");
            let seen =
                world.ask(method, &target, &[("cookie", &cookie)], &format!("csrf={csrf}&hours=24")).await;
            assert_eq!(seen.header("set-cookie"), "", "{place}");
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            let seen =
                world.ask(method.clone(), place, &[("cookie", &cookie)], &format!("csrf={csrf}")).await;
            assert_eq!(seen.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {place}");
            assert!(!seen.header("allow").is_empty());
        }
    }
    for (method, place, allow) in [
        (Method::GET, "/machines/1/disarm", "POST"),
        (Method::GET, "/logout", "POST"),
        (Method::POST, "/", "GET, HEAD"),
        (Method::POST, "/jobs/1", "GET, HEAD"),
        (Method::POST, "/page.js", "GET, HEAD"),
    ] {
        let seen = world.ask(method, place, &[("cookie", &cookie)], &format!("csrf={csrf}")).await;
        assert_eq!((seen.status, seen.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allow), "{place}");
    }
    assert_eq!(stored(&world), before);
}

#[tokio::test]
async fn what_a_session_asks_for_is_done() {
    let mut world = world(false);
    // For how long a machine is armed goes by the real one.
    world.page.clock = now;
    let (cookie, csrf) = world.log_in().await;
    let headers = [("cookie", cookie.as_str())];
    let post = async |place: &str, body: &str| {
        let seen = world.ask(Method::POST, place, &headers, &format!("csrf={csrf}&{body}")).await;
        (seen.status.as_u16(), seen.header("location").to_owned(), seen.text)
    };
    for hours in ["", "hours=", "hours=0", "hours=-1", "hours=25", "hours=99999999999999999999"] {
        assert_eq!(post("/machines/1/arm", hours).await.0, 400, "{hours}");
    }
    assert_eq!(post("/machines/1/arm", "hours=4").await.1, "/machines/1?done=armed");
    let seen = world.get("/machines/1?done=armed").await.text;
    assert!(seen.contains("It is installed when it calls") && seen.contains("The machine is armed"));
    assert_eq!(post("/machines/1/disarm", "").await.1, "/machines/1?done=disarmed");
    assert_eq!(post("/machines/9/arm", "hours=4").await.0, 404);
    assert_eq!(post("/jobs/1/retry", "").await.1, "/jobs/2?done=retried");
    let (status, _, text) = post("/machines/1/forget", "").await;
    assert!(status == 409 && text.contains("<code>cdist trigger cancel 2</code>"), "{text}");
    assert_eq!(post("/jobs/2/cancel", "").await.1, "/jobs/2?done=stopping");
    assert_eq!(post("/jobs/1/cancel", "").await.0, 409);
    assert_eq!(post("/jobs/7/retry", "").await.0, 404);
    // A notice is one of ours, whatever the query says.
    assert!(!world.get("/jobs/1?done=%3Cb%3Epaid").await.text.contains("banner"));
}

#[tokio::test]
async fn one_logs_in_with_the_token_only_and_out_again() {
    let world = world(false);
    let begin = Instant::now();
    let guesses =
        ["", "token=", "token=0123456789abcde", "token=0123456789abcdeF", "tokens=0123456789abcdef"];
    let all: Vec<_> = guesses.iter().map(|body| world.ask(Method::POST, "/login", &[], body)).collect();
    for seen in futures(all).await {
        assert_eq!((seen.status, seen.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
        assert!(seen.text.contains("That is not the token.") && !seen.text.contains("0123456789"));
    }
    assert!(begin.elapsed() >= Duration::from_secs(2), "the fifth has waited for its turn");
    let seen = world.ask(Method::POST, "/login", &[], &format!("token=+{TOKEN}%0A")).await;
    let cookie = seen.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
    assert_eq!(pair.len(), "cdist_session=".len() + 64);
    let (cookie, csrf) = world.log_in().await;
    let seen = world.ask(Method::GET, "/login?next=/jobs/1", &[("cookie", &cookie)], "").await;
    assert_eq!(seen.header("location"), "/jobs/1");
    let out = world.ask(Method::POST, "/logout", &[("cookie", &cookie)], &format!("csrf={csrf}")).await;
    assert!(out.header("set-cookie").ends_with("Max-Age=0"));
    let seen = world.ask(Method::GET, "/", &[("cookie", &cookie)], "").await;
    assert!(seen.text.contains("Log in") && !seen.text.contains("csrf"));
}

/// All of them at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in &mut all {
            if done.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn a_login_leads_to_pages_of_this_server_only() {
    let world = world(true);
    for (next, location) in [
        ("%2Fjobs%2F1%3Fdone%3Dretried", "/jobs/1?done=retried"),
        ("https%3A%2F%2Fevil.example%2F", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("%2Fjobs%0D%0ASet-Cookie%3A%20a%3Db", "/"),
    ] {
        let seen = world.ask(Method::POST, "/login", &[], &format!("token={TOKEN}&next={next}")).await;
        assert_eq!((seen.status, seen.header("location")), (StatusCode::SEE_OTHER, location), "{next}");
    }
    let seen = world.get("/login?next=//evil.example").await.text;
    assert!(!seen.contains("evil"));
}

#[tokio::test]
async fn where_looking_needs_the_token_strangers_see_the_login_only() {
    let world = world(true);
    for place in PLACES {
        let seen = world.ask(Method::GET, place, &[("cookie", "cdist_session=x")], "").await;
        let expected = match place {
            "/login" | "/style.css" | "/page.js" => 200,
            "/jobs/1/events" => 401,
            "/logout" | "/machines/1/disarm" => 405,
            _ => 303,
        };
        assert_eq!(seen.status, expected, "{place}");
        assert!(expected != 303 || seen.header("location").starts_with("/login"), "{place}");
        assert!(!seen.text.contains("10.0.0.1"), "{place}");
    }
    let seen = world.get("/jobs?state=failed&before=9").await;
    assert_eq!(seen.header("location"), "/login?next=%2Fjobs%3Fstate%3Dfailed%26before%3D9");
    let (cookie, _) = world.log_in().await;
    let two = format!("cdist_session=planted; {cookie}");
    assert_eq!(world.ask(Method::GET, "/jobs/1", &[("cookie", &two)], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_scripts_have_said_is_for_those_who_have_logged_in() {
    let report = AttemptReport {
        reason: Some("it broke".into()),
        streams: vec![StreamEnd { name: "stderr/init".into(), text: "the secret".into() }],
        ..AttemptReport::default()
    };
    let broken = Job { report: Some(Box::new(report)), ..job(1, JobState::Failed, JobKind::Config) };
    let world = World::new(&[Change::Machine(Box::new(machine(1))), Change::Job(Box::new(broken))], false);
    for (place, expected) in [("/jobs/1/log", 303), ("/jobs/1/log.txt", 303), ("/jobs/1/events", 401)] {
        assert_eq!(world.get(place).await.status, expected, "{place}");
    }
    let seen = world.get("/jobs/1").await.text;
    assert!(seen.contains("it broke") && !seen.contains("the secret"), "{seen}");
    assert!(world.get_logged_in("/jobs/1").await.text.contains("the secret"));
}

#[tokio::test]
async fn who_has_the_token_does_not_wait_for_those_who_guess() {
    let world = world(false);
    let _turns = world.page.logins.acquire_many(u32::try_from(LOGINS_AT_ONCE).unwrap()).await.unwrap();
    let login = tokio::time::timeout(Duration::from_secs(5), world.log_in());
    login.await.expect("others guess");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_bind_browsers() {
    let world = world(false);
    for target in PLACES.iter().chain(&["/nothing", "/jobs?state=x"]) {
        let seen = world.get(target).await;
        let policy = seen.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{target}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{target}");
        assert_eq!(seen.header("x-content-type-options"), "nosniff", "{target}");
        assert_eq!(seen.header("referrer-policy"), "same-origin", "{target}");
        let is_asset = target.ends_with(".css") || target.ends_with(".js");
        assert_eq!(seen.header("cache-control"), if is_asset { "no-cache" } else { "no-store" }, "{target}");
    }
    let style = world.get("/style.css").await;
    let again = world.ask(Method::GET, "/style.css", &[("if-none-match", style.header("etag"))], "").await;
    assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
}

#[tokio::test]
async fn paths_of_others_are_left_to_them() {
    let world = world(false);
    for (target, accept) in
        [("/metrics", "text/html"), ("/api/v1/jobs", "text/html"), ("/x", "*/*"), ("/x", "")]
    {
        let answer = world.answer(Method::GET, target, &[("accept", accept)], "", Origin::Unknown).await;
        assert!(answer.is_none(), "{target}");
    }
    assert_eq!(world.get("/x").await.status, StatusCode::NOT_FOUND);
}
