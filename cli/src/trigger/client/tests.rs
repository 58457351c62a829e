//! What the commands print: of a server in this process, and of jobs that are made up.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use cdist_core::trigger::{
    Facts,
    admin::{
        api::{Status, guard::AccessGuard, view::JobDetails},
        socket,
    },
    attempt::{Attempt, AttemptReport, End, Ended, JobWorker},
    dispatcher::{Dispatcher, DispatcherSettings},
    job::JobKind,
    ledger::{Call, Rules},
    store::Sqlite,
};
use clap::Parser;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Screen, Stopped, TriggerCommand, answer, job_screen, jobs, server_screen, times::Clock};

#[derive(Debug, Parser)]
struct Words {
    #[command(subcommand)]
    command: TriggerCommand,
}

fn screen(size: Option<(usize, usize)>) -> Screen {
    Screen { size, clock: Clock { now: "2026-11-25T20:00:00Z".parse().unwrap(), zone: TimeZone::UTC } }
}

const TERMINAL: Option<(usize, usize)> = Some((80, 24));

/// Fails at once, but configurations wait until they may succeed.
#[derive(Debug, Default)]
struct Script {
    go: AtomicBool,
}

#[async_trait]
impl JobWorker for Script {
    async fn run(&self, attempt: Attempt) -> Ended {
        fs::write(&attempt.log, "begin\n").unwrap();
        if attempt.kind == JobKind::Install {
            let report = AttemptReport { reason: Some("no disk".into()), ..AttemptReport::default() };
            return Ended { end: End::Failed, report };
        }
        while !self.go.load(Ordering::SeqCst) && !attempt.cancel.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let end = if attempt.cancel.is_cancelled() { End::Cancelled } else { End::Succeeded };
        Ended { end, report: AttemptReport::default() }
    }
}

/// A server with two machines: the first one is being configured, the second one could not be installed.
struct Lab {
    dir: tempfile::TempDir,
    worker: Arc<Script>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        let worker = Arc::<Script>::default();
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn({
            let worker = Arc::clone(&worker);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(serve(&state_dir, worker, stopped, &ready));
            }
        });
        is_ready.recv().unwrap();
        Self { dir, worker, stop, thread: Some(thread) }
    }

    /// Output, and how it ended.
    fn run(&self, words: &str) -> (String, Result<i32, String>) {
        let dir = self.dir.path().join("state").display().to_string();
        let words = words.split_whitespace().chain(["--state-dir", &dir]);
        run(words, TERMINAL)
    }

    /// Follows the log of job 1 to its end; `then` is done when the first of it has been printed.
    fn followed(&self, then: impl FnOnce()) -> (String, Result<i32, String>) {
        let dir = self.dir.path().join("state").display().to_string();
        let (printed, is_printed) = mpsc::channel();
        std::thread::scope(|scope| {
            let followed = scope.spawn(move || {
                let mut out = Telling { out: Vec::new(), printed };
                let ended = run_into(["log", "-f", "1", "--state-dir", &dir], TERMINAL, &mut out);
                (String::from_utf8(out.out).unwrap(), ended)
            });
            is_printed.recv_timeout(Duration::from_secs(20)).unwrap();
            then();
            followed.join().unwrap()
        })
    }

    fn until(&self, words: &str, wanted: &str) {
        for _ in 0..400 {
            if self.run(words).0.contains(wanted) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{words}: {}", self.run(words).0);
    }
}

/// Keeps what is printed, and tells that there was something.
struct Telling {
    out: Vec<u8>,
    printed: mpsc::Sender<()>,
}

