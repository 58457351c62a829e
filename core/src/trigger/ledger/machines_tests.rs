//! Rules about machines, one by one.

use std::time::Duration;

use super::{
    tests::{A, B, call, ended, ledger, seen},
    *,
};
use crate::trigger::{
    attempt::End,
    policy::Refusal,
    store::{Memory, Store},
};

#[test]
fn a_machine_is_its_hardware_address() {
    let (mut ledger, now) = ledger(Rules::default());
    let mac = Some(A);
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", None), now), Answer::Queued(1));
    // The same machine: with more facts than before; from another address; without facts, from that address.
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", mac), now), Answer::Joined(1));
    assert_eq!(ledger.call(seen(JobKind::Install, "10.0.0.9", A, None), now), Answer::Joined(1));
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.9", None), now), Answer::Joined(1));
    assert_eq!(ledger.job(1).unwrap().address, "10.0.0.9");
    // Another machine has the old address now, and another one the new one: the first one's job would meet that.
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", None), now), Answer::Queued(2));
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.9", Some(B)), now), Answer::Queued(3));
    assert_eq!(ledger.job(1), None);
    assert_eq!(ledger.resolve("52-54-00-00-00-01"), Ok(1));
    assert_eq!(ledger.resolve("01-52-54-00-00-00-01"), Ok(1));
    assert_eq!(ledger.resolve("10.0.0.9"), Ok(3));
    assert!(ledger.resolve("10.0.0.77").unwrap_err().to_string().contains("10.0.0.77"));
    assert!(ledger.resolve("+1").is_err());
}

#[test]
fn made_up_hardware_addresses_get_nobody_around_the_policy() {
    let (mut ledger, now) = ledger(Rules::default());
    ledger.call(seen(JobKind::Install, "10.0.0.1", A, Some(A)), now);
    ledger.start(now);
    ledger.finish(1, ended(End::Succeeded), now, 0.5);
    // Some program on the installed machine makes one up.
    let refused = Answer::Refused(Refusal::Installed, 1);
    assert_eq!(ledger.call(seen(JobKind::Install, "10.0.0.1", A, Some("02:00:00:00:00:09")), now), refused);
    // It calls by its second network card, and tells the first one.
    assert_eq!(ledger.call(seen(JobKind::Install, "10.0.0.2", B, Some(A)), now), refused);
    // Another machine has got its address.
    assert_eq!(
        ledger.call(seen(JobKind::Install, "10.0.0.1", "52:54:00:00:00:03", None), now),
        Answer::Queued(2)
    );
}

#[test]
fn where_nothing_proves_whose_it_is_the_address_of_an_installed_machine_needs_an_arm() {
    let (mut ledger, now) = ledger(Rules::default());
    installed(&mut ledger, call(JobKind::Install, "10.0.0.1", None), now);
    let refused = Answer::Refused(Refusal::Installed, 1);
    for mac in [None, Some(A), Some(B), Some("52:54:00:00:00:03")] {
        assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", mac), now), refused, "{mac:?}");
    }
    // Configurations under a made-up hardware address do not make it look new, nor does one from elsewhere.
    ledger.call(call(JobKind::Config, "10.0.0.1", Some(B)), now);
    ledger.call(call(JobKind::Config, "10.0.0.7", Some(A)), now);
    let mut ledger = reloaded(ledger, now);
    for mac in [None, Some(B), Some("52:54:00:00:00:04")] {
        let answer = ledger.call(call(JobKind::Install, "10.0.0.1", mac), now);
        assert_eq!(answer, refused, "{mac:?}");
    }
    // Armed, the address is installed once for any machine, and the machine that had it before has lost it.
    ledger.arm(1, Duration::from_secs(60), now).unwrap();
    let new = call(JobKind::Install, "10.0.0.1", Some("52:54:00:00:00:05"));
    let Answer::Queued(job) = ledger.call(new.clone(), now) else { panic!("it is armed") };
    assert_eq!(ledger.machine(1).unwrap().armed_until, None, "for one install");
    drain(&mut ledger, now);
    let machine = ledger.resolve("52:54:00:00:00:05").unwrap();
    assert_eq!(ledger.call(new, now), Answer::Refused(Refusal::Installed, machine), "job {job}");
    // Where the kernel has seen the card, an address that goes to a new machine is no obstacle.
    let other = seen(JobKind::Install, "10.0.0.1", "52:54:00:00:00:06", None);
    assert!(matches!(ledger.call(other, now), Answer::Queued(_)));
}

