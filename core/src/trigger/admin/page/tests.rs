//! A server without a network around the page, and how its pages look. What is allowed is in `rules_tests`.

use std::{collections::BTreeMap, io::Write, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::*;
use crate::trigger::{
    Facts,
    address::TargetAddress,
    attempt::{Attempt, AttemptReport, End, Ended, JobWorker, StreamEnd},
    dispatcher::{DispatcherSettings, Thread},
    job::{Job, JobId, JobKind, JobState, Machine},
    ledger::{Call, Change, Rules},
    store::{Memory, Store},
};

pub(super) const TOKEN: &str = "0123456789abcdef";
const NOW: Millis = 1_800_000_000_000;

/// Says one line, waits until it may go on, and says another one.
#[derive(Debug)]
pub(super) struct Patient(Semaphore);

#[async_trait]
impl JobWorker for Patient {
    async fn run(&self, attempt: Attempt) -> Ended {
        let mut log = std::fs::File::create(&attempt.log).unwrap();
        log.write_all(b"one \x1b[1mbold\x1b[0m <b>\nhalf a li").unwrap();
        let _turn = self.0.acquire().await.unwrap();
        log.write_all(b"ne\nthe end").unwrap();
        Ended { end: End::Succeeded, report: AttemptReport::default() }
    }
}

pub(super) struct World {
    pub(super) page: Page,
    pub(super) dispatcher: Dispatcher,
    pub(super) store: Memory,
    worker: Arc<Patient>,
    _thread: Thread,
    _dir: tempfile::TempDir,
}

pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub(super) fn new(changes: &[Change], reading_needs_token: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Memory::default();
        store.commit(changes).unwrap();
        let rules = Rules { retries: 0, ..Rules::default() };
        let settings = DispatcherSettings {
            rules,
            state_dir: dir.path().to_owned(),
            keep: Duration::from_secs(9999),
            job_time: Duration::from_secs(9999),
        };
        let worker = Arc::new(Patient(Semaphore::new(0)));
        let runtime = tokio::runtime::Handle::current();
        let started = Dispatcher::start(&settings, Box::new(store.clone()), worker.clone(), runtime);
        let (dispatcher, thread) = started.unwrap();
        let mut page = Page::new(dispatcher.clone(), Token::new(TOKEN).unwrap(), reading_needs_token);
        page.clock = || NOW;
        Self { page, dispatcher, store, worker, _thread: thread, _dir: dir }
    }

    /// Asks with headers `name: value`.
    pub(super) async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Seen {
        let answer = self.answer(method, target, headers, body, Origin::Unknown).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Seen { status: head.status, headers: head.headers, text }
    }

    pub(super) async fn answer(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
        origin: Origin,
    ) -> Option<Response<Body>> {
        let mut request = Request::builder().method(method).uri(target).header("host", "127.0.0.1:3001");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        self.page.answer(&head, Bytes::copy_from_slice(body.as_bytes()), origin).await
    }

    pub(super) async fn get(&self, target: &str) -> Seen {
        self.ask(Method::GET, target, &[("accept", "text/html")], "").await
    }

    /// Asks in a session that has logged in.
    pub(super) async fn get_logged_in(&self, target: &str) -> Seen {
        let (cookie, _) = self.log_in().await;
        self.ask(Method::GET, target, &[("cookie", &cookie)], "").await
    }

    /// Logs in; returns the cookie, and the secret of its forms.
    pub(super) async fn log_in(&self) -> (String, String) {
        let seen = self.ask(Method::POST, "/login", &[], &format!("token={TOKEN}")).await;
        assert_eq!(seen.status, StatusCode::SEE_OTHER);
        let cookie = seen.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = self.ask(Method::GET, "/", &[("cookie", &cookie)], "").await.text;
        let csrf = page.split(r#"name="csrf" value=""#).nth(1).unwrap().split('"').next().unwrap();
        (cookie, csrf.to_owned())
    }

    /// Begins a job that stays at work.
    async fn begin(&self) {
        let address = TargetAddress::unchecked("10.0.0.9");
        let (facts, path) = (Facts::default(), String::new());
        let call = Call { kind: JobKind::Config, address, neighbour: None, facts, path };
        self.dispatcher.call(call).await.unwrap();
    }
}

pub(super) fn machine(id: i64) -> Machine {
    let facts = Facts {
        serial: Some("S1".into()),
        ssh_host_keys: vec!["ssh-ed25519 AAAA".into()],
        ..Facts::default()
    };
    Machine {
        id,
        mac: Some(format!("52:54:00:00:00:{id:02x}")),
        address: TargetAddress::unchecked(format!("10.0.0.{id}")),
        has_lost_address: false,
        facts,
        first_seen: NOW - 90_000_000,
        last_seen: NOW - 60_000,
        install: Some(JobState::Succeeded),
        installed: Some(NOW - 50_000),
        armed_until: None,
        last_job: None,
        keys: Vec::new(),
        places: Vec::new(),
    }
}

pub(super) fn job(id: JobId, state: JobState, kind: JobKind) -> Job {
    Job {
        id,
        kind,
        state,
        machine: 1,
        address: TargetAddress::unchecked("10.0.0.1"),
        path: "web".into(),
        facts: Facts::default(),
        created: NOW - 60_000,
        started: Some(NOW - 50_000),
        finished: Some(NOW - 8_000),
        attempts: 1,
        not_before: None,
        stopping: false,
        joined: 0,
        report: Some(Box::new(AttemptReport { objects: 5, done: 5, changed: 2, ..AttemptReport::default() })),
        note: None,
        armed: Vec::new(),
    }
}

/// A job whose every text is `text`.
fn failed(id: JobId, text: &str) -> Job {
    let some = || Some(text.to_owned());
    let report = AttemptReport {
        reason: some(),
        what: some(),
        script: some(),
        exit_status: Some(2),
        facts: BTreeMap::from(["name", "source", "line"].map(|name| (name.to_owned(), text.to_owned()))),
        streams: vec![StreamEnd { name: text.into(), text: text.into() }],
        hint: some(),
        files: some(),
        ..AttemptReport::default()
    };
    let facts = Facts { serial: some(), ..Facts::default() };
    let (path, address) = (text.to_owned(), TargetAddress::unchecked(text));
    Job {
        report: Some(Box::new(report)),
        path,
        address,
        facts,
        note: some(),
        ..job(id, JobState::Failed, JobKind::Install)
    }
}

fn boxed(jobs: impl IntoIterator<Item = Job>) -> Vec<Change> {
    let machine = Change::Machine(Box::new(machine(1)));
    jobs.into_iter().map(|job| Change::Job(Box::new(job))).chain([machine]).collect()
}

/// One element a line, so that a difference can be read.
fn readable(html: &str) -> String {
    html.replace(env!("CARGO_PKG_VERSION"), "VERSION").replace("><", ">\n<")
}

#[tokio::test]
async fn pages_look_as_they_do() {
    let broken = Job {
        report: None,
        note: Some("the server ended".into()),
        ..job(2, JobState::Interrupted, JobKind::Config)
    };
    let jobs = [job(1, JobState::Succeeded, JobKind::Install), broken, failed(3, "no `space` left")];
    let world = World::new(&boxed(jobs), false);
    for (name, target) in [
        ("overview", "/"),
        ("jobs", "/jobs?state=failed&before=9"),
        ("job", "/jobs/3?done=retried"),
        ("machine", "/machines/1"),
        ("arm", "/machines/1/arm"),
        ("log", "/jobs/1/log"),
        ("not_found", "/jobs/7"),
    ] {
        if name == "log" {
            let (cookie, csrf) = world.log_in().await;
            let seen = world.ask(Method::GET, target, &[("cookie", &cookie)], "").await;
            insta::assert_snapshot!(name, readable(&seen.text.replace(&csrf, "CSRF")));
        } else {
            insta::assert_snapshot!(name, readable(&world.get(target).await.text));
        }
    }
}

#[tokio::test]
async fn hostile_values_stay_text() {
    let ten = "10 kB ".repeat(1700);
    for evil in [
        "</pre></title><script>alert(1)</script>",
        "\" onx=alert(1) x=\"",
        "' onx=alert(1) x='",
        "`</code><img src=x onerror=alert(1)>`",
        "\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}31m\u{202e}gpj.exe\u{2066}\0",
        "javascript:alert(1)",
        &ten,
    ] {
        let owner = Machine { address: TargetAddress::unchecked(evil), mac: Some(evil.into()), ..machine(1) };
        let mut changes = boxed([failed(1, evil)]);
        changes.push(Change::Machine(Box::new(owner)));
        let world = World::new(&changes, false);
        let (cookie, _) = world.log_in().await;
        for target in
            ["/", "/jobs", "/jobs/1", "/machines", "/machines/1", "/machines/1/arm", "/jobs/1/retry"]
        {
            let seen = world.ask(Method::GET, target, &[("cookie", &cookie)], "").await;
            assert_eq!(seen.status, StatusCode::OK, "{target}");
            let without_ours = seen.text.replacen("<script src=\"/page.js\" defer></script>", "", 1);
            assert!(!without_ours.contains("<script") && !seen.text.contains("<img"), "{target}: {evil}");
            assert!(!seen.text.contains("\" onx"), "{target}: {evil}");
            assert!(
                !seen.text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2066}', '\0']),
                "{target}"
            );
            assert!(!seen.text.contains("href=\"javascript"), "{target}");
            assert!(seen.text.len() < 120_000, "{target} has {} bytes", seen.text.len());
        }
    }
    let world = World::new(&[], false);
    let seen = world.get("/jobs?state=%3Cscript%3E%1b&kind=x").await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    assert!(seen.text.contains("“&lt;script&gt;\\u{1b}” is not possible for state."), "{}", seen.text);
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let kind = |id| if id % 2 == 0 { JobKind::Install } else { JobKind::Config };
    let world = World::new(&boxed((1..=120).map(|id| job(id, JobState::Succeeded, kind(id)))), false);
    let rows = |text: &str| text.matches("<th scope=\"row\">").count();
    let first = world.get("/jobs?kind=install").await.text;
    assert_eq!(rows(&first), 50);
    assert!(first.contains("href=\"/jobs?kind=install&amp;before=22\"") && first.contains("/jobs/120\""));
    let last = world.get("/jobs?kind=install&before=22").await.text;
    assert_eq!(rows(&last), 10);
    assert!(last.contains("Newest") && !last.contains("Older"));
    assert!(world.get("/jobs?state=failed").await.text.contains("There are no such jobs."));
    assert_eq!(world.get("/jobs?before=x").await.status, StatusCode::BAD_REQUEST);
    let machines: Vec<Change> = (1..=60).map(|id| Change::Machine(Box::new(machine(id)))).collect();
    let world = World::new(&machines, false);
    assert!(world.get("/machines").await.text.contains("href=\"/machines?after=50\""));
    assert_eq!(rows(&world.get("/machines?after=50").await.text), 10);
}

