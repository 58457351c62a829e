//! The trigger server as a process: what it refuses to start with, what hostile peers get, how it ends.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use cdist_tests::{
    lab::{process::tool, trigger::TriggerLab},
    outcome::{Outcome, outcome, tell},
};
use nix::sys::signal::Signal;

fn machine(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 1, 0, last).into()
}

/// A server that is not to start: it ends within seconds.
fn start(lab: &TriggerLab, more: &[&str]) -> Outcome {
    let argv = lab.server(more);
    let mut command = std::process::Command::new(tool("timeout", "coreutils"));
    outcome(command.arg("20").args(argv))
}

#[test]
fn what_every_machine_would_fail_for_is_refused_at_the_start() {
    let lab = TriggerLab::counting();
    start(&lab, &["-i", "/no/such/manifest"]).assert_failed(1, &["/no/such/manifest", "-i"]);
    start(&lab, &["--token-file", "/no/such/token"]).assert_failed(1, &["/no/such/token"]);
    lab.file("token", "0123456789abcdef\n");
    fs::set_permissions(lab.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let token = lab.path("token").display().to_string();
    start(&lab, &["--token-file", &token]).assert_failed(1, &["can be read by others", "chmod 600"]);
    start(&lab, &["-D", "/no/such/dir", "--source", &token]).assert_failed(1, &["/no/such/dir", "-D"]);
    start(&lab, &["--install-policy", "never"]).assert_failed(2, &["'never'"]);
    start(&lab, &["--allow", "10.0.0.0/99"]).assert_failed(2, &["10.0.0.0/99"]);
    start(&lab, &["-j", "0"]).assert_failed(2, &["at least 1"]);
    start(&lab, &["--grace", "soon"]).assert_failed(2, &["write it like 90s"]);
    assert!(!lab.state_dir().join("trigger.db").exists(), "refused before anything is made");

    fs::remove_file(lab.path("dist/share/cdist/conf/manifest/init")).unwrap();
    start(&lab, &[]).assert_failed(1, &["no initial manifest", "manifest/init"]);
}

#[test]
fn a_taken_port_and_a_taken_state_directory_are_said() {
    let lab = TriggerLab::counting();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    start(&lab, &["-H", &port]).assert_failed(1, &["listening on 127.0.0.1:", "ss -ltnp"]);
    let server = lab.start(&[]);
    start(&lab, &[]).assert_failed(1, &["another trigger server uses the state directory"]);
    drop(server);
    drop(lab.start(&[]));
}

#[test]
fn a_state_directory_that_cannot_be_trusted_is_refused() {
    let lab = TriggerLab::counting();
    drop(lab.start(&[]));
    fs::set_permissions(lab.state_dir(), fs::Permissions::from_mode(0o777)).unwrap();
    start(&lab, &[]).assert_failed(1, &["is open to other users", "chmod"]);
    fs::set_permissions(lab.state_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    let database = lab.state_dir().join("trigger.db");
    let set = |sql: &str| rusqlite::Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    let known: i64 = rusqlite::Connection::open(&database)
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    set("PRAGMA user_version = 77");
    start(&lab, &[]).assert_failed(1, &["has format 77, and this cdist knows formats up to", "--state-dir"]);
    set(&format!("PRAGMA user_version = {known}"));
    drop(lab.start(&[]));
    fs::write(&database, vec![7; 10_000]).unwrap();
    start(&lab, &[]).assert_failed(1, &["is damaged", "cdist trigger backup"]);
    assert_eq!(fs::read(&database).unwrap(), vec![7; 10_000], "and left as it is");
}

#[test]
fn a_call_is_worked_on_and_the_log_is_kept() {
    let lab = TriggerLab::counting();
    let mut server = lab.start(&[]);
    let answer = server.machine(machine(1)).get("/install/?wait=60");
    assert_eq!((answer.status, answer.text().trim_end()), (200, "install succeeded: job 1 for 127.1.0.1"));
    let again = server.machine(machine(1)).get("/install/");
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains("cdist trigger arm 1"), "{}", again.text());
    let config = server.machine(machine(1)).post("/cdist/config/web", r#"{"serial":"x"}"#);
    assert_eq!(config.status, 202);
    assert_eq!(server.end(Signal::SIGTERM), Some(0), "{}", server.log());
    // A running job may end before the server does; a waiting one stays for the next.
    let mut server = lab.start(&[]);
    assert_eq!(server.machine(machine(1)).get("/config/?wait=60").status, 200);
    assert_eq!(server.end(Signal::SIGINT), Some(0));
    assert_eq!(lab.installed(), ["127.1.0.1"]);
    assert!(lab.configured().len() >= 2, "{:?}", lab.configured());
    let log = lab.state_dir().join("jobs/1/1.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.starts_with("INFO: 127.1.0.1: Starting configuration run\n"), "{log}");
    assert!(log.contains("127.1.0.1: 1 object, 1 changed"), "{log}");
}

#[test]
fn a_failed_configuration_is_repeated_and_a_failed_install_is_not() {
    let lab = TriggerLab::counting();
    lab.file("dist/share/cdist/conf/type/__configured/gencode-local", "echo broken >&2; exit 3\n");
    lab.file("dist/share/cdist/conf/type/__installed/gencode-local", "echo broken >&2; exit 3\n");
    let server = lab.start(&["--retries", "1"]);
    let begin = Instant::now();
    let install = server.machine(machine(1)).get("/install/?wait=60");
    assert_eq!(install.status, 599, "{}", install.text());
    let config = server.machine(machine(2)).get("/config/?wait=60");
    assert_eq!(config.status, 599, "{}", config.text());
    assert!(begin.elapsed() >= Duration::from_secs(5), "there is a pause between two attempts");
    let jobs = lab.state_dir().join("jobs");
    assert!(jobs.join("2/2.log").exists() && !jobs.join("1/2.log").exists());
    assert!(jobs.join("1/1.run").is_dir(), "the files of a failed run are kept");
    let log = fs::read_to_string(jobs.join("2/2.log")).unwrap();
    assert!(log.contains("broken") && log.contains("object '__configured/'"), "{log}");
    // It has failed, so it may be tried again when the machine asks.
    assert_eq!(server.machine(machine(1)).get("/install/").status, 202);
}

#[test]
fn slow_peers_hold_nobody_else_up() {
    let lab = TriggerLab::counting();
    let server = lab.start(&["--connections", "64"]);
    let before = server.resident_kib();
    let address = server.address();
    // All that one peer can have, each with half a request; and some that say nothing at all.
    let mut slow: Vec<TcpStream> = Vec::new();
    for i in 0..200 {
        let mut stream = TcpStream::connect(address).unwrap();
        if i % 3 > 0 {
            let _ = stream.write_all(b"POST /install/ HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nX-A: ");
        }
        slow.push(stream);
    }
    let begin = Instant::now();
    for last in 1..20 {
        assert_eq!(server.machine(machine(last)).get("/healthz").status, 200);
    }
    let others = begin.elapsed();
    assert!(others < Duration::from_secs(5), "others waited {others:?}");
    // A byte now and then does not keep a connection.
    let drips = Instant::now();
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut byte = [0];
        matches!(stream.read(&mut byte), Ok(0)) || stream.write_all(b"x").is_err()
    };
    let first = slow.first_mut().unwrap();
    while !closed(first) {
        assert!(drips.elapsed() < Duration::from_secs(30), "a peer that says nothing keeps its connection");
        thread::sleep(Duration::from_millis(500));
    }
    let mut dripping = TcpStream::connect(address).unwrap();
    let drips = Instant::now();
    dripping.write_all(b"GET /config/ HTTP/1.1\r\nX: ").unwrap();
    while !closed(&mut dripping) {
        assert!(drips.elapsed() < Duration::from_secs(30), "a drip keeps a connection");
        thread::sleep(Duration::from_millis(500));
    }
    tell(&format!("slow peers: others waited {others:?} for 19 answers"));
    let after = server.resident_kib();
    assert!(after < before + 20_000, "{before} KiB before, {after} KiB after");
    drop(slow);
    assert!(lab.installed().is_empty() && lab.configured().is_empty());
}

#[test]
fn an_idle_connection_is_closed() {
    let lab = TriggerLab::counting();
    let server = lab.start(&[]);
    let mut connection = server.machine(machine(1)).limit(Duration::from_secs(30)).open().unwrap();
    assert_eq!(connection.ask("GET", "/healthz", &[], b"").unwrap().status, 200);
    let begin = Instant::now();
    assert!(connection.is_closed(), "the server closes");
    let idle = begin.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&idle), "{idle:?}");
}

