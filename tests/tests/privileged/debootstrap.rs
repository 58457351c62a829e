//! The other bootstrap program: debootstrap, which `-S` asks for.

use std::fs;

use cdist_tests::{
    lab::process::tool,
    outcome::{assert_no_trace, outcome},
    preos::{bootstrap, scratch},
};

#[test]
fn a_script_makes_the_same_kind_of_root_with_debootstrap() {
    let _ = tool("debootstrap", "debootstrap");
    let dir = scratch();
    let root = dir.path().join("root");
    outcome(bootstrap(&root).args(["-S", "/usr/share/debootstrap/scripts/bookworm"])).assert_ok();
    for package in ["openssh-server", "curl", "mdadm", "pxelinux"] {
        assert!(root.join(format!("var/lib/dpkg/info/{package}.list")).exists(), "{package}");
    }
    let boot: Vec<_> = fs::read_dir(root.join("boot"))
        .expect("reading boot")
        .map(|entry| entry.expect("reading boot").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(boot.iter().any(|name| name.starts_with("vmlinuz-")), "{boot:?}");
    assert!(!boot.iter().any(|name| name.starts_with("initrd")), "{boot:?}");
    for directory in ["run", "var/lib/apt/lists"] {
        assert!(fs::read_dir(root.join(directory)).expect("reading").next().is_none(), "{directory}");
    }
    assert_eq!(fs::read_to_string(root.join("etc/machine-id")).expect("reading"), "");
    assert!(!root.join("usr/sbin/policy-rc.d").exists(), "services would stay off");
    assert_no_trace(dir.path());
}
