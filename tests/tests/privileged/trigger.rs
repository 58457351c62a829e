//! The trigger server on disks that become full or read-only: what it has answered 202 is never lost, and it lives on.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use cdist_tests::{
    lab::{
        process::{run, tool, wait_until},
        trigger::{Trigger, TriggerLab},
    },
    mounted::{Mounted, leave_namespace},
    outcome::{Outcome, outcome, tell},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// More than the disk of any test holds.
const MANY: u16 = 2000;

fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 2, high, low).into()
}

/// A server whose configurations wait until they may go on, with a place for its state directory.
fn held() -> TriggerLab {
    leave_namespace();
    let lab = TriggerLab::counting();
    lab.file("hold", "");
    let (hold, holding) = (lab.path("hold"), lab.path("holding"));
    let wait =
        format!(": > '{}'; while [ -e '{}' ]; do sleep 0.05; done\n", holding.display(), hold.display());
    lab.file("dist/share/cdist/conf/type/__hold/singleton", "");
    lab.file("dist/share/cdist/conf/type/__hold/gencode-local", &wait);
    lab.file("dist/share/cdist/conf/manifest/init", "__hold\nrequire=__hold __configured\n");
    fs::create_dir(lab.state_dir()).unwrap();
    lab
}

fn release(lab: &TriggerLab) {
    fs::remove_file(lab.path("hold")).unwrap();
}

fn make_private(lab: &TriggerLab) {
    fs::set_permissions(lab.state_dir(), fs::Permissions::from_mode(0o700)).unwrap();
}

fn json(lab: &TriggerLab, words: &[&str]) -> Value {
    serde_json::from_str(&run(&mut lab.cdist(words))).unwrap()
}

fn state(lab: &TriggerLab, id: i64) -> String {
    json(lab, &["show", "--json", &id.to_string()])["state"].as_str().unwrap().to_owned()
}

/// A machine calls: the job, or `None` if it could not be stored, which is then said in one sentence.
fn call(server: &Trigger, number: u16) -> Option<(i64, String)> {
    let client = server.machine(address(number));
    let path = format!("/config/{}", "x".repeat(500));
    let answer = client.expect("GET", &path, &[("Accept", "application/json")], b"");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    if answer.status == 202 {
        return Some((body["job"].as_i64().unwrap(), address(number).to_string()));
    }
    assert_eq!(answer.status, 500, "{body}");
    let said = body["message"].as_str().unwrap();
    assert!(said.starts_with(&format!("config of {} not queued: ", address(number))), "{said}");
    assert!(said.contains("could not be stored; the server's log says why; ask again later"), "{said}");
    assert!(!said.contains('\n') && !said.contains("/"), "{said}");
    None
}

/// Machines call, the others when the first one is being worked on, until no more can be stored: what was accepted.
fn call_until_full(lab: &TriggerLab, server: &Trigger) -> Vec<(i64, String)> {
    let mut accepted: Vec<_> = call(server, 1).into_iter().collect();
    let holding = || lab.path("holding").exists().then_some(());
    assert!(wait_until(Duration::from_secs(30), holding).is_some(), "{}", server.log());
    accepted.extend((2..MANY).map_while(|number| call(server, number)));
    assert!((2..usize::from(MANY) - 1).contains(&accepted.len()), "{} accepted", accepted.len());
    accepted
}

#[track_caller]
fn assert_unhealthy(lab: &TriggerLab, server: &Trigger) {
    let health = server.machine(address(1)).get("/healthz");
    assert_eq!((health.status, health.text().as_str()), (503, "jobs cannot be stored\n"));
    let status = json(lab, &["status", "--json"]);
    assert_eq!((&status["healthy"], &status["complaint"]), (&false.into(), &"jobs cannot be stored".into()));
    assert!(status["last_commit_problem"]["reason"].as_str().unwrap().contains("trigger.db"), "{status}");
}

#[track_caller]
fn wait_until_healthy(server: &Trigger) {
    let healthy = || (server.machine(address(1)).get("/healthz").status == 200).then_some(());
    assert!(wait_until(Duration::from_secs(15), healthy).is_some(), "not healthy:\n{}", server.log());
}

