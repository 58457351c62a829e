//! A hundred hosts in one run.

use std::{fs, time::Instant};

use cdist_tests::{
    lab::{
        admin::{Admin, TYPES},
        sshd::Sshd,
    },
    outcome::{outcome, tell},
};

#[test]
fn a_hundred_hosts_twenty_at_a_time() {
    let admin = Admin::new(TYPES);
    let mut hosts: Vec<(String, Sshd)> =
        (0..100).map(|i| (format!("web{i}"), Sshd::start(admin.key()))).collect();
    let named: Vec<(&str, &Sshd)> = hosts.iter().map(|(name, sshd)| (name.as_str(), sshd)).collect();
    admin.knows(&named, "");
    let names: String = hosts.iter().map(|(name, _)| format!("{name}\n")).collect();
    admin.file("hosts", &names);
    let manifest: String = (0..10).map(|i| format!("__note \"$__target_host-{i}\"\n")).collect();
    let started = Instant::now();
    let done = outcome(admin.config(&manifest).args(["-p", "20", "-f"]).arg(admin.path("hosts")));
    done.assert_ok();
    tell(&format!("100 hosts, 10 objects each: {:.1} s", started.elapsed().as_secs_f64()));
    for (name, sshd) in &hosts {
        let notes = fs::read_to_string(sshd.path("/var/lib/notes")).unwrap_or_default();
        let own = notes.lines().filter(|line| line.starts_with(&format!("{name}-"))).count();
        assert_eq!((own, notes.lines().count()), (10, 10), "{name}: {notes}");
        assert!(sshd.processes().is_empty(), "{name}: {:?}", sshd.processes());
    }
    admin.assert_no_connection();

    // One that is gone fails alone.
    let (gone, sshd) = hosts.remove(57);
    drop(sshd);
    let failed = outcome(admin.config(&manifest).args(["-p", "20", "-f"]).arg(admin.path("hosts")));
    assert_eq!(failed.status, Some(1));
    let last = failed.stderr.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        format!("ERROR: cdist: Failed to configure the following hosts: {gone}"),
        "{}",
        failed.stderr
    );
    admin.assert_no_connection();
}
