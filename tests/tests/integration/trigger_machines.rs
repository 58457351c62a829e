//! Which machine calls, and whose job is whose, as callers and administrators see it. On the loopback interface nothing
//! proves whose an address is, as behind a router.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use cdist_tests::lab::{process::wait_until, trigger::TriggerLab};
use serde_json::{Value, json};

const MAC: &str = "52:54:00:aa:bb:01";

fn machine(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 1, 2, last).into()
}

fn facts(mac: &str) -> String {
    json!({ "mac": mac }).to_string()
}

fn firmware(mac: &str, uuid: &str, serial: &str) -> String {
    json!({ "mac": mac, "uuid": uuid, "serial": serial }).to_string()
}

/// A server whose jobs are at work until the file `hold` is gone. The file `reached` is there once one of them has been at
/// its machine.
fn held() -> TriggerLab {
    let lab = TriggerLab::counting();
    let reached = lab.path("reached").display().to_string();
    lab.file("dist/share/cdist/conf/explorer/there", &format!(": >'{reached}'\n"));
    lab.file("hold", "");
    let hold = lab.path("hold").display().to_string();
    let wait = format!("#!/bin/sh\nwhile [ -e '{hold}' ]; do sleep 0.05; done\n__installed\n__configured\n");
    lab.file("dist/share/cdist/conf/manifest/init", &wait);
    lab
}