impl Write for Telling {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(piece);
        let _ = self.printed.send(());
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(dir: &Path, worker: Arc<Script>, stop: watch::Receiver<bool>, ready: &mpsc::Sender<()>) {
    let rules = Rules { retries: 0, ..Rules::default() };
    let settings = DispatcherSettings {
        rules,
        state_dir: dir.to_owned(),
        keep: Duration::from_secs(1000),
        job_time: Duration::from_secs(1000),
    };
    let store = Box::new(Sqlite::open(dir).unwrap());
    let runtime = tokio::runtime::Handle::current();
    let (dispatcher, thread) = Dispatcher::start(&settings, store, worker, runtime).unwrap();
    for (kind, number) in [(JobKind::Config, 1), (JobKind::Install, 2)] {
        let facts = Facts { mac: Some(format!("52:54:00:00:00:0{number}")), ..Facts::default() };
        let (address, path) = (format!("10.0.0.{number}").parse().unwrap(), String::new());
        dispatcher.call(Call { kind, address, neighbour: None, facts, path }).await.unwrap();
    }
    let guard = AccessGuard::new([127, 0, 0, 1].into(), Vec::new(), None, dir).unwrap();
    let status = Status::new(dispatcher.clone(), guard, dir.to_owned(), Vec::new(), stop);
    let listener = tokio::net::UnixListener::from_std(socket::listen(dir).unwrap()).unwrap();
    ready.send(()).unwrap();
    status.serve_unix(listener).await;
    dispatcher.close(Duration::ZERO);
    thread.join().await.unwrap();
}

fn run<'a>(
    words: impl IntoIterator<Item = &'a str>,
    size: Option<(usize, usize)>,
) -> (String, Result<i32, String>) {
    let mut out = Vec::new();
    let ended = run_into(words, size, &mut out);
    (String::from_utf8(out).unwrap(), ended)
}

fn run_into<'a>(
    words: impl IntoIterator<Item = &'a str>,
    size: Option<(usize, usize)>,
    out: &mut dyn Write,
) -> Result<i32, String> {
    let words = Words::try_parse_from(["trigger"].into_iter().chain(words)).unwrap();
    answer(&words.command, &screen(size), out).map_err(|stopped| match stopped {
        Stopped::Failed(failure) => format!("{failure:?}"),
        Stopped::Output(error) => error.to_string(),
    })
}

#[test]
fn a_server_is_asked_and_told() {
    let lab = Lab::new();
    lab.until("show 2", "FAILED");
    lab.until("show 1", "running");
    let (jobs, ended) = lab.run("jobs");
    assert_eq!((jobs.lines().count(), ended), (3, Ok(0)), "{jobs}");
    assert!(lab.run("jobs -s failed -k install -H 52:54:00:00:00:02").0.contains("no disk"));
    let json: Value = serde_json::from_str(&lab.run("jobs -n 1 --json").0).unwrap();
    assert_eq!((&json["jobs"][0]["id"], &json["next"]), (&json!(2), &json!(2)));
    assert_eq!(lab.run("log 2"), ("begin\n".into(), Ok(0)));
    let (log, ended) = lab.run("log -f 2");
    assert_eq!(log, "begin\n");
    assert!(ended.unwrap_err().contains("job 2 has failed"));

    assert!(lab.run("arm 10.0.0.2 --for 90m").0.starts_with("machine 2 may be installed once more, until "));
    assert!(lab.run("hosts").0.contains("ARMED UNTIL"));
    let json: Value = serde_json::from_str(&lab.run("hosts --json").0).unwrap();
    assert_eq!((&json["machines"][1]["armed"], &json["next"]), (&json!(true), &Value::Null));
    assert_eq!(lab.run("arm 2 --off").0, "machine 2 is not armed\n");
    assert!(lab.run("status").0.contains("1 running of 8 at a time, 0 waiting"));
    assert!(
        lab.run("retry 2").0.starts_with("job 3 does job 2 again; `cdist trigger log -f 3 --state-dir /")
    );
    lab.until("show 3", "FAILED");
    assert_eq!(lab.run("forget 52-54-00-00-00-02").0, "machine 2 is forgotten\n");

    let error = |words: &str| lab.run(words).1.unwrap_err();
    assert!(error("show 9").contains("there is no job 9"));
    assert!(error("cancel 2").contains("job 2 is at its end already: failed"));
    assert!(error("retry 2").contains("not known any more"));
    assert!(error("forget 1").contains("job 1 of machine 1 is not at its end"));
    assert!(error("arm 2").contains("`cdist trigger hosts` lists them"));

    let copy = lab.dir.path().join("copy").display().to_string();
    assert_eq!(lab.run(&format!("backup {copy}")), (String::new(), Ok(0)));
    assert!(Path::new(&copy).exists());

    let followed = lab.followed(|| lab.worker.go.store(true, Ordering::SeqCst));
    assert_eq!(followed, ("begin\n".into(), Ok(0)));
}