#[test]
fn who_is_installed_by_another_name_at_the_same_unproven_address_is_not_installed_by_its_own() {
    let (mut ledger, now) = ledger(Rules { policy: InstallPolicy::Armed, ..Rules::default() });
    let not_armed = |id| Answer::Refused(Refusal::NotArmed, id);
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", Some(A)), now), not_armed(1));
    // The same machine, or another one that has the address now: nothing tells.
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", Some(B)), now), not_armed(2));
    ledger.arm(2, Duration::from_secs(60), now).unwrap();
    installed(&mut ledger, call(JobKind::Install, "10.0.0.1", Some(B)), now);
    let mut ledger = reloaded(ledger, now);
    let refused = Answer::Refused(Refusal::Installed, 1);
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.2", Some(A)), now), refused);
    // Its administrator knows which one it is.
    ledger.arm(1, Duration::from_secs(60), now).unwrap();
    assert!(matches!(ledger.call(call(JobKind::Install, "10.0.0.2", Some(A)), now), Answer::Queued(_)));
}

#[test]
fn a_machine_is_its_uuid_and_serial_number_too() {
    for proven in [false, true] {
        let card = |kind, address: &str, mac: &str, told: bool| {
            let mut call =
                if proven { seen(kind, address, mac, None) } else { call(kind, address, Some(mac)) };
            if told {
                call.facts.uuid = Some("4C4C4544-0042-3510-8051-B4C04F3A1B2C".to_owned());
                call.facts.serial = Some("s1 ".to_owned());
            }
            call
        };
        let (mut ledger, now) = ledger(Rules::default());
        installed(&mut ledger, card(JobKind::Install, "10.0.0.1", A, true), now);
        let refused = Answer::Refused(Refusal::Installed, 1);
        assert_eq!(ledger.call(card(JobKind::Install, "10.0.0.2", B, true), now), refused);
        // From now on its second card stands for it, also where it tells no more than that.
        let mut ledger = reloaded(ledger, now);
        assert_eq!(ledger.call(card(JobKind::Install, "10.0.0.3", B, false), now), refused);
        assert_eq!((ledger.machines(), ledger.resolve(B)), (1, Ok(1)));
        // Armed by its number it is installed, whatever card it calls by.
        ledger.arm(1, Duration::from_secs(60), now).unwrap();
        let dongle = card(JobKind::Install, "10.0.0.4", "52:54:00:00:00:03", true);
        assert!(matches!(ledger.call(dongle, now), Answer::Queued(_)));
    }
}

#[test]
fn what_vendors_write_into_every_board_makes_no_two_machines_one() {
    let (mut ledger, now) = ledger(Rules::default());
    let junk = |address: &str, mac: &str| {
        let mut call = call(JobKind::Install, address, Some(mac));
        call.facts.uuid = Some("03000200-0400-0500-0006-000700080009".to_owned());
        call.facts.serial = Some("To be filled by O.E.M.".to_owned());
        call
    };
    installed(&mut ledger, junk("10.0.0.1", A), now);
    assert!(matches!(ledger.call(junk("10.0.0.2", B), now), Answer::Queued(_)));
}

/// Product UUID and serial number besides a call.
fn firmware(mut call: Call) -> Call {
    call.facts.uuid = Some("4c4c4544-0042-3510-8051-b4c04f3a1b2c".to_owned());
    call.facts.serial = Some("S1".to_owned());
    call
}

#[test]
fn two_machines_that_turn_out_to_be_one_are_put_together_as_what_forbids_most() {
    let (mut ledger, now) = ledger(Rules::default());
    // By its first card it tells its hardware address only.
    installed(&mut ledger, call(JobKind::Install, "10.0.0.1", Some(A)), now);
    ledger.call(firmware(call(JobKind::Config, "10.0.0.2", Some(B))), now);
    drain(&mut ledger, now);
    ledger.arm(2, Duration::from_secs(60), now).unwrap();
    let both = firmware(call(JobKind::Install, "10.0.0.1", Some(A)));
    assert_eq!(ledger.call(both, now), Answer::Refused(Refusal::Installed, 1), "the second one is armed");
    assert_eq!((ledger.machines(), ledger.resolve(B)), (1, Ok(1)));
    let mut ledger = reloaded(ledger, now);
    assert_eq!(
        ledger.call(call(JobKind::Install, "10.0.0.2", Some(B)), now),
        Answer::Refused(Refusal::Installed, 1)
    );
}

