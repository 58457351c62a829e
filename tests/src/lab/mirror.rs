//! Where Debian comes from on this machine.

use std::process::Command;

use super::process::{run, tool};

/// The mirror that apt uses here for the Debian release `codename`; any other release is on it as well.
///
/// # Panics
///
/// If apt has no source for it.
#[must_use]
pub fn debian(codename: &str) -> String {
    let mut apt = Command::new(tool("apt-get", "apt"));
    apt.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let mirrors = run(apt.arg(format!("Codename: {codename}")));
    let mirror = mirrors.lines().next().unwrap_or_else(|| {
        panic!("apt has no source for {codename}: add one to /etc/apt/sources.list and run apt-get update")
    });
    mirror.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "apt has no source for no-such-release")]
    fn an_unknown_release_is_said() {
        let _ = super::debian("no-such-release");
    }
}