#[test]
fn a_job_is_cancelled_and_a_server_that_ends_ends_what_is_followed() {
    let mut lab = Lab::new();
    lab.until("show 1", "running");
    let followed = lab.followed(|| assert_eq!(lab.run("cancel 1").0, "job 1 is told to stop\n"));
    assert!(followed.1.unwrap_err().contains("job 1 was cancelled"));
    lab.stop.send(true).unwrap();
    lab.thread.take().unwrap().join().unwrap();
    assert!(
        lab.run("jobs").1.unwrap_err().contains("no trigger server is running with the state directory /")
    );
}

#[test]
fn without_a_server_it_is_said_how_to_get_one() {
    let (out, ended) = run(["status", "--state-dir", "/proc/none"], None);
    insta::assert_snapshot!(format!("{out}{}", ended.unwrap_err()));
}

#[allow(clippy::needless_pass_by_value, reason = "for json!")]
fn job(more: Value) -> Value {
    let mut job = json!({
        "id": 17, "kind": "install", "state": "failed", "machine": 3, "address": "10.77.0.59",
        "mac": "52:54:00:ab:cd:01", "path": "", "created": "2026-11-25T19:50:00Z",
        "started": "2026-11-25T19:50:01Z", "finished": "2026-11-25T19:52:11Z", "not_before": null,
        "seconds": 130.0, "attempts": 1, "joined": 0, "reason": null, "note": null
    });
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job
}

#[allow(clippy::needless_pass_by_value, reason = "for json!")]
fn details(more: Value, report: Value, actions: &[&str]) -> JobDetails {
    let mut details = job(more);
    let rest = json!({
        "facts": {"serial": "VM\u{1b}[2J1"}, "report": report, "actions": actions,
        "log": "/root/.cdist/trigger/jobs/17/1.log",
        "machine_record": {
            "id": 3, "mac": "52:54:00:ab:cd:01", "address": "10.77.0.60", "facts": {}, "first_seen": null,
            "last_seen": null, "install": "failed", "installed": null, "armed": false, "armed_until": null,
            "last_job": 17
        }
    });
    details.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(details).unwrap()
}

fn failure(lines: usize) -> Value {
    let said: String = (1..=lines).map(|n| format!("line {n}\twith \u{1b}[31mcolours\n")).collect();
    json!({
        "objects": 12, "done": 5, "changed": 3, "seconds": 130.0, "round_trips": 40,
        "reason": "object '__file/etc/motd': exit status 2: code-remote: 3: Syntax error: Unterminated quoted string",
        "what": "object '__file/etc/motd'", "script": "code-remote", "exit_status": 2,
        "facts": {
            "name": "__file/etc/motd", "path": "/tmp/x/object/__file/etc/motd/.cdist", "line": "12",
            "source": "/root/.cdist/manifest/init", "type": "/usr/local/share/cdist/conf/type/__file"
        },
        "streams": [
            {"name": "manifest:stdout", "text": "hello\n"}, {"name": "code-remote:stdout", "text": "before\n"},
            {"name": "code-remote:stderr", "text": said}
        ],
        "hint": "the shell could not read the code; or look at gencode-remote of the type, which has made it",
        "files": "/root/.cdist/trigger/jobs/17/1.run/f528764d624db129b32c21fbca0cb8d6/data"
    })
}

fn show(details: &JobDetails, size: Option<(usize, usize)>) -> String {
    let text = job_screen::text(details, &screen(size), &|words| format!("cdist trigger {words}"));
    assert!(!text.contains('\u{1b}'), "{text}");
    if let Some((width, height)) = size {
        let lines: usize = text.lines().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
        assert!(lines < height, "{lines} lines:\n{text}");
    }
    text
}