/// All that was accepted is there, and comes to its end.
#[track_caller]
fn assert_all_are_done(lab: &TriggerLab, server: &Trigger, accepted: &[(i64, String)]) {
    let done = || {
        let list = json(lab, &["jobs", "--json", "-n", "500"]);
        let jobs = list["jobs"].as_array().unwrap();
        for (id, address) in accepted {
            let job = jobs.iter().find(|job| job["id"] == *id);
            let job = job.unwrap_or_else(|| panic!("job {id} was accepted and is lost:\n{}", server.log()));
            assert_eq!(job["address"], *address);
        }
        jobs.iter().all(|job| job["state"] == "succeeded").then_some(())
    };
    assert!(wait_until(Duration::from_secs(60), done).is_some(), "{}", server.log());
    let configured = lab.configured();
    for (_, address) in accepted {
        assert!(configured.contains(address), "{address} was not configured");
    }
}

/// A server that is not to start: it ends within seconds.
fn start(lab: &TriggerLab) -> Outcome {
    outcome(Command::new(tool("timeout", "coreutils")).arg("20").args(lab.server(&[])))
}

#[test]
fn a_full_disk_costs_no_accepted_job_and_no_restart() {
    let lab = held();
    let disk = Mounted::memory(&lab.state_dir(), "1m");
    make_private(&lab);
    let mut server = lab.start(&["-j", "1"]);
    let mut accepted = call_until_full(&lab, &server);
    tell(&format!("{} jobs accepted in 1 MiB", accepted.len()));
    assert!(call(&server, MANY).is_none());
    assert_unhealthy(&lab, &server);
    assert!(server.log().contains("database or disk is full"), "{}", server.log());
    // What is running and what is waiting is as it was.
    assert_eq!([state(&lab, 1), state(&lab, 2)], ["running", "queued"]);

    // With room on the disk the server recovers without a call or a restart.
    disk.change("size=2m");
    wait_until_healthy(&server);
    accepted.extend(call(&server, MANY));
    assert_eq!(state(&lab, accepted.last().unwrap().0), "queued");

    // Full again, and killed.
    fs::write(lab.state_dir().join("ballast"), vec![0; 4 << 20]).unwrap_err();
    let more = (MANY + 1..MANY + 400).map_while(|number| call(&server, number));
    accepted.extend(more);
    assert_unhealthy(&lab, &server);
    assert_eq!(server.end(Signal::SIGKILL), None);
    // With what is reserved for it the next one begins.
    let mut next = lab.start(&["-j", "1"]);
    accepted.extend(call(&next, MANY + 500));
    assert_eq!(next.end(Signal::SIGKILL), None);
    fs::remove_file(lab.state_dir().join("ballast")).unwrap();
    disk.change("size=64m");
    release(&lab);
    let server = lab.start(&["-j", "4"]);
    assert_all_are_done(&lab, &server, &accepted);
}

#[test]
fn the_end_of_a_job_is_stored_when_there_is_room_again() {
    let lab = held();
    let disk = Mounted::memory(&lab.state_dir(), "1m");
    make_private(&lab);
    let server = lab.start(&["-j", "1", "--retries", "0"]);
    let accepted = call_until_full(&lab, &server);
    // Until the disk has not even room for a log or the files of the run.
    fs::write(lab.state_dir().join("ballast"), vec![0; 2 << 20]).unwrap_err();
    // Nor for the smallest change: what failed has left some room in the database's log.
    while call(&server, 2).is_some() {}
    release(&lab);
    let ended = || server.log().contains("job 1: config of 127.2.0.1 has failed").then_some(());
    assert!(wait_until(Duration::from_secs(30), ended).is_some(), "{}", server.log());
    assert!(server.log().contains("No space left on device"), "{}", server.log());
    assert_eq!(state(&lab, 1), "running", "its end cannot be stored");
    assert_eq!(state(&lab, 2), "queued", "nothing begins that could not be stored");
    fs::remove_file(lab.state_dir().join("ballast")).unwrap();
    disk.change("size=64m");
    let last = accepted.last().unwrap().0;
    let all = || (state(&lab, last) == "succeeded").then_some(());
    assert!(wait_until(Duration::from_secs(60), all).is_some(), "{}", server.log());
    let job = json(&lab, &["show", "--json", "1"]);
    assert_eq!(job["state"], "failed");
    assert!(job["reason"].as_str().unwrap().contains("No space left on device"), "{job}");
    assert_eq!(lab.configured().len(), accepted.len() - 1);
    wait_until_healthy(&server);
}