#[test]
fn an_install_that_waits_ends_when_its_machine_turns_out_to_be_an_installed_one() {
    let (mut ledger, now) = ledger(Rules { at_once: 1, ..Rules::default() });
    installed(&mut ledger, firmware(call(JobKind::Install, "10.0.0.1", Some(A))), now);
    ledger.call(call(JobKind::Config, "10.0.0.50", None), now);
    ledger.start(now);
    let Answer::Queued(job) = ledger.call(call(JobKind::Install, "10.0.0.2", Some(B)), now) else {
        panic!("it is new so far")
    };
    let told = firmware(call(JobKind::Config, "10.0.0.2", Some(B)));
    assert!(matches!(ledger.call(told, now), Answer::Queued(_)));
    assert_eq!(ledger.job(job), None);
    let changes = ledger.take_changes();
    let ended = changes.iter().rev().find_map(|change| match change {
        Change::Job(ended) if ended.id == job => Some(ended),
        _ => None,
    });
    let ended = ended.unwrap();
    assert_eq!((ended.state, ended.attempts), (JobState::Cancelled, 0));
    assert!(ended.note.as_deref().unwrap().contains("machine 1"), "{ended:?}");
}

#[test]
fn a_claimed_hardware_address_leads_no_job_elsewhere() {
    let (mut ledger, now) = ledger(Rules { at_once: 0, ..Rules::default() });
    ledger.call(call(JobKind::Install, "10.0.0.1", Some(A)), now);
    for kind in [JobKind::Install, JobKind::Config] {
        assert_eq!(ledger.call(call(kind, "10.0.0.66", Some(A)), now), Answer::Elsewhere(1));
    }
    assert_eq!(ledger.job(1).unwrap().address, "10.0.0.1");
    assert_eq!(ledger.resolve("10.0.0.1"), Ok(1));
    // The machine itself may have moved, where its own network says so.
    assert_eq!(ledger.call(seen(JobKind::Install, "10.0.0.5", A, None), now), Answer::Joined(1));
}

#[test]
fn an_address_from_which_another_machine_called_stays_lost_after_a_restart() {
    let (mut ledger, now) = ledger(Rules { at_once: 1, ..Rules::default() });
    ledger.call(call(JobKind::Install, "10.0.0.1", Some(A)), now);
    let failed = ledger.start(now).remove(0);
    ledger.call(call(JobKind::Install, "10.0.0.2", Some(B)), now);
    ledger.finish(1, ended(End::Failed), now, 0.5);
    let failed = Job { state: JobState::Failed, ..failed };
    // Its job waits, so it is told to wait as well, but it has the address.
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", Some(B)), now), Answer::Elsewhere(2));
    let moved = Err(OrderError::Moved(1, "10.0.0.1".parse().unwrap()));
    assert_eq!(ledger.retry(&failed, Vec::new(), None, now), moved);
    let mut ledger = reloaded(ledger, now);
    assert_eq!(ledger.retry(&failed, Vec::new(), None, now), moved);
    // It has got the address back.
    assert!(matches!(ledger.call(call(JobKind::Config, "10.0.0.1", Some(A)), now), Answer::Queued(_)));
    assert!(ledger.retry(&failed, Vec::new(), None, now).is_ok());
}

#[test]
fn a_machine_that_calls_from_elsewhere_during_its_install_has_to_ask_again() {
    for proven in [false, true] {
        let (mut ledger, now) = ledger(Rules::default());
        let at = |kind, address: &str| {
            if proven { seen(kind, address, A, None) } else { call(kind, address, Some(A)) }
        };
        ledger.call(at(JobKind::Install, "10.0.0.20"), now);
        ledger.start(now);
        for kind in [JobKind::Install, JobKind::Config] {
            assert_eq!(ledger.call(at(kind, "10.0.0.21"), now), Answer::Moved(1));
        }
        assert_eq!(ledger.call(at(JobKind::Install, "10.0.0.20"), now), Answer::Running(1));
        // Nor is another machine installed where one is being installed.
        assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.20", Some(B)), now), Answer::Taken(1));
        ledger.finish(1, ended(End::Failed), now, 0.5);
        assert_eq!(ledger.call(at(JobKind::Install, "10.0.0.21"), now), Answer::Queued(2));
    }
}

