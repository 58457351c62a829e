//! The example `devuan`, built from this machine's Debian mirror: it asks for packages that both have.

use std::fs;

use cdist_tests::{
    lab::{mirror, process::require_root},
    outcome::{assert_no_trace, outcome},
    preos::{SUITE, TRIGGER, example, make_key, scratch},
};

#[test]
fn a_preos_without_systemd_is_made() {
    require_root("a bootstrap");
    let (plugins, dir) = (scratch(), scratch());
    let (root, pxe, key) = (dir.path().join("root"), dir.path().join("pxe"), dir.path().join("key"));
    make_key(&key);
    let mut command = example("devuan", plugins.path(), &root);
    command.args(["-b", "-s", SUITE, "-m", &mirror::debian(SUITE)]);
    command.args(["--keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"]);
    command.arg("-C").arg("-k").arg(key.with_extension("pub")).args(["-t", TRIGGER]).arg("-p").arg(&pxe);
    outcome(&mut command).assert_ok();

    assert_eq!(fs::read_link(root.join("init")).expect("reading the link /init").to_str(), Some("sbin/init"));
    let installed = |package: &str| root.join(format!("var/lib/dpkg/info/{package}.list")).exists();
    assert!(installed("sysvinit-core") && !installed("systemd"));
    // What each service waits for is in the numbers.
    let started = |name: &str| {
        let links = fs::read_dir(root.join("etc/rc2.d")).expect("reading /etc/rc2.d").flatten();
        let mut names = links.map(|link| link.file_name().to_string_lossy().into_owned());
        names.find_map(|link| link.strip_suffix(name)?.strip_prefix('S')?.parse::<u32>().ok())
    };
    let [network, keys, ssh, trigger] =
        ["dhcpcd", "preos-ssh-host-keys", "ssh", "cdist-preos-trigger-preos"].map(started);
    assert!(network.is_some() && keys.is_some() && keys < ssh && network < trigger && ssh < trigger);
    assert!(
        fs::read_to_string(root.join("root/.ssh/authorized_keys")).expect("reading the keys").contains("lab")
    );
    let script = root.join("usr/local/lib/cdist/preos-trigger-preos.command");
    assert!(fs::read_to_string(script).expect("reading the trigger").contains(TRIGGER));
    assert!(fs::metadata(pxe.join("initramfs")).expect("looking at the initramfs").len() > 50_000_000);
    assert_no_trace(dir.path());
}
