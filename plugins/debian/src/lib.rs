//! The PreOS `debian`.

use apt_family::Distribution;
use cdist_plugin_api::{Host, PluginError, PreOs, export_preos};

struct Debian;

const DEBIAN: Distribution = Distribution {
    name: "debian",
    title: "Debian",
    default_suite: || "stable".to_owned(),
    default_keyring: None,
    components: &[],
    kernel: |arch| match arch {
        "i386" => "linux-image-686-pae".to_owned(),
        "armhf" => "linux-image-armmp".to_owned(),
        "ppc64el" => "linux-image-powerpc64le".to_owned(),
        arch => format!("linux-image-{arch}"),
    },
    extra_packages: |_| &["debian-archive-keyring", "systemd-resolved", "systemd-timesyncd"],
};

impl PreOs for Debian {
    const SUMMARY: &'static str = "Debian, a minimal OS to boot over the network";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        apt_family::commandline(&DEBIAN, args, host)
    }
}

export_preos!(Debian);