#[test]
fn a_job_whose_machine_has_left_its_address_ends_and_costs_nothing() {
    let (mut ledger, now) = ledger(Rules { at_once: 1, ..Rules::default() });
    installed(&mut ledger, seen(JobKind::Install, "10.0.0.1", A, None), now);
    ledger.arm(1, Duration::from_secs(60), now).unwrap();
    let Answer::Queued(job) = ledger.call(seen(JobKind::Install, "10.0.0.1", A, None), now) else {
        panic!("it is armed")
    };
    assert_eq!(ledger.machine(1).unwrap().armed_until, None);
    // It calls from elsewhere for something else: the install would not meet it.
    assert!(matches!(ledger.call(seen(JobKind::Config, "10.0.0.2", A, None), now), Answer::Queued(_)));
    let started = ledger.start(now);
    assert_eq!(started.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Config]);
    assert_eq!(ledger.job(job), None);
    assert!(ledger.machine(1).unwrap().armed_until.is_some(), "the arm is not used up");
    ledger.finish(started[0].id, ended(End::Succeeded), now, 0.5);

    // The kernel tells it at the start of the run.
    let call = seen(JobKind::Install, "10.0.0.2", A, None);
    let Answer::Queued(job) = ledger.call(call.clone(), now) else { panic!("it is armed") };
    assert_eq!(ledger.start(now).len(), 1);
    ledger.finish(job, ended(End::Missed), now, 0.5);
    assert_eq!(ledger.machine(1).unwrap().install, Some(JobState::Succeeded));
    let Answer::Queued(job) = ledger.call(call, now) else { panic!("it is still armed") };
    // Unless it was taken back meanwhile.
    ledger.take_arm_back(1).unwrap();
    ledger.start(now);
    ledger.finish(job, ended(End::Missed), now, 0.5);
    assert_eq!(ledger.machine(1).unwrap().armed_until, None);
}

#[test]
fn a_new_machine_whose_job_ended_so_may_ask_again() {
    let (mut ledger, now) = ledger(Rules::default());
    ledger.call(call(JobKind::Install, "10.0.0.1", Some(A)), now);
    ledger.start(now);
    ledger.finish(1, ended(End::Missed), now, 0.5);
    let changes = ledger.take_changes();
    let Some(Change::Job(job)) = changes.last() else { panic!("{changes:?}") };
    assert_eq!((job.state, job.attempts, job.started), (JobState::Cancelled, 0, None));
    assert!(job.note.is_some());
    assert_eq!(ledger.machine(1).unwrap().install, None);
    assert_eq!(ledger.call(call(JobKind::Install, "10.0.0.1", Some(A)), now), Answer::Queued(2));
}

#[test]
fn what_is_done_again_goes_to_the_newest_address_with_the_newest_keys() {
    let (mut ledger, now) = ledger(Rules::default());
    installed(&mut ledger, seen(JobKind::Install, "10.0.0.1", A, None), now);
    let old = Job { state: JobState::Succeeded, ..template(1, JobKind::Install, "10.0.0.1") };
    let mut call = seen(JobKind::Install, "10.0.0.2", A, None);
    call.facts.ssh_host_keys = vec!["ssh-ed25519 NEW".to_owned()];
    assert_eq!(ledger.call(call, now), Answer::Refused(Refusal::Installed, 1));
    let changes = ledger.take_changes();
    assert!(changes.contains(&Change::HostKeys(1, vec!["ssh-ed25519 NEW".to_owned()])), "{changes:?}");
    assert_eq!(
        ledger.retry(&old, Vec::new(), Some(B), now),
        Err(OrderError::Moved(1, "10.0.0.2".parse().unwrap())),
        "the kernel knows another card there"
    );
    let new = ledger.retry(&old, vec!["ssh-ed25519 NEW".to_owned()], Some(A), now).unwrap();
    let job = ledger.job(new).unwrap();
    assert_eq!((job.address.as_str(), job.facts.ssh_host_keys.len()), ("10.0.0.2", 1));
}

#[test]
fn nothing_is_done_again_where_another_machine_is() {
    let (mut ledger, now) = ledger(Rules::default());
    installed(&mut ledger, call(JobKind::Install, "10.0.0.1", Some(A)), now);
    // A program on it says to be another machine, whose install has failed.
    ledger.call(call(JobKind::Install, "10.0.0.2", Some(B)), now);
    ledger.start(now);
    ledger.finish(2, ended(End::Failed), now, 0.5);
    ledger.call(call(JobKind::Config, "10.0.0.1", Some(B)), now);
    drain(&mut ledger, now);
    let failed = Job { state: JobState::Failed, ..template(2, JobKind::Install, "10.0.0.2") };
    let held = OrderError::Held("10.0.0.1".parse().unwrap(), 1);
    assert_eq!(ledger.retry(&failed, Vec::new(), None, now), Err(held));
    ledger.arm(1, Duration::from_secs(60), now).unwrap();
    assert!(ledger.retry(&failed, Vec::new(), None, now).is_ok());
    assert_eq!(ledger.machine(1).unwrap().armed_until, None);
    let first = Job { state: JobState::Succeeded, ..template(1, JobKind::Install, "10.0.0.1") };
    assert_eq!(
        ledger.retry(&first, Vec::new(), None, now),
        Err(OrderError::Moved(1, "10.0.0.1".parse().unwrap())),
        "the other one has called from there since"
    );
}

