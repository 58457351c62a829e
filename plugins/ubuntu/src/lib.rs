//! The PreOS `ubuntu`: states only in what it differs.

use apt_family::Distribution;
use cdist_plugin_api::{Host, PluginError, PreOs, export_preos};

struct Ubuntu;

/// The newest LTS when this was written (26.04), for machines without Debian's and Ubuntu's `distro-info-data`.
const KNOWN_LTS: &str = "resolute";
const KEYRING: &str = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";

const UBUNTU: Distribution = Distribution {
    name: "ubuntu",
    title: "Ubuntu",
    default_suite: || {
        let table = std::fs::read_to_string("/usr/share/distro-info/ubuntu.csv").unwrap_or_default();
        newest_lts(&table, &apt_family::today()).unwrap_or_else(|| KNOWN_LTS.to_owned())
    },
    default_keyring: Some(KEYRING),
    components: &["main", "universe"],
    kernel: |_| "linux-image-generic".to_owned(),
    extra_packages: |suite| match suite {
        // resolved is a part of the package systemd there.
        "focal" | "jammy" => &["systemd-timesyncd"],
        // The archive's keyring comes along with apt, which depends on it.
        _ => &["systemd-resolved", "systemd-timesyncd"],
    },
};

impl PreOs for Ubuntu {
    const SUMMARY: &'static str = "Ubuntu, a minimal OS to boot over the network";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        apt_family::commandline(&UBUNTU, args, host)
    }
}

export_preos!(Ubuntu);

/// The last LTS whose release day is not after `today`, out of `distro-info-data`'s table
/// (`version,codename,series,created,release,…`). Dates such as `2024-04-25` compare as text.
fn newest_lts(table: &str, today: &str) -> Option<String> {
    let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let mut released = rows.filter(|row| row.len() > 4 && row[0].ends_with("LTS") && row[4] <= today);
    released.next_back().map(|row| row[2].to_owned())
}

#[cfg(test)]
mod tests {
    use super::newest_lts;

    #[test]
    fn the_newest_released_lts_is_chosen() {
        let table = "version,codename,series,created,release,eol\n\
                     22.04 LTS,Jammy Jellyfish,jammy,2021-10-14,2022-04-21,2027-06-01\n\
                     24.04 LTS,Noble Numbat,noble,2023-10-12,2024-04-25,2029-05-31\n\
                     24.10,Oracular Oriole,oracular,2024-04-25,2024-10-10,2025-07-10\n";
        assert_eq!(newest_lts(table, "2026-01-01").as_deref(), Some("noble"));
        assert_eq!(newest_lts(table, "2024-04-24").as_deref(), Some("jammy"));
        assert_eq!(newest_lts("", "2026-01-01"), None);
    }
}
