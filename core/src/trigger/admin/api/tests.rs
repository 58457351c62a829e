//! The service through its socket and its listener, with a worker that does what it is told.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{Status, guard::AccessGuard, view::ListenerView};
use crate::{
    net::connections::Connections,
    trigger::{
        admin::socket,
        attempt::{Attempt, AttemptReport, End, Ended, JobWorker},
        dispatcher::{Dispatcher, DispatcherSettings},
        facts::Facts,
        job::JobKind,
        ledger::{Call, Rules},
        store::Memory,
    },
};

/// Writes a line, waits until it may go on, writes another one.
#[derive(Debug, Default)]
struct Script {
    go: AtomicBool,
    fails: AtomicBool,
}

#[async_trait]
impl JobWorker for Script {
    async fn run(&self, attempt: Attempt) -> Ended {
        fs::write(&attempt.log, format!("begin {}\n", attempt.number)).unwrap();
        while !self.go.load(Ordering::SeqCst) && !attempt.cancel.is_cancelled() {
            sleep(Duration::from_millis(5)).await;
        }
        let mut log = fs::OpenOptions::new().append(true).open(&attempt.log).unwrap();
        log.write_all(b"end\n").unwrap();
        let (end, reason) = if attempt.cancel.is_cancelled() {
            (End::Cancelled, None)
        } else if self.fails.load(Ordering::SeqCst) {
            (End::Failed, Some("it broke".to_owned()))
        } else {
            (End::Succeeded, None)
        };
        Ended { end, report: AttemptReport { reason, seconds: 0.5, ..AttemptReport::default() } }
    }
}

struct Lab {
    dir: tempfile::TempDir,
    worker: Arc<Script>,
    dispatcher: Dispatcher,
    address: SocketAddr,
    token: String,
    stop: watch::Sender<bool>,
    served: Vec<tokio::task::JoinHandle<()>>,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let worker = Arc::<Script>::default();
        let settings = DispatcherSettings {
            rules: Rules { retries: 0, ..Rules::default() },
            state_dir: dir.path().to_owned(),
            keep: Duration::from_secs(1000),
            job_time: Duration::from_secs(1000),
        };
        let runtime = tokio::runtime::Handle::current();
        let (dispatcher, _) =
            Dispatcher::start(&settings, Box::<Memory>::default(), Arc::clone(&worker) as _, runtime)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guard = AccessGuard::new(address.ip(), Vec::new(), None, dir.path()).unwrap();
        let token = fs::read_to_string(super::guard::token_path(dir.path())).unwrap().trim().to_owned();
        let (stop, stopped) = watch::channel(false);
        let listeners = vec![ListenerView { purpose: "status".into(), address: address.to_string() }];
        let status = Status::new(dispatcher.clone(), guard, dir.path().to_owned(), listeners, stopped);
        let unix = UnixListener::from_std(socket::listen(dir.path()).unwrap()).unwrap();
        let served = vec![
            tokio::spawn(Arc::clone(&status).serve_tcp(listener, Connections::new(64))),
            tokio::spawn(status.serve_unix(unix)),
        ];
        Self { dir, worker, dispatcher, address, token, stop, served }
    }

    async fn call(&self, kind: JobKind, address: &str, mac: &str) {
        let facts = Facts { mac: Some(mac.into()), ..Facts::default() };
        let call = Call { kind, address: address.parse().unwrap(), neighbour: None, facts, path: "x".into() };
        self.dispatcher.call(call).await.unwrap();
    }

    /// Sends a request through the socket and reads to the end: status and body.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let stream = UnixStream::connect(self.dir.path().join(socket::NAME)).await.unwrap();
        let (status, _, body) = talk(stream, &request(method, path, &[], body)).await;
        (status, body)
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.ask(method, path, body).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}")))
    }

    /// Like [`ask`](Self::ask), of a stream: says when the first of it is there.
    async fn follow(&self, path: &str, begun: &Notify) -> (u16, String) {
        let stream = UnixStream::connect(self.dir.path().join(socket::NAME)).await.unwrap();
        let (status, _, body) = talk_of(stream, &request("GET", path, &[], ""), begun).await;
        (status, body)
    }

    /// The same through the listener: status, head, body.
    async fn ask_tcp(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        talk(stream, &request(method, path, headers, "")).await
    }

    async fn until(&self, job: i64, state: &str) {
        for _ in 0..400 {
            if self.json("GET", &format!("/api/v1/jobs/{job}"), "").await.1["state"] == state {
                // The worker has begun, too.
                let log = self.ask("GET", &format!("/api/v1/jobs/{job}/log"), "").await.1;
                if !log.is_empty() {
                    return;
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("job {job} is not {state}");
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

async fn talk(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: &str,
) -> (u16, String, String) {
    talk_of(stream, request, &Notify::new()).await
}

/// `begun` is notified when the beginning of a body has come.
async fn talk_of(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: &str,
    begun: &Notify,
) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while stream.read_buf(&mut answer).await? > 0 {
            if answer.windows(4).position(|end| end == b"\r\n\r\n").is_some_and(|end| end + 4 < answer.len())
            {
                begun.notify_one();
            }
        }
        std::io::Result::Ok(())
    };
    let read = timeout(Duration::from_secs(20), read).await;
    read.expect("the answer does not end").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    (status, head.to_owned(), body)
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&rest[..length]);
        body = &rest[length..];
        body = body.strip_prefix("\r\n").unwrap_or_default();
    }
    text
}