/// How many requests are made up; the fuzz target makes many more.
const FLOOD: usize = 10_000;

#[test]
fn made_up_requests_start_nothing() {
    let seeds: [&[u8]; 7] = [
        b"HEAD /install/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /installl HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /file/present/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
        b"POST /jobs/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"PUT /config HTTP/1.0\r\nAuthorization: Bearer x\r\nExpect: 100-continue\r\n\r\n",
        b"GET /../cdist/ HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n",
    ];
    let lab = TriggerLab::counting();
    let server = lab.start(&[]);
    let mut random = fastrand::Rng::with_seed(1);
    let address = server.address();
    let mut highest = 0;
    let begin = Instant::now();
    let (mut asked, mut answers) = (0, 0);
    while asked < FLOOD {
        // Several on each connection, until one of them makes the server hang up.
        let Ok(mut stream) = TcpStream::connect(address) else {
            panic!("the server is gone:\n{}", server.log())
        };
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..3 {
            let mut request = seeds[random.usize(..seeds.len())].to_vec();
            for _ in 0..random.usize(..5).saturating_sub(2) {
                if request.is_empty() {
                    break;
                }
                let at = random.usize(..request.len());
                match random.usize(..4) {
                    0 => request[at] = random.u8(..),
                    1 => drop(request.remove(at)),
                    2 => request.insert(at, random.u8(..)),
                    _ => request.truncate(at.max(1)),
                }
            }
            bytes.extend(request);
            asked += 1;
        }
        let _ = stream.write_all(&bytes);
        // Until the server hangs up, or waits for more.
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answers += String::from_utf8_lossy(&answer).matches("HTTP/1.1 ").count();
        if asked % 4000 == 0 {
            highest = highest.max(server.resident_kib());
        }
    }
    assert!(answers > FLOOD / 10, "only {answers} answers");
    tell(&format!(
        "{asked} made-up requests, {answers} answers in {:.1} s, at most {highest} KiB",
        begin.elapsed().as_secs_f64()
    ));
    assert!(highest < 40_000, "{highest} KiB");
    let healthy = server.machine(machine(1)).get("/healthz");
    assert_eq!(healthy.status, 200, "{}", healthy.text());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let connection = rusqlite::Connection::open(lab.state_dir().join("trigger.db")).unwrap();
    let jobs: i64 = connection.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).unwrap();
    assert_eq!(jobs, 0);
}