fn show(lab: &TriggerLab, id: u8) -> Value {
    let output = lab.cdist(&["show", "--json", &id.to_string()]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_machine_is_installed_once_whatever_card_it_calls_by_and_however_it_writes_it() {
    let lab = TriggerLab::counting();
    let server = lab.start(&[]);
    let uuid = "4c4c4544-0042-3510-8051-b4c04f3a1b2c";
    let first = server.machine(machine(1)).post("/install/?wait=60", firmware(MAC, uuid, "S1"));
    assert_eq!(first.status, 200, "{}", first.text());
    for (last, body) in [
        (2, firmware("52:54:00:00:00:02", &uuid.to_uppercase(), " s1")),
        (3, facts("52:54:00:00:00:02")),
        (4, facts("01-52-54-00-aa-bb-01")),
        (5, facts("5254.00AA.BB01")),
        (6, facts("525400aabb01")),
        (1, facts("02:00:00:00:00:01")),
        (1, String::new()),
    ] {
        let again = server.machine(machine(last)).post("/install/", body.clone());
        assert_eq!(again.status, 409, "{body}: {}", again.text());
        assert!(again.text().contains("cdist trigger arm 1"), "{body}: {}", again.text());
    }
    let none = server.machine(machine(7)).post("/install/", facts("01:52:54:00:aa:bb:01"));
    assert_eq!((none.status, none.text().contains("not a hardware address")), (400, true));
    // What a vendor writes into all of its boards makes no two machines one.
    let junk = |mac| firmware(mac, "03000200-0400-0500-0006-000700080009", "Default string");
    for (last, mac) in [(8, "52:54:00:00:00:08"), (9, "52:54:00:00:00:09")] {
        let answer = server.machine(machine(last)).post("/install/?wait=60", junk(mac));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(lab.installed(), ["127.1.2.1", "127.1.2.8", "127.1.2.9"]);
}

#[test]
fn a_machine_that_moves_during_its_install_is_told_to_ask_again() {
    let lab = held();
    let server = lab.start(&[]);
    assert_eq!(server.machine(machine(1)).post("/install/", facts(MAC)).status, 202);
    let runs = || lab.path("reached").exists().then_some(());
    assert!(wait_until(Duration::from_secs(30), runs).is_some(), "{}", show(&lab, 1));
    let moved = server.machine(machine(2)).post("/install/", facts(MAC));
    assert_eq!(moved.status, 503, "{}", moved.text());
    assert!(moved.header("retry-after").is_some(), "{}", moved.text());
    // Nor is another machine installed where this one is.
    let other = server.machine(machine(1)).post("/install/", facts("52:54:00:aa:bb:02"));
    assert_eq!(other.status, 503, "{}", other.text());
    fs::remove_file(lab.path("hold")).unwrap();
    let ended = || (show(&lab, 1)["state"] == "succeeded").then_some(());
    assert!(wait_until(Duration::from_secs(30), ended).is_some(), "{}", show(&lab, 1));
    // Where it was heard during its install it is not a new machine, either.
    let lie = server.machine(machine(2)).post("/install/", facts("52:54:00:aa:bb:03"));
    assert_eq!(lie.status, 409, "{}", lie.text());
    assert_eq!(lab.installed(), ["127.1.2.1"]);
}

#[test]
fn a_job_ends_when_another_machine_calls_from_its_address() {
    let lab = held();
    let server = lab.start(&["-j", "1"]);
    assert_eq!(server.machine(machine(1)).get("/config/").status, 202);
    assert_eq!(server.machine(machine(2)).post("/install/", facts(MAC)).status, 202);
    assert_eq!(server.machine(machine(2)).post("/install/", facts("52:54:00:aa:bb:02")).status, 202);
    let ended = show(&lab, 2);
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("cancelled"), &json!(0)), "{ended}");
    assert!(ended["note"].as_str().unwrap().contains("another machine calls"), "{ended}");
    // It has cost nothing.
    assert_eq!(server.machine(machine(3)).post("/install/", facts(MAC)).status, 202);
    fs::remove_file(lab.path("hold")).unwrap();
    let done = || (lab.installed().len() == 2).then_some(());
    assert!(wait_until(Duration::from_secs(30), done).is_some(), "{:?}", lab.installed());
    let mut installed = lab.installed();
    installed.sort();
    assert_eq!(installed, ["127.1.2.2", "127.1.2.3"]);
}

#[test]
fn what_is_done_again_goes_where_the_machine_is_now() {
    let lab = TriggerLab::counting();
    let server = lab.start(&[]);
    assert_eq!(server.machine(machine(1)).post("/install/?wait=60", facts(MAC)).status, 200);
    // It is refused, and so there is no newer job.
    assert_eq!(server.machine(machine(2)).post("/install/", facts(MAC)).status, 409);
    let retried = lab.cdist(&["retry", "1"]).output().unwrap();
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let done = || (show(&lab, 2)["state"] == "succeeded").then_some(());
    assert!(wait_until(Duration::from_secs(30), done).is_some(), "{}", show(&lab, 2));
    assert_eq!(lab.installed(), ["127.1.2.1", "127.1.2.2"]);
}

#[test]
fn failed_installs_of_invented_machines_make_room_and_take_their_files_along() {
    let lab = TriggerLab::counting();
    lab.file("dist/share/cdist/conf/type/__installed/gencode-local", "exit 3\n");
    let server = lab.start(&["--machines", "5"]);
    for last in 0..5 {
        let body = facts(&format!("02:66:00:00:00:{last:02x}"));
        assert_eq!(server.machine(machine(66)).post("/install/?wait=60", body).status, 599);
    }
    let answer = server.machine(machine(1)).get("/config/?wait=60");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let gone = || (!lab.state_dir().join("jobs/1").exists()).then_some(());
    assert!(wait_until(Duration::from_secs(30), gone).is_some(), "the files of its job stay");
    assert!(!lab.cdist(&["show", "1"]).output().unwrap().status.success());
    assert!(lab.cdist(&["show", "5"]).output().unwrap().status.success());
}

#[test]
fn one_address_does_not_fill_the_queue() {
    let lab = held();
    let server = lab.start(&["--queue", "10"]);
    for last in 0..20 {
        let body = facts(&format!("02:66:00:00:00:{last:02x}"));
        assert_eq!(server.machine(machine(66)).post("/config/", body).status, 202);
    }
    assert_eq!(server.machine(machine(1)).get("/config/").status, 202);
    fs::remove_file(lab.path("hold")).unwrap();
}

#[test]
fn who_only_waits_gives_way() {
    let lab = held();
    let server = lab.start(&["--connections", "64"]);
    let mut waiting = Vec::new();
    for i in 0..64 {
        let mut connection = server.machine(machine(10 + i / 4)).open().unwrap();
        connection.send(b"GET /config/?wait=3600 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        waiting.push(connection);
    }
    let answer = server.machine(machine(200)).get("/config/");
    assert_eq!(answer.status, 202, "{}", answer.text());
    fs::remove_file(lab.path("hold")).unwrap();
}
