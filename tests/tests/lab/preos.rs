//! The PreOS that the seed's walk makes boots, both ways: kernel and initramfs handed to the machine, and fetched by its
//! BIOS over the network. Without KVM each boot takes one to three minutes.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration, time::Instant};

use cdist_tests::{
    lab::{
        http::Recorder,
        netns::{Network, SERVER_NAME},
        process::run,
        qemu::{Machine, Vm, mac},
        ssh::{Key, Ssh},
    },
    preos::{TRIGGER_PORT, shared_build},
};

/// A machine of continuous integration does other things too; the goal is half of it.
const SSH: Duration = Duration::from_secs(240);
const BOOT: Duration = Duration::from_secs(400);
const CONSOLE: &str = "console=ttyS0,115200";

/// Waits for a login, and says how long it took.
fn log_in(vm: &mut Vm, ssh: &Ssh, start: Instant, limit: Duration) {
    ssh.wait(vm, limit);
    cdist_tests::outcome::tell(&format!(
        "ssh answers {:.0} s after the machine was switched on",
        start.elapsed().as_secs_f64()
    ));
}

/// Start-up has come to its end, and nothing of it failed.
fn assert_healthy(ssh: &Ssh) {
    let state = "timeout 180 systemctl is-system-running --wait; systemctl --failed --no-legend --plain";
    assert_eq!(ssh.run(state), "running\n");
}

#[test]
fn direct_boot_reaches_ssh_and_the_trigger() {
    let build = shared_build();
    let key = Key::existing(build.key());
    let network = Network::new();
    let trigger = Recorder::answering(network.listen_at("127.0.0.1", TRIGGER_PORT), &[503]);

    let pxe = build.pxe();
    let machine =
        Machine::new().kernel(&pxe.join("kernel"), &pxe.join("initramfs"), CONSOLE).memory_mib(2048);
    let start = Instant::now();
    let mut vm = machine.inside(&network).user_network().silent_nic().start();
    let ssh = key.connect("127.0.0.1", vm.ssh_port(), network.enter());
    log_in(&mut vm, &ssh, start, SSH);

    let _ = trigger.wait_for("/install/", BOOT);
    vm.wait_until("a second try after a 503", BOOT, |_| (trigger.requests().len() >= 2).then_some(()));
    assert_healthy(&ssh);
    assert_eq!(ssh.run("hostname"), "preos\n");
    // Each machine's own: the image has neither (privileged_preos).
    let own = "ls /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_rsa_key && wc -c </etc/machine-id";
    assert_eq!(ssh.run(own), "/etc/ssh/ssh_host_ed25519_key\n/etc/ssh/ssh_host_rsa_key\n33\n");
    assert_eq!(ssh.run("findmnt -n -o SOURCE /"), "rootfs\n", "the root is the initramfs");
    assert_eq!(ssh.run("systemctl is-active cdist-preos-trigger-preos.service || true"), "inactive\n");
    assert_eq!(trigger.requests().len(), 2, "a trigger that was accepted is not called again");
}

#[test]
fn pxe_boot_by_a_server_without_privilege_reaches_ssh_and_the_trigger() {
    let build = shared_build();
    let key = Key::existing(build.key());
    // The server may not be able to enter the directories above the workspace. Modes stay as cdist wrote them.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let pxe = copy(&build.pxe(), &dir.path().join("pxe"));

    let network = Network::new();
    let trigger = Recorder::answering(network.listen_at("10.0.2.2", TRIGGER_PORT), &[]);
    let dnsmasq = network.serve_pxe(&pxe);
    let start = Instant::now();
    let mut vm = Machine::new().network(&network).network_boot().start();
    let address = vm.wait_until("the lease of the booted PreOS", BOOT, |serial| {
        // The boot ROM has a lease too; the PreOS asks again.
        serial.contains("Linux version").then(|| dnsmasq.address_of(&mac(0))).flatten()
    });
    let log = dnsmasq.log();
    for file in ["pxelinux.0", "ldlinux.c32", "pxelinux.cfg/default", "kernel", "initramfs"] {
        assert!(log.contains(&format!("/pxe/{file} to ")), "{file} was not sent:\n{log}");
    }
    let ssh = key.connect(&address, 22, network.enter());
    log_in(&mut vm, &ssh, start, BOOT);
    let request = trigger.wait_for("/install/", BOOT);
    assert_eq!(request.from.ip().to_string(), address);
    assert_healthy(&ssh);
    assert!(ssh.run("cat /etc/resolv.conf").contains("127.0.0.53"));
    assert_eq!(ssh.run(&format!("getent hosts {SERVER_NAME}")).split_whitespace().next(), Some("10.0.2.2"));
}

fn copy(from: &Path, to: &Path) -> std::path::PathBuf {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to));
    to.to_owned()
}
