//! Requests and answers, byte by byte, without a network.

use std::time::Duration;

use super::server::{Access, Files};
use crate::{
    token::Token,
    trigger::{
        attempt::End,
        job::{JobKind, JobState},
        ledger::Rules,
        store::JobFilter,
        testing::{Bench, Told},
    },
};

const PEER: &str = "10.0.0.7:4711";

fn bench() -> Bench {
    // Nothing is started: what was accepted can be counted.
    let rules = Rules { at_once: 0, ..Rules::default() };
    Bench::new(rules, Access::default(), Told::new(&[], Duration::ZERO))
}

async fn jobs(bench: &Bench) -> usize {
    bench.dispatcher.jobs(JobFilter { limit: 100, ..JobFilter::default() }).await.unwrap().len()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_call_is_a_job_and_a_second_one_joins_it() {
    let bench = bench();
    let first = bench.text(PEER, &get("/install/some/thing?x=1")).await;
    assert_eq!(status(&first), "202", "{first}");
    assert!(first.contains("location: /jobs/1\r\n"), "{first}");
    assert!(first.ends_with("\r\n\r\ninstall queued: job 1 for 10.0.0.7\n"), "{first}");
    let second = bench.text(PEER, &post("/cdist/install/", r#"{"serial":"7"}"#)).await;
    assert!(second.ends_with("install joined: job 1 for 10.0.0.7 is queued already\n"), "{second}");
    let other = bench.text(PEER, &get("/config/")).await;
    assert!(other.ends_with("config queued: job 2 for 10.0.0.7\n"), "{other}");
    let job = bench.dispatcher.job(1).await.unwrap().unwrap();
    assert_eq!((job.path.as_str(), job.joined, job.kind), ("some/thing?x=1", 1, JobKind::Install));
    assert_eq!(job.facts.serial.as_deref(), Some("7"));
    let look = bench.text(PEER, &get("/jobs/1")).await;
    assert!(look.ends_with("install queued: job 1 for 10.0.0.7\n"), "{look}");
    assert_eq!(status(&bench.text("10.0.0.8:1", &get("/jobs/1")).await), "404", "of another machine");
}

#[tokio::test]
async fn json_for_those_who_ask_for_it() {
    let bench = bench();
    let request = "GET /config/ HTTP/1.1\r\nHost: x\r\nAccept: text/html, application/json\r\n\r\n";
    let answer = bench.text(PEER, request).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((body["job"].as_i64(), body["state"].as_str()), (Some(1), Some("queued")));
}

#[tokio::test]
async fn nothing_but_get_and_post_starts_anything() {
    let bench = bench();
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"] {
        let answer = bench.text(PEER, &format!("{method} /install/ HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert!(["405", "400"].contains(&status(&answer)), "{method}: {answer}");
    }
    assert_eq!(status(&bench.text(PEER, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await), "200");
    assert_eq!(jobs(&bench).await, 0);
}

#[tokio::test]
async fn the_peer_is_who_has_the_connection_whatever_headers_say() {
    let bench = bench();
    let forged = "GET /config/ HTTP/1.1\r\nHost: 10.9.9.9\r\nX-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n\
                  X-Real-IP: 10.9.9.9\r\n\r\n";
    assert!(bench.text("[::ffff:10.0.0.7]:9", forged).await.ends_with("job 1 for 10.0.0.7\n"));
    // The same machine by way of the other socket.
    assert!(bench.text(PEER, &get("/config/")).await.contains("joined"));
    assert!(bench.text("[2001:db8::7]:9", &get("/config/")).await.ends_with("job 2 for 2001:db8::7\n"));
    // What only looks like one of ours is not.
    let absolute = bench.text(PEER, "GET http://evil/install/ HTTP/1.1\r\nHost: evil\r\n\r\n").await;
    assert!(["202", "404"].contains(&status(&absolute)), "{absolute}");
}

#[tokio::test]
async fn smuggled_and_malformed_requests_start_nothing() {
    let bench = bench();
    let inner = "GET /install/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = inner.len();
    for request in [
        // Two lengths, a length and chunks, chunks that are none.
        format!(
            "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"
        ),
        format!(
            "POST /config/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "POST /config/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: {length}\r\n\r\n{inner}"
        ),
        format!("POST /config/ HTTP/1.1\r\nHost: x\r\nContent-Length: +{length}\r\n\r\n{inner}"),
        format!("POST /config/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{inner}"),
        "GET /install/\r\nHost: x\r\n\r\n".to_owned(),
        "GET  /install/ HTTP/1.1\r\n\r\n".to_owned(),
        "GET /install/ HTTP/2.0\r\n\r\n".to_owned(),
        "GET /install/ HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        "GET /install/ HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(),
        "GET /install/\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02".to_owned(),
        String::new(),
    ] {
        let answer = bench.text(PEER, &request).await;
        assert!(
            answer.is_empty() || ["400", "404", "405", "505"].contains(&status(&answer)),
            "{request:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 202").count(), 0, "{request:?}: {answer}");
    }
    assert_eq!(jobs(&bench).await, 0);
    // Both, a length and chunks: the chunks count, and the connection ends with the answer (RFC 9112, section 6.3).
    let both = format!(
        "POST /config/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
    );
    let answer = bench.text(PEER, &both).await;
    assert!(answer.matches("HTTP/1.1 ").count() == 1 && !answer.contains("install"), "{answer}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let bench = bench();
    let answer = bench.text(PEER, &post("/config/", &"x".repeat(70_000))).await;
    assert_eq!(status(&answer), "413", "{answer}");
    let chunks = "400\r\n".to_owned() + &"y".repeat(0x400) + "\r\n";
    let request = "POST /config/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &chunks.repeat(80);
    assert_eq!(status(&bench.text(PEER, &request).await), "413");
    let header = format!("GET /config/ HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "z".repeat(40_000));
    assert_eq!(status(&bench.text(PEER, &header).await), "431");
    let headers = format!("GET /config/ HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(status(&bench.text(PEER, &headers).await), "431");
    assert_eq!(status(&bench.text(PEER, &get(&format!("/config/{}", "a".repeat(40_000)))).await), "431");
    assert_eq!(jobs(&bench).await, 0);
}

#[tokio::test]
async fn facts_have_to_be_facts() {
    let bench = bench();
    for body in ["mac=1", "[]", r#"{"mac":"x"}"#, r#"{"ssh_host_keys":["@revoked * ssh-rsa AA"]}"#] {
        let answer = bench.text(PEER, &post("/config/", body)).await;
        assert_eq!(status(&answer), "400", "{body}");
        assert!(answer.contains("config of 10.0.0.7 not queued: "), "{answer}");
    }
    assert_eq!(jobs(&bench).await, 0);
    // An empty body is a call without facts.
    assert_eq!(status(&bench.text(PEER, &post("/config/", "")).await), "202");
}

#[tokio::test]
async fn only_who_may_and_knows_the_token() {
    let access = Access {
        allow: vec!["10.0.0.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        token: Token::new("0123456789abcdef"),
        files: None,
    };
    let rules = Rules { at_once: 0, ..Rules::default() };
    let bench = Bench::new(rules, access, Told::new(&[], Duration::ZERO));
    let with = |value: &str| format!("GET /config/ HTTP/1.1\r\nHost: x\r\nAuthorization: {value}\r\n\r\n");
    assert_eq!(status(&bench.text("10.0.1.7:1", &with("Bearer 0123456789abcdef")).await), "403");
    assert_eq!(status(&bench.text("[::ffff:10.0.1.7]:1", &with("Bearer 0123456789abcdef")).await), "403");
    assert_eq!(status(&bench.text(PEER, &with("Bearer 0123456789abcdeg")).await), "401");
    let without = bench.text(PEER, &get("/config/")).await;
    assert_eq!(status(&without), "401");
    assert!(without.contains("www-authenticate: Bearer\r\n"), "{without}");
    assert_eq!(status(&bench.text(PEER, &get("/jobs/1")).await), "401");
    assert_eq!(jobs(&bench).await, 0);
    assert_eq!(status(&bench.text("[::ffff:10.0.0.7]:1", &with("Bearer 0123456789abcdef")).await), "202");
    assert_eq!(status(&bench.text("[2001:db8::1]:1", &with("bearer 0123456789abcdef")).await), "202");
    // Whether it is there may be asked by everybody.
    assert_eq!(status(&bench.text("192.0.2.1:1", &get("/healthz")).await), "200");
}

#[tokio::test]
async fn a_page_in_a_browser_starts_nothing() {
    let bench = bench();
    for header in [
        "Origin: http://evil.example",
        "Sec-Fetch-Mode: no-cors",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Accept-Language: en",
    ] {
        let request = format!("POST /install/ HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status(&bench.text(PEER, &request).await), "403", "{header}");
    }
    assert_eq!(jobs(&bench).await, 0);
}

#[tokio::test]
async fn who_waits_hears_how_it_ended() {
    let rules = Rules { retries: 0, ..Rules::default() };
    let worker = Told::new(&[End::Succeeded, End::Failed], Duration::from_millis(50));
    let bench = Bench::new(rules, Access::default(), worker.clone());
    let good = bench.text(PEER, &get("/config/?wait=20")).await;
    assert!(good.starts_with("HTTP/1.1 200 OK\r\n"), "{good}");
    assert!(good.ends_with("config succeeded: job 1 for 10.0.0.7\n"), "{good}");
    let bad = bench.text(PEER, &get("/config/?wait=20")).await;
    assert_eq!(status(&bad), "599", "{bad}");
    assert!(bad.contains("config failed: job 2"), "{bad}");
    let long = Told::new(&[], Duration::from_secs(60));
    let bench = Bench::new(Rules::default(), Access::default(), long);
    let slow = bench.text(PEER, &get("/config/?wait=0")).await;
    assert_eq!(status(&slow), "202", "{slow}");
    assert_eq!(worker.attempts()[0].address, "10.0.0.7");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let rules = Rules { at_once: 0, queue_max: 1, ..Rules::default() };
    let bench = Bench::new(rules, Access::default(), Told::new(&[], Duration::ZERO));
    assert_eq!(status(&bench.text(PEER, &get("/config/")).await), "202");
    let full = bench.text("10.0.0.8:1", &get("/config/")).await;
    assert_eq!(status(&full), "503", "{full}");
    assert!(full.contains("retry-after: 30\r\n"), "{full}");
    let health = bench.text(PEER, &get("/healthz")).await;
    assert!(health.ends_with("the queue is full\n"), "{health}");
}

#[tokio::test]
async fn files_are_called_like_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    std::fs::write(&source, "content").unwrap();
    let files = Some(Files { dir: dir.path().to_owned(), source });
    let rules = Rules::default();
    let bench = Bench::new(rules, Access { files, ..Access::default() }, Told::new(&[], Duration::ZERO));
    let path = dir.path().join("10.0.0.7");
    for _ in 0..2 {
        let answer = bench.text(PEER, &get("/file/present/../../etc/x")).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
    }
    for _ in 0..2 {
        assert_eq!(status(&bench.text(PEER, &get("/file/absent/x")).await), "200");
        assert!(!path.exists());
    }
    let none = super::server_tests::bench();
    let answer = none.text(PEER, &get("/file/present/x")).await;
    assert_eq!(status(&answer), "404");
    assert!(answer.contains("-D and --source"), "{answer}");
}

#[tokio::test]
async fn who_asks_while_the_server_ends_is_told_so() {
    let bench = bench();
    bench.dispatcher.close(Duration::ZERO);
    let answer = bench.text(PEER, &get("/config/")).await;
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(answer.contains("shutting down"), "{answer}");
    assert!(bench.text(PEER, &get("/healthz")).await.ends_with("shutting down\n"));
}

#[tokio::test]
async fn states_in_the_answer_are_those_of_the_job() {
    let reply = super::protocol::standing(3, JobKind::Config, JobState::Interrupted, "10.0.0.7", true);
    assert_eq!((reply.status, reply.state), (599, Some(JobState::Interrupted)));
    let reply = super::protocol::standing(3, JobKind::Config, JobState::Failed, "10.0.0.7", false);
    assert_eq!(reply.status, 200);
}
