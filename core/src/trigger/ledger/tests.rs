//! Rules about jobs, and what tests of the ledger share.

use std::time::Duration;

use super::*;
use crate::trigger::{
    Facts,
    attempt::{AttemptReport, End, Ended},
};

pub(super) fn ledger(rules: Rules) -> (Ledger, Moment) {
    let now = Moment { wall: 1_000_000_000_000, mono: Duration::from_secs(5) };
    (Ledger::load(rules, Stored::default(), now), now)
}

pub(super) fn call(kind: JobKind, address: &str, mac: Option<&str>) -> Call {
    let facts = Facts { mac: mac.map(str::to_owned), ..Facts::default() };
    Call { kind, address: address.parse().unwrap(), neighbour: None, facts, path: String::new() }
}

pub(super) fn ended(end: End) -> Ended {
    Ended { end, report: AttemptReport::default() }
}

/// A machine on a network of the server: its kernel knows the hardware address.
pub(super) fn seen(kind: JobKind, address: &str, neighbour: &str, claimed: Option<&str>) -> Call {
    Call { neighbour: Some(neighbour.to_owned()), ..call(kind, address, claimed) }
}

pub(super) const A: &str = "52:54:00:00:00:01";
pub(super) const B: &str = "52:54:00:00:00:02";

#[test]
fn a_machine_that_was_switched_off_during_its_install_has_to_ask_again() {
    let (mut ledger, now) = ledger(Rules::default());
    let with = |key: &str| {
        let mut call = call(JobKind::Install, "10.0.0.1", Some(A));
        call.facts.ssh_host_keys = vec![format!("ssh-ed25519 {key}")];
        call
    };
    ledger.call(with("AAAA"), now);
    ledger.start(now);
    assert_eq!(ledger.call(with("AAAA"), now), Answer::Running(1));
    assert_eq!(ledger.call(with("BBBB"), now), Answer::Rebooted(1));
    ledger.finish(1, ended(End::Failed), now, 0.5);
    assert_eq!(ledger.call(with("BBBB"), now), Answer::Queued(2));
    let job = ledger.job(2).unwrap().clone();
    assert_eq!(job.facts.ssh_host_keys, ["ssh-ed25519 BBBB"]);
    assert!(ledger.machine(1).unwrap().facts.ssh_host_keys.is_empty(), "they are those of one boot");
}

#[test]
fn one_address_is_one_target() {
    let (mut ledger, now) = ledger(Rules::default());
    ledger.call(call(JobKind::Config, "10.0.0.1", Some(A)), now);
    assert_eq!(ledger.start(now).len(), 1);
    ledger.call(call(JobKind::Config, "10.0.0.1", Some(B)), now);
    assert_eq!(ledger.start(now).len(), 0);
    ledger.finish(1, ended(End::Succeeded), now, 0.5);
    assert_eq!(ledger.start(now).len(), 1);
}

#[test]
fn a_configuration_that_ends_the_server_again_and_again_is_given_up() {
    let (mut ledger, now) = ledger(Rules { retries: 0, ..Rules::default() });
    ledger.call(call(JobKind::Config, "10.0.0.1", None), now);
    for _ in 0..=CRASHES_IN_ALL {
        ledger.start(now);
        ledger.recover(now);
    }
    assert_eq!((ledger.waiting(), ledger.running()), (0, 0));
}

/// With no retries.
const CRASHES_IN_ALL: usize = 3;

#[test]
fn a_config_is_tried_again_after_growing_pauses_and_an_install_is_not() {
    let rules = Rules { retries: 2, ..Rules::default() };
    let (mut ledger, mut now) = ledger(rules);
    ledger.call(call(JobKind::Config, "10.0.0.1", None), now);
    for seconds in [10, 20] {
        let [job] = ledger.start(now).try_into().unwrap();
        ledger.finish(job.id, ended(End::Failed), now, 1.0);
        assert!(ledger.start(now).is_empty());
        now.mono += Duration::from_secs(seconds) - Duration::from_millis(1);
        assert!(ledger.start(now).is_empty(), "too early");
        // A clock that is set back changes nothing.
        now.wall -= 1_000_000;
        now.mono += Duration::from_millis(1);
    }
    assert_eq!(ledger.start(now).len(), 1);
    ledger.finish(1, ended(End::Failed), now, 1.0);
    assert_eq!(ledger.waiting() + ledger.running(), 0);

    ledger.call(call(JobKind::Install, "10.0.0.1", None), now);
    ledger.start(now);
    ledger.finish(2, ended(End::Failed), now, 1.0);
    assert_eq!(ledger.waiting() + ledger.running(), 0);
    // But the machine may ask again.
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", None), now), Answer::Queued(3));
}

#[test]
fn a_machine_that_calls_often_waits_like_all_others() {
    let (mut ledger, now) = ledger(Rules { at_once: 1, ..Rules::default() });
    let mut order = Vec::new();
    for _ in 0..3 {
        ledger.call(call(JobKind::Config, "10.0.0.1", None), now);
        ledger.call(call(JobKind::Config, "10.0.0.2", None), now);
        ledger.call(call(JobKind::Config, "10.0.0.1", None), now);
    }
    for _ in 0..4 {
        let jobs = ledger.start(now);
        order.extend(jobs.iter().map(|job| job.address.to_string()));
        for job in jobs {
            // While it runs it asks for more, again and again.
            ledger.call(call(JobKind::Config, "10.0.0.1", None), now);
            ledger.finish(job.id, ended(End::Succeeded), now, 0.5);
        }
    }
    assert_eq!(order, ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.1"]);
}

#[test]
fn what_is_full_takes_nothing() {
    let rules = Rules { queue_max: 1, machines_max: 2, at_once: 0, ..Rules::default() };
    let (mut ledger, now) = ledger(rules);
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.0.1", None), now), Answer::Queued(1));
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.0.2", None), now), Answer::QueueFull);
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.0.1", None), now), Answer::Joined(1));
    assert!(ledger.cancel(1, now).unwrap());
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.0.2", None), now), Answer::Queued(2));
    assert_eq!(ledger.forget(2), Err(OrderError::Busy(2, 2)));
    // A machine that has only called makes room for a new one, the longest unseen first; one that waits or is installed does
    // not.
    assert!(ledger.cancel(2, now).unwrap());
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.3", None), now), Answer::Queued(3));
    assert!(ledger.cancel(3, now).unwrap());
    assert_eq!((ledger.machines(), ledger.machine(1)), (2, None));
    ledger.forget(3).unwrap();
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.4", None), now), Answer::Queued(4));
    assert!(ledger.cancel(4, now).unwrap());
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.5", None), now), Answer::Queued(5));
    assert_eq!(ledger.machine(2), None);
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.0.6", None), now), Answer::QueueFull);
    assert!(ledger.cancel(5, now).unwrap());
    assert_eq!(
        ledger.call(call(JobKind::Config, "10.0.0.6", None), now),
        Answer::MachinesFull,
        "all were installed or stopped"
    );
}

#[test]
fn a_dry_run_is_no_install() {
    let (mut ledger, now) = ledger(Rules { dry_run: true, ..Rules::default() });
    for id in [1, 2] {
        assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", None), now), Answer::Queued(id));
        ledger.start(now);
        ledger.finish(id, ended(End::Succeeded), now, 0.5);
    }
}
