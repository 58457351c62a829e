//! The built-in initial manifest.

/// The manifest for a PreOS with these packages. The bootstrap has installed them; naming them again makes `-C`
/// right also for a root that another program has bootstrapped.
pub(crate) fn built_in(packages: &[String]) -> String {
    let packages = packages.join(" ");
    format!(
        "# The built-in initial manifest of a PreOS.\nfor package in {packages}\ndo\n    __package \"$package\" --state present\ndone\n{REST}"
    )
}

const REST: &str = include_str!("manifest.sh");