#[test]
fn a_job_without_room_for_its_files_fails_and_the_server_lives() {
    let lab = held();
    release(&lab);
    make_private(&lab);
    let jobs = lab.state_dir().join("jobs");
    fs::create_dir(&jobs).unwrap();
    let disk = Mounted::memory(&jobs, "512k");
    let big = "[ \"$__target_host\" != 127.2.0.1 ] || head -c 4000000 /dev/zero | tr '\\0' '#'; echo\n";
    let conf = "dist/share/cdist/conf";
    lab.file(&format!("{conf}/type/__big/singleton"), "");
    lab.file(&format!("{conf}/type/__big/gencode-local"), big);
    lab.file(&format!("{conf}/manifest/init"), "__configured\nrequire=__configured __big\n");
    let server = lab.start(&["--retries", "0"]);
    let machine = |number| server.machine(address(number)).get("/config/?wait=60");
    assert_eq!(machine(1).status, 599, "{}", server.log());
    // There is no room for what the script says of it, either.
    let shown = run(&mut lab.cdist(&["show", "1"]));
    for words in [
        "job 1: config FAILED",
        "reason:    object '__big/': ",
        "gencode-local: No space left on device",
        "retry 1",
    ] {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    // The files of the failed run take all the room that there is.
    let ballast = jobs.join("ballast");
    let _ = fs::write(&ballast, vec![0; 1 << 20]);
    assert_eq!(machine(2).status, 599, "{}", server.log());
    let shown = run(&mut lab.cdist(&["show", "2"]));
    assert!(shown.contains("reason:") && shown.contains("No space left on device"), "{shown}");
    assert!(server.log().contains("job 2: config of 127.2.0.2 has failed: "), "{}", server.log());
    // Nothing is wrong with the server.
    assert_eq!(server.machine(address(3)).get("/healthz").status, 200);
    fs::remove_file(&ballast).unwrap();
    disk.change("size=64m");
    assert_eq!(machine(3).status, 200, "{}", server.log());
    // On a read-only file system no directory can be made.
    disk.make_read_only();
    assert_eq!(machine(4).status, 599, "{}", server.log());
    let shown = run(&mut lab.cdist(&["show", "4"]));
    assert!(shown.contains("making the directory of the job: Read-only file system"), "{shown}");
    assert!(shown.contains("hint:"), "{shown}");
    assert_eq!(server.machine(address(3)).get("/healthz").status, 200);
}

#[test]
fn a_broken_disk_costs_no_accepted_job() {
    let lab = held();
    let image = lab.path("image");
    let disk = Mounted::image(&image, &lab.state_dir());
    make_private(&lab);
    let mut server = lab.start(&["-j", "1"]);
    let accepted: Vec<_> = (1..6).map_while(|number| call(&server, number)).collect();
    assert_eq!(accepted.len(), 5);
    disk.break_disk();
    for number in [1, 6, 7] {
        assert!(call(&server, number).is_none(), "accepted on a read-only disk");
    }
    assert_unhealthy(&lab, &server);
    // All can still be looked at, and nothing be changed.
    assert_eq!([state(&lab, 1), state(&lab, 5)], ["running", "queued"]);
    let refused = outcome(&mut lab.cdist(&["cancel", "5"]));
    refused.assert_failed(1, &["writing to the database", "full or read-only"]);
    assert_eq!(server.end(Signal::SIGKILL), None);
    let refused = start(&lab);
    refused.assert_failed(1, &["Read-only file system", "\nhint: "]);

    // What the killed server has left running ends by itself.
    disk.unmount();
    let _disk = Mounted::image(&image, &lab.state_dir());
    release(&lab);
    let server = lab.start(&["-j", "4"]);
    assert_all_are_done(&lab, &server, &accepted);
    assert_eq!(lab.configured().len(), 5, "{:?}", lab.configured());
}

#[test]
fn a_read_only_state_directory_is_refused() {
    let lab = held();
    let disk = Mounted::memory(&lab.state_dir(), "8m");
    make_private(&lab);
    // With and without what an earlier server has left.
    for earlier in [false, true] {
        if earlier {
            disk.change("rw");
            drop(lab.start(&[]));
        }
        disk.make_read_only();
        let refused = start(&lab);
        refused.assert_failed(1, &["Read-only file system", "--state-dir"]);
        assert_eq!(refused.stderr.lines().count(), 2, "{}", refused.stderr);
    }
}