#[test]
fn an_installed_machine_does_not_wander_without_end() {
    let (mut ledger, now) = ledger(Rules::default());
    installed(&mut ledger, call(JobKind::Install, "10.0.0.1", Some(A)), now);
    for last in 2..=PLACES_MAX {
        let answer = ledger.call(call(JobKind::Config, &format!("10.0.1.{last}"), Some(A)), now);
        assert!(matches!(answer, Answer::Queued(_)), "{answer:?}");
        drain(&mut ledger, now);
    }
    assert_eq!(ledger.call(call(JobKind::Config, "10.0.2.1", Some(A)), now), Answer::Astray(1));
    assert!(matches!(ledger.call(call(JobKind::Config, "10.0.0.1", Some(A)), now), Answer::Queued(_)));
    drain(&mut ledger, now);
    // None of its places was forgotten.
    for place in ["10.0.0.1", "10.0.1.7"] {
        let answer = ledger.call(call(JobKind::Install, place, Some(B)), now);
        assert_eq!(answer, Answer::Refused(Refusal::Installed, 1));
    }
    assert!(matches!(ledger.call(seen(JobKind::Config, "10.0.2.1", A, None), now), Answer::Queued(_)));
    drain(&mut ledger, now);
    // Nor by a machine whose card the kernel has seen, and that says to be this one.
    let mut liar = seen(JobKind::Config, "10.0.3.1", "02:00:00:00:00:66", Some(A));
    liar.facts.uuid = Some("4c4c4544-0042-3510-8051-b4c04f3a1b2c".to_owned());
    ledger.call(liar, now);
    drain(&mut ledger, now);
    let answer = ledger.call(call(JobKind::Install, "10.0.1.7", Some(B)), now);
    assert_eq!(answer, Answer::Refused(Refusal::Installed, 1));
}

#[test]
fn machines_whose_install_failed_make_room_and_take_their_jobs_along() {
    let (mut ledger, now) = ledger(Rules { machines_max: 40, ..Rules::default() });
    for last in 0..40 {
        ledger.call(call(JobKind::Install, "10.0.0.66", Some(&format!("02:66:00:00:00:{last:02x}"))), now);
        let [job] = ledger.start(now).try_into().unwrap();
        ledger.finish(job.id, ended(End::Failed), now, 0.5);
    }
    let mut ledger = reloaded(ledger, now);
    let answer = ledger.call(call(JobKind::Config, "10.0.0.11", None), now);
    assert!(matches!(answer, Answer::Queued(_)), "{answer:?}");
    assert!(ledger.take_changes().iter().any(|change| matches!(change, Change::Evicted(_))));
}

#[test]
fn one_address_has_one_job_of_a_kind_that_waits() {
    let (mut ledger, now) = ledger(Rules { queue_max: 100, ..Rules::default() });
    for last in 0..110 {
        let mac = format!("02:66:00:00:00:{last:02x}");
        ledger.call(call(JobKind::Config, "10.0.0.66", Some(&mac)), now);
        ledger.start(now);
    }
    assert_eq!((ledger.waiting(), ledger.running()), (1, 1));
    assert!(matches!(ledger.call(call(JobKind::Config, "10.0.0.10", None), now), Answer::Queued(_)));
}

/// An install from the call to its good end.
fn installed(ledger: &mut Ledger, call: Call, now: Moment) {
    assert!(matches!(ledger.call(call, now), Answer::Queued(_)));
    drain(ledger, now);
}

/// All jobs that can start end well.
fn drain(ledger: &mut Ledger, now: Moment) {
    loop {
        let jobs = ledger.start(now);
        if jobs.is_empty() {
            return;
        }
        jobs.iter().for_each(|job| ledger.finish(job.id, ended(End::Succeeded), now, 0.5));
    }
}

/// The ledger after a restart of the server.
fn reloaded(mut ledger: Ledger, now: Moment) -> Ledger {
    let mut store = Memory::default();
    store.commit(&ledger.take_changes()).unwrap();
    Ledger::load(ledger.rules().clone(), store.load().unwrap(), now)
}

fn template(machine: MachineId, kind: JobKind, address: &str) -> Job {
    let (mut ledger, now) = ledger(Rules::default());
    ledger.call(call(kind, address, None), now);
    Job { machine, ..ledger.job(1).unwrap().clone() }
}