#[test]
fn ipv6_and_ipv4() {
    let lab = TriggerLab::counting();
    let remote = lab.path("remote").display().to_string();
    let server = lab.start(&["--listen", "::1", "--listen", "127.0.0.1", "--local", "-r", &remote]);
    assert!(server.log().contains("listening on [::1]:"), "{}", server.log());
    let answer = cdist_tests::lab::client::Client::new(server.address())
        .limit(Duration::from_secs(90))
        .get("/config/?wait=60");
    assert_eq!(answer.text(), "config succeeded: job 1 for ::1\n");
}

#[test]
fn a_socket_of_systemd_is_served_before_the_server_has_started() {
    let lab = TriggerLab::counting();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut argv = vec![
        tool("systemd-socket-activate", "systemd").into(),
        "-l".into(),
        format!("127.0.0.1:{port}").into(),
    ];
    argv.extend(lab.server(&[]));
    let process = cdist_tests::lab::process::Process::start(&argv, &lab.path("activate.log"));
    let begin = Instant::now();
    let client = cdist_tests::lab::client::Client::new((Ipv4Addr::LOCALHOST, port).into())
        .limit(Duration::from_secs(90));
    let answer = loop {
        match client.ask("GET", "/config/?wait=60", &[], b"") {
            Ok(answer) => break answer,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(20), "{error}: {}", process.output()),
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(answer.text(), "config succeeded: job 1 for 127.0.0.1\n", "{}", process.output());
}
