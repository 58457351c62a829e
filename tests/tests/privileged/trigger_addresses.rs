//! Whose an address is, on a network of the server: the kernel's neighbour table tells.

use std::{fs, process::Command, time::Duration};

use cdist_tests::lab::{
    netns::{GATEWAY, Network, Station},
    process::{run, tool, wait_until},
    trigger::TriggerLab,
};
use serde_json::{Value, json};

const VICTIM: &str = "02:00:00:00:00:aa";
const OTHER: &str = "02:00:00:00:00:66";

fn show(lab: &TriggerLab, id: u8) -> Value {
    serde_json::from_str(&run(&mut lab.cdist(&["show", "--json", &id.to_string()]))).unwrap()
}

/// What the server answers to a machine that has `address`.
fn ask(station: &Station, port: u16, path: &str) -> String {
    let enter = station.enter();
    let mut command = Command::new(&enter[0]);
    command.args(&enter[1..]).arg(tool("curl", "curl")).args(["-s", "-m", "60"]);
    // Until the neighbour table of the server is right again, its answers go to the card that had the address before.
    command.args(["--connect-timeout", "2", "--retry", "20", "--retry-all-errors", "--retry-delay", "1"]);
    run(command.arg(format!("http://{GATEWAY}:{port}{path}")))
}

fn give(station: &Station, address: &str) {
    station.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
}

fn take(station: &Station, address: &str) {
    station.ip(&["address", "del", &format!("{address}/24"), "dev", "eth0"]);
}

#[test]
fn an_address_that_is_another_machines_by_now_is_not_installed() {
    let network = Network::new();
    let (victim, other) = (network.add_station(VICTIM), network.add_station(OTHER));
    let lab = TriggerLab::counting();
    let hold = lab.path("hold").display().to_string();
    let wait = format!("#!/bin/sh\nwhile [ -e '{hold}' ]; do sleep 0.05; done\n__installed\n__configured\n");
    lab.file("dist/share/cdist/conf/manifest/init", &wait);
    let mut argv = network.enter();
    argv.extend(lab.server(&["--listen", GATEWAY, "-j", "1"]));
    let server = lab.start_argv(&argv);
    let port = server.address().port();

    give(&victim, "10.0.2.50");
    let answer = ask(&victim, port, "/install/?wait=50");
    assert!(answer.contains("install succeeded"), "{answer}");
    // DHCP gives its address to another machine, and that is no obstacle.
    take(&victim, "10.0.2.50");
    give(&victim, "10.0.2.51");
    give(&other, "10.0.2.50");
    let passed_on = wait_until(Duration::from_secs(30), || {
        let answer = ask(&other, port, "/install/?wait=50");
        answer.contains("install succeeded").then_some(())
    });
    assert!(passed_on.is_some(), "{}", server.log());
    let answer = ask(&victim, port, "/install/");
    assert!(answer.contains("machine 1, and it is installed already"), "{answer}");

    // A third one borrows the address of the first for a call; its job has to wait.
    let third = network.add_station("02:00:00:00:00:67");
    lab.file("hold", "");
    assert!(ask(&other, port, "/config/").contains("config queued: job 3"));
    take(&victim, "10.0.2.51");
    give(&third, "10.0.2.51");
    let queued = wait_until(Duration::from_secs(30), || {
        ask(&third, port, "/install/").contains("install queued: job 4").then_some(())
    });
    assert!(queued.is_some(), "{}", server.log());
    take(&third, "10.0.2.51");
    give(&victim, "10.0.2.51");
    let is_back = wait_until(Duration::from_secs(30), || {
        ask(&victim, port, "/healthz");
        let enter = network.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).arg(tool("ip", "iproute2")).args(["neighbour", "show", "10.0.2.51"]);
        run(&mut command).contains(VICTIM).then_some(())
    });
    assert!(is_back.is_some(), "the kernel does not see the card");
    fs::remove_file(lab.path("hold")).unwrap();
    let ended = || (show(&lab, 4)["state"] == "cancelled").then_some(());
    assert!(wait_until(Duration::from_secs(30), ended).is_some(), "{}", show(&lab, 4));
    let job = show(&lab, 4);
    assert_eq!(job["attempts"], json!(0), "{job}");
    assert!(job["note"].as_str().unwrap().contains(VICTIM), "{job}");
    assert_eq!(lab.installed(), ["10.0.2.50", "10.0.2.50"]);
}
