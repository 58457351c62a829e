//! Shows that the lab works: a root made by hand boots in it, both ways.
//!
//! Ignored by default, because each test makes a root and boots it without KVM: one to three minutes, and root.

use std::{fs, path::Path, process::Command, time::Duration};

use cdist_tests::lab::{
    http::Recorder,
    mirror,
    netns::{Network, SERVER_NAME},
    process::{require_root, run, tool},
    qemu::{Machine, mac},
    ssh::Key,
};

const BOOT: Duration = Duration::from_secs(600);
const CONSOLE: &str = "console=ttyS0,115200";

fn make_root(dir: &Path, key: &Key, url: &str) {
    require_root("making a root file system");
    let _ = tool("mmdebstrap", "mmdebstrap");
    let _ = tool("cpio", "cpio");
    let _ = tool("zstd", "zstd");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hand-made-root.sh");
    let mut command = Command::new(script);
    run(command.arg(dir).args(["bookworm", &mirror::debian("bookworm")]).arg(key.public_file()).arg(url));
}

#[test]
#[ignore = "needs root, a Debian mirror and two minutes"]
fn lab_direct_boot_reaches_ssh_and_the_trigger() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::generate();
    let loopback = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let trigger = Recorder::answering(loopback, &[503]);
    make_root(dir.path(), &key, &format!("{}/install/", trigger.guest_url()));

    let machine = Machine::new().kernel(&dir.path().join("vmlinuz"), &dir.path().join("initramfs"), CONSOLE);
    let mut vm = machine.user_network().silent_nic().start();
    let ssh = key.connect_vm(&vm);
    ssh.wait(&mut vm, BOOT);
    vm.wait_for("login:", BOOT);
    assert_eq!(ssh.run("hostname").trim(), "preos");
    assert_eq!(ssh.run("systemctl --failed --no-legend"), "");

    let _ = trigger.wait_for("/install/", BOOT);
    vm.wait_until("a second try after a 503", BOOT, |_| (trigger.requests().len() == 2).then_some(()));
}

#[test]
#[ignore = "needs root, a Debian mirror and three minutes"]
fn lab_pxe_boot_reaches_ssh_and_the_trigger_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::generate();
    let network = Network::new();
    let trigger = Recorder::answering(network.listen(), &[]);
    make_root(dir.path(), &key, &format!("http://{SERVER_NAME}:{}/install/", trigger.port()));

    let pxe = dir.path().join("pxe");
    fs::create_dir_all(pxe.join("pxelinux.cfg")).unwrap();
    for (from, to) in [
        ("vmlinuz", "kernel"),
        ("initramfs", "initramfs"),
        ("root/usr/lib/PXELINUX/pxelinux.0", "pxelinux.0"),
        ("root/usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32"),
    ] {
        fs::copy(dir.path().join(from), pxe.join(to)).unwrap();
    }
    let config = format!("DEFAULT preos\nLABEL preos\nKERNEL kernel\nAPPEND initrd=initramfs {CONSOLE}\n");
    fs::write(pxe.join("pxelinux.cfg/default"), config).unwrap();

    let dnsmasq = network.serve_pxe(&pxe);
    let mut vm = Machine::new().network(&network).network_boot().start();
    vm.wait_for("login:", BOOT);
    assert!(dnsmasq.log().contains("/initramfs to "), "{}", dnsmasq.log());

    let address = vm.wait_until("a DHCP lease", BOOT, |_| dnsmasq.address_of(&mac(0)));
    let ssh = key.connect(&address, 22, network.enter());
    ssh.wait(&mut vm, BOOT);
    assert!(ssh.run("cat /etc/resolv.conf").contains("127.0.0.53"));
    let request = trigger.wait_for("/install/", BOOT);
    assert_eq!(request.from.ip().to_string(), address);
}
