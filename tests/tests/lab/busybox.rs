//! The example `busybox`, a PreOS that is no Debian: its kernel and its own `/init` come over the network and call.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration, time::Instant};

use cdist_tests::{
    lab::{
        http::Recorder,
        netns::Network,
        qemu::{Machine, mac},
    },
    outcome::{outcome, tell},
    preos::{TRIGGER_PORT, example, scratch},
};

/// Without KVM it takes 10 seconds, and up to 30 more until the first call.
const BOOT: Duration = Duration::from_secs(200);

#[test]
fn a_foreign_preos_boots_over_the_network_and_calls_until_it_is_accepted() {
    let (plugins, dir) = (scratch(), scratch());
    // A TFTP server without privilege may not be able to enter the directories above the workspace.
    let served = tempfile::tempdir().expect("making a directory");
    fs::set_permissions(served.path(), fs::Permissions::from_mode(0o711)).expect("letting dnsmasq in");
    let pxe = served.path().join("pxe");
    let mut command = example("busybox", plugins.path(), &dir.path().join("root"));
    command.arg("-b").arg("-p").arg(&pxe);
    outcome(command.args(["-t", "wget -q -O - http://10.0.2.2:3000/install/busybox"])).assert_ok();

    let network = Network::new();
    let trigger = Recorder::answering(network.listen_at("10.0.2.2", TRIGGER_PORT), &[503]);
    let dnsmasq = network.serve_pxe(&pxe);
    let start = Instant::now();
    // The second card is on an empty network, and is not the one that the machine boots from.
    let mut vm = Machine::new().memory_mib(256).network(&network).silent_nic().network_boot().start();
    vm.wait_for("PreOS of busybox", BOOT);
    let address = vm.wait_until("the lease", BOOT, |serial| {
        let address = dnsmasq.address_of(&mac(0))?;
        serial.contains(&format!(" has the address {address}")).then_some(address)
    });
    assert_eq!(vm.serial().matches("network: asking for an address on").count(), 1, "{}", vm.serial());
    tell(&format!("network {:.0} s after the machine was switched on", start.elapsed().as_secs_f64()));
    vm.wait_until("a second call after a 503", BOOT, |_| (trigger.requests().len() >= 2).then_some(()));
    let request = trigger.wait_for("/install/busybox", BOOT);
    assert_eq!(request.from.ip().to_string(), address);
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("Wget")), "{request:?}");
    // What the server said, and the shell of the console.
    vm.wait_for("\nok", BOOT);
    assert!(vm.serial().contains("preos-retry: exit status 1, next try in"), "{}", vm.serial());
    assert!(vm.serial().contains("preos:/# "), "{}", vm.serial());
    assert_eq!(trigger.requests().len(), 2, "a trigger that was accepted is not called again");
    tell(&format!("accepted {:.0} s after the machine was switched on", start.elapsed().as_secs_f64()));
}
