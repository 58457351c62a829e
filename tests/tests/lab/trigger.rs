//! The seed's walk on one machine: a PreOS boots, calls the trigger server, and is configured by it.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path, time::Duration, time::Instant};

use cdist_tests::{
    lab::{
        netns::Network,
        process::{Process, run, wait_until},
        qemu::{Machine, mac},
        ssh::Key,
    },
    outcome::tell,
    preos::{cdist, debian, program, shared_build},
};

/// A machine of continuous integration does other things too; a boot takes a minute or two.
const BOOT: Duration = Duration::from_secs(400);
const TOKEN: &str = "lab-token.0123456789==";
const MANIFEST: &str = "__file /etc/motd --source - --mode 0644 <<END\nconfigured as $__target_host\nEND\n";

fn secret_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_booted_preos_calls_and_is_configured() {
    let build = shared_build();
    let copy = build.copy_root();
    let dir = copy.path();
    let token = dir.join("token");
    secret_file(&token, TOKEN);
    // The same PreOS with another trigger; the bootstrap is not repeated.
    let pxe = dir.join("pxe");
    let mut command = debian(&dir.join("root"));
    command.args(["-C", "--trigger-url", "http://10.0.2.2:3000/config/rack1"]);
    // dnsmasq runs with the group nogroup.
    command.arg("--trigger-token-file").arg(&token).args(["--pxe-group", "nogroup"]);
    command.arg("-k").arg(build.key().with_extension("pub")).arg("-p").arg(&pxe);
    run(&mut command);

    let network = Network::new();
    let dnsmasq = network.serve_pxe(&pxe);
    let state = dir.join("state");
    fs::write(dir.join("manifest"), MANIFEST).unwrap();
    let (key, known) = (build.key(), dir.join("known_hosts"));
    // The machine's host keys are known only from its own facts.
    let config = format!(
        "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n",
        key.display(),
        known.display()
    );
    fs::write(dir.join("ssh_config"), config).unwrap();
    let mut argv = network.enter();
    argv.extend([OsString::from("env"), format!("HOME={}", dir.display()).into(), program().into()]);
    argv.extend(
        ["trigger", "-b", "-v", "--listen", "10.0.2.2", "--no-status", "--host-key", "strict"]
            .map(Into::into),
    );
    for (option, path) in [
        ("-i", "manifest"),
        ("--ssh-config", "ssh_config"),
        ("--token-file", "token"),
        ("--state-dir", "state"),
    ] {
        argv.extend([OsString::from(option), dir.join(path).into()]);
    }
    let mut server = Process::start(&argv, &dir.join("server.log"));
    let listens = wait_until(Duration::from_secs(20), || {
        server.assert_running();
        server.output().contains("listening on 10.0.2.2:3000").then_some(())
    });
    assert!(listens.is_some(), "{}", server.output());

    let start = Instant::now();
    let machine = Machine::new().network(&network);
    let machine = machine.kernel(&pxe.join("kernel"), &pxe.join("initramfs"), "console=ttyS0,115200");
    let mut vm = machine.memory_mib(2048).start();
    let jobs = || -> serde_json::Value {
        let mut command = cdist();
        command.args(["trigger", "jobs", "--json", "--state-dir"]).arg(&state);
        serde_json::from_str(&run(&mut command)).unwrap()
    };
    let job = vm.wait_until("the end of the job", BOOT, |_| {
        let job = jobs()["jobs"][0].clone();
        ["succeeded", "failed"].contains(&job["state"].as_str().unwrap_or_default()).then_some(job)
    });
    tell(&format!("configured {:.0} s after the machine was switched on", start.elapsed().as_secs_f64()));
    let show = run(cdist().args(["trigger", "show", "1", "--state-dir"]).arg(&state));
    assert_eq!(job["state"], "succeeded", "{show}\n{}", server.output());
    assert_eq!(
        (&job["kind"], &job["path"], &job["mac"]),
        (&"config".into(), &"rack1".into(), &mac(0).into()),
        "{job}"
    );

    // The file is there: seen with the administrator's key, and nothing else of the server's.
    let address = dnsmasq.address_of(&mac(0)).unwrap();
    let ssh = Key::existing(build.key()).connect(&address, 22, network.enter());
    assert_eq!(ssh.run("cat /etc/motd"), format!("configured as {address}\n"));
    let listed = run(cdist().args(["trigger", "jobs", "--state-dir"]).arg(&state));
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.contains("succeeded") && line.contains(&address)),
        "{listed}"
    );
    // The agent has done its work, and the token is in no log of either side.
    assert_eq!(ssh.run("systemctl is-active cdist-preos-trigger-preos.service || true"), "inactive\n");
    let journal = ssh.run("journalctl --no-pager -u cdist-preos-trigger-preos.service");
    assert!(journal.contains("config queued: job 1 for"), "{journal}");
    let logs =
        journal + &server.output() + &fs::read_to_string(state.join("jobs/1/1.log")).unwrap() + &vm.serial();
    assert!(!logs.contains("lab-token"), "{logs}");
}