#[tokio::test]
async fn a_failure_that_was_done_again_is_not_news() {
    let other = Job { machine: 2, ..job(3, JobState::Interrupted, JobKind::Install) };
    let jobs =
        [job(1, JobState::Failed, JobKind::Install), job(2, JobState::Succeeded, JobKind::Install), other];
    let overview = World::new(&boxed(jobs), false).get("/").await.text;
    let failed = overview.split("id=\"failed\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(failed.contains("/jobs/3\"") && !failed.contains("/jobs/1\""), "{failed}");
}

#[tokio::test]
async fn a_log_comes_while_it_is_written() {
    let world = World::new(&[], false);
    world.begin().await;
    let (cookie, _) = world.log_in().await;
    let known = [("cookie", cookie.as_str())];
    let answer = world.answer(Method::GET, "/jobs/1/events", &known, "", Origin::Unknown).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut body = answer.into_body();
    let mut next = async || {
        let frame = body.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    };
    assert!(next().await.unwrap().contains("event: start\n"));
    assert_eq!(next().await.unwrap(), "event: message\ndata: one bold <b>\n\n");
    world.worker.0.add_permits(1);
    assert_eq!(next().await.unwrap(), "event: message\ndata: half a line\n\n");
    assert_eq!(next().await.unwrap(), "event: message\ndata: the end\n\n");
    assert_eq!(next().await.unwrap(), "event: end\ndata: Attempt 1 has succeeded.\n\n");
    assert_eq!(next().await, None);
    let text = world.get_logged_in("/jobs/1/log.txt?attempt=1").await;
    assert_eq!(text.text, "one \u{1b}[1mbold\u{1b}[0m <b>\nhalf a line\nthe end");
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        world
            .get_logged_in("/jobs/1/log")
            .await
            .text
            .contains("one bold &lt;b&gt;\nhalf a line\nthe end</pre>")
    );
    assert_eq!(world.get_logged_in("/jobs/1/log?attempt=2").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get_logged_in("/jobs/1/log?attempt=0").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn streams_end_with_the_client_and_with_the_server_and_are_not_too_many() {
    let world = World::new(&[], false);
    world.begin().await;
    let (cookie, _) = world.log_in().await;
    let known = [("cookie", cookie.as_str())];
    let open =
        async || world.answer(Method::GET, "/jobs/1/events", &known, "", Origin::Unknown).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..STREAMS_AT_ONCE {
        streams.push(open().await);
    }
    assert_eq!(open().await.status(), StatusCode::TOO_MANY_REQUESTS);
    let kept = streams.pop().unwrap();
    drop(streams);
    let all = u32::try_from(STREAMS_AT_ONCE - 1).unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(5), world.page.streams.acquire_many(all)).await;
    drop(gone.expect("the others are gone"));
    world.dispatcher.close(Duration::from_secs(60));
    let rest = tokio::time::timeout(Duration::from_secs(5), kept.into_body().collect()).await.unwrap();
    let rest = rest.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("event: end\ndata: The server is shutting down."));
    world.worker.0.add_permits(1);
}