#[tokio::test]
async fn jobs_and_machines_are_told_and_changed() {
    let lab = Lab::new().await;
    lab.call(JobKind::Config, "10.0.0.1", "52:54:00:00:00:01").await;
    lab.call(JobKind::Install, "10.0.0.2", "52:54:00:00:00:02").await;
    lab.until(2, "running").await;
    let (status, list) = lab.json("GET", "/api/v1/jobs?limit=1", "").await;
    assert_eq!((status, &list["jobs"][0]["id"], &list["next"]), (200, &json!(2), &json!(2)));
    let (_, list) =
        lab.json("GET", "/api/v1/jobs?machine=52:54:00:00:00:01&state=running&kind=config", "").await;
    assert_eq!((list["jobs"][0]["mac"].as_str(), &list["next"]), (Some("52:54:00:00:00:01"), &Value::Null));
    let (_, job) = lab.json("GET", "/api/v1/jobs/2", "").await;
    assert_eq!(
        (&job["actions"], &job["machine_record"]["address"]),
        (&json!(["cancel"]), &json!("10.0.0.2"))
    );
    assert_eq!(job["log"], json!(lab.dir.path().join("jobs/2/1.log")));

    assert_eq!(lab.json("POST", "/api/v1/jobs/2/retry", "").await.0, 409);
    let (status, forget) = lab.json("DELETE", "/api/v1/machines/2", "").await;
    assert_eq!((status, forget["error"].as_str()), (409, Some("job 2 of machine 2 is not at its end")));
    let (status, done) = lab.json("POST", "/api/v1/jobs/2/cancel", "").await;
    assert_eq!((status, done["message"].as_str()), (202, Some("job 2 is told to stop")));
    lab.until(2, "cancelled").await;
    let (status, error) = lab.json("POST", "/api/v1/jobs/2/cancel", "").await;
    assert_eq!((status, error["hint"].as_str()), (409, Some("`cdist trigger retry 2` does it again")));
    lab.worker.go.store(true, Ordering::SeqCst);
    assert_eq!(
        lab.json("POST", "/api/v1/jobs/2/retry", "").await,
        (202, json!({"job": 3, "message": "job 3 does job 2 again"}))
    );
    lab.until(3, "succeeded").await;

    let (status, armed) = lab.json("POST", "/api/v1/machines/10.0.0.2/arm", "{\"seconds\": 60}").await;
    assert_eq!((status, &armed["machine"]), (200, &json!(2)));
    let (_, machine) = lab.json("GET", "/api/v1/machines/52:54:00:00:00:02", "").await;
    assert_eq!((&machine["armed"], machine["jobs"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    assert_eq!(machine["armed_until"], armed["armed_until"]);
    assert_eq!(lab.json("POST", "/api/v1/machines/2/disarm", "").await.0, 200);
    let (_, list) = lab.json("GET", "/api/v1/machines?after=1&limit=1", "").await;
    assert_eq!((&list["machines"][0]["armed"], &list["next"]), (&json!(false), &json!(2)));
    assert_eq!(lab.json("DELETE", "/api/v1/machines/2", "").await.1["message"], "machine 2 is forgotten");
    let (_, job) = lab.json("GET", "/api/v1/jobs/3", "").await;
    assert_eq!((&job["machine_record"], &job["actions"]), (&Value::Null, &json!([])));
    let (_, status) = lab.json("GET", "/api/v1/status", "").await;
    assert_eq!(
        (&status["jobs"]["cancelled"], &status["machines"], &status["healthy"]),
        (&json!(1), &json!(1), &json!(true))
    );
    assert_eq!(status["listeners"], json!([{"purpose": "status", "address": lab.address.to_string()}]));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_sentence() {
    let lab = Lab::new().await;
    for (method, path, body, status, error) in [
        ("GET", "/api/v1/jobs/1", "", 404, "there is no job 1"),
        ("GET", "/api/v1/jobs/x", "", 400, "id must be a whole number from 1 to 9223372036854775807"),
        ("GET", "/api/v1/jobs?limit=501", "", 400, "limit must be a whole number from 1 to 500"),
        (
            "GET",
            "/api/v1/jobs?state=done",
            "",
            400,
            "state must be queued, running, succeeded, failed, interrupted or cancelled",
        ),
        ("GET", "/api/v1/jobs?machine=web", "", 404, "no machine \"web\" is known"),
        ("GET", "/api/v1/status?x=1", "", 400, "there is no parameter \"x\" here"),
        ("GET", "/api/v1/nothing", "", 404, "nothing here has the path \"/api/v1/nothing\""),
        ("GET", "/", "", 404, "nothing here has the path \"/\""),
        ("PUT", "/api/v1/jobs/1/cancel", "", 405, "PUT does nothing here; there are POST"),
        (
            "POST",
            "/api/v1/machines/1/arm",
            "[]",
            400,
            "the body must be a JSON object such as {\"seconds\": 3600}",
        ),
        ("POST", "/api/v1/machines/1/arm", "", 404, "no machine \"1\" is known"),
        ("POST", "/api/v1/machines/1/arm", &" ".repeat(70_000), 413, "the body has more than 64 KiB"),
    ] {
        let (found, answer) = lab.json(method, path, body).await;
        assert_eq!((found, answer["error"].as_str()), (status, Some(error)), "{method} {path}");
    }
    let (_, head, body) = lab.ask_tcp("HEAD", "/api/v1/jobs", &[]).await;
    assert!(head.contains("content-type: application/json") && body.is_empty(), "{head}");
    let (_, head, _) = lab.ask_tcp("PUT", "/api/v1/jobs", &[]).await;
    assert!(head.contains("401") && head.contains("www-authenticate: Bearer"), "{head}");
}

#[tokio::test]
async fn the_listener_wants_the_right_host_and_token() {
    let lab = Lab::new().await;
    let bearer = format!("Bearer {}", lab.token);
    let authorization = ("authorization", bearer.as_str());
    for (method, path, headers, status) in [
        ("GET", "/api/v1/jobs", &[][..], 200),
        ("GET", "/api/v1/jobs", &[("host", "evil.example")], 421),
        ("GET", "/metrics", &[("host", "evil.example")], 421),
        ("GET", "/healthz", &[], 200),
        ("GET", "/api/v1/jobs/1/log", &[], 401),
        ("GET", "/api/v1/jobs/1/events", &[], 401),
        ("GET", "/api/v1/jobs/1/log", &[authorization], 404),
        ("GET", "/", &[], 200),
        ("GET", "/", &[("host", "evil.example")], 421),
        ("GET", "/nothing", &[], 404),
        ("POST", "/api/v1/jobs/1/cancel", &[], 401),
        ("POST", "/api/v1/jobs/1/cancel", &[authorization], 404),
        ("POST", "/api/v1/jobs/1/cancel", &[authorization, ("origin", "http://evil.example")], 403),
        ("DELETE", "/api/v1/machines/1", &[("authorization", "Bearer 0123456789abcdef")], 401),
        ("POST", "/anything", &[("sec-fetch-site", "cross-site")], 403),
    ] {
        let (found, head, _) = lab.ask_tcp(method, path, headers).await;
        assert_eq!(found, status, "{method} {path} {headers:?}: {head}");
    }
    let (_, head, text) = lab.ask_tcp("GET", "/metrics", &[]).await;
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(text.contains("\ncdist_trigger_healthy 1\n"), "{text}");
    let (_, head, text) = lab.ask_tcp("GET", "/api/v1/openapi.json", &[]).await;
    assert!(head.contains("nosniff") && text == super::DOCUMENT, "{head}");
    lab.dispatcher.close(Duration::ZERO);
    assert_eq!(lab.ask_tcp("GET", "/healthz", &[]).await.0, 503);
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_the_attempt() {
    let lab = Lab::new().await;
    lab.call(JobKind::Config, "10.0.0.1", "52:54:00:00:00:01").await;
    lab.until(1, "running").await;
    assert_eq!(lab.ask("GET", "/api/v1/jobs/1/log", "").await, (200, "begin 1\n".into()));
    assert_eq!(lab.ask("GET", "/api/v1/jobs/1/log?attempt=2", "").await.0, 404);
    let (log_begun, events_begun) = (Notify::new(), Notify::new());
    let go = async {
        log_begun.notified().await;
        events_begun.notified().await;
        lab.worker.fails.store(true, Ordering::SeqCst);
        lab.worker.go.store(true, Ordering::SeqCst);
    };
    let (followed, events, ()) = tokio::join!(
        lab.follow("/api/v1/jobs/1/log?follow=1", &log_begun),
        lab.follow("/api/v1/jobs/1/events", &events_begun),
        go
    );
    assert_eq!(followed, (200, "begin 1\nend\n".into()));
    let events: Vec<&str> = events.1.lines().filter(|line| line.len() > 1).collect();
    let state = |state: &str| format!("data: {{\"job\":1,\"state\":\"{state}\",\"attempts\":1}}");
    for wanted in ["data: begin 1", "data: end", &state("running"), &state("failed")] {
        assert!(events.contains(&wanted), "{events:?}");
    }
    assert_eq!(events[events.len() - 2..], ["event: end", &state("failed")]);
    assert_eq!(lab.ask("GET", "/api/v1/jobs/1/log?tail=2", "").await.1, "");
    assert_eq!(lab.ask("GET", "/api/v1/jobs/1/log?tail=5", "").await.1, "end\n");
}

#[tokio::test]
async fn streams_end_when_the_server_does() {
    let lab = Lab::new().await;
    lab.call(JobKind::Config, "10.0.0.1", "52:54:00:00:00:01").await;
    lab.until(1, "running").await;
    let bearer = format!("Bearer {}", lab.token);
    let (log_begun, events_begun) = (Notify::new(), Notify::new());
    let stop = async {
        log_begun.notified().await;
        events_begun.notified().await;
        lab.stop.send(true).unwrap();
    };
    let headers = [("authorization", bearer.as_str())];
    let (log, events, ()) = tokio::join!(
        lab.follow("/api/v1/jobs/1/log?follow=1", &log_begun),
        async {
            let stream = TcpStream::connect(lab.address).await.unwrap();
            talk_of(stream, &request("GET", "/api/v1/jobs/1/events", &headers, ""), &events_begun).await
        },
        stop
    );
    assert_eq!(log, (200, "begin 1\n".into()));
    assert!(
        events.1.contains("content-type: text/event-stream") && !events.2.contains("event: end"),
        "{events:?}"
    );
    for served in lab.served {
        timeout(Duration::from_secs(2), served).await.expect("it goes on").unwrap();
    }
    lab.dispatcher.close(Duration::ZERO);
}