#[test]
fn a_failed_job_fits_on_a_screen() {
    let failed = details(json!({}), failure(40), &["retry"]);
    insta::assert_snapshot!("show_failed", show(&failed, TERMINAL));
    insta::assert_snapshot!(
        "show_failed_shortly",
        show(&details(json!({}), failure(2), &["retry"]), TERMINAL)
    );
    let all = show(&failed, None);
    assert!(all.contains("\n  line 1    with ") && all.contains("manifest:stdout"), "{all}");
}

#[test]
fn other_jobs_tell_what_matters() {
    let interrupted = json!({
        "state": "interrupted",
        "note": "the server ended while it was worked on; nobody knows how far it came"
    });
    insta::assert_snapshot!(
        "show_interrupted",
        show(&details(interrupted, Value::Null, &["retry"]), TERMINAL)
    );
    let running = json!({"kind": "config", "state": "running", "finished": null, "attempts": 2});
    insta::assert_snapshot!("show_running", show(&details(running, failure(1), &["cancel"]), TERMINAL));
    let cancelled = json!({
        "state": "cancelled", "started": null, "seconds": null, "attempts": 0, "note": "stopped before it ran"
    });
    let mut cancelled = details(cancelled, Value::Null, &["retry"]);
    cancelled.log = None;
    insta::assert_snapshot!("show_cancelled", show(&cancelled, TERMINAL));
    let killed = json!({"reason": "explorer 'os' failed", "signal": 9, "facts": {"path": "/c/explorer/os"}});
    let paused = json!({
        "kind": "config", "state": "queued", "finished": null, "not_before": "2026-11-25T20:00:10Z"
    });
    insta::assert_snapshot!("show_paused", show(&details(paused, killed, &["cancel"]), TERMINAL));
    let report = json!({"objects": 12, "done": 12, "changed": 3, "seconds": 130.0, "round_trips": 40});
    insta::assert_snapshot!(
        "show_succeeded",
        show(&details(json!({"state": "succeeded"}), report, &["retry"]), TERMINAL)
    );
}

#[test]
fn jobs_are_a_table() {
    let list = json!({
        "jobs": [
            job(json!({"reason": "object '__file/etc/motd': exit status 2: no\u{1b}[2Jspace left on device"})),
            job(json!({"id": 9, "kind": "config", "state": "running", "finished": null, "seconds": 3.2})),
            job(json!({"id": 8, "state": "cancelled", "mac": null, "note": "stopped before it ran",
                "address": "fe80::5054:ff:feab:cd01%eth0", "finished": "2026-11-20T08:00:00Z", "attempts": 0}))
        ],
        "next": null
    });
    let list = serde_json::from_value(list).unwrap();
    let tables = [80, 132].map(|width| jobs::table(&list, &screen(Some((width, 24)))));
    insta::assert_snapshot!(
        "jobs",
        format!("{}\n{}\n{}", tables[0], tables[1], jobs::table(&list, &screen(None)))
    );
}

#[test]
fn a_server_that_cannot_store_says_so() {
    let status = json!({
        "version": "0.1.0", "started": "2026-11-25T18:00:00Z", "uptime_seconds": 7200, "healthy": false,
        "complaint": "jobs cannot be stored", "state_dir": "/root/.cdist/trigger",
        "listeners": [{"purpose": "machines", "address": "[::]:3000"}],
        "install_policy": "once", "jobs_at_once": 8, "queue_max": 10000, "machines_max": 100000, "retries": 3,
        "dry_run": true, "waiting": 2, "running": 1, "machines": 40, "connections": 0,
        "jobs": {"queued": 2, "running": 1, "succeeded": 38, "failed": 2, "interrupted": 0, "cancelled": 0},
        "commits": 90, "commits_failed": 4,
        "last_commit_problem": {"at": "2026-11-25T19:59:00Z", "reason": "writing to the database: disk full"}
    });
    insta::assert_snapshot!(
        "status",
        server_screen::text(&serde_json::from_value(status).unwrap(), &screen(TERMINAL))
    );
}
