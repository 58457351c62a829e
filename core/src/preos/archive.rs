//! Looking at a Debian-like archive before a bootstrap, so that the usual mistakes get one clear sentence, and so
//! that a build takes its date from the archive and not from the clock.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::initramfs::source_date as source_date_of_tree;
use crate::host::{Cancel, Command, CommandError};

/// curl(1), EXIT CODES: could not resolve, connect, time out.
const UNREACHABLE: [i32; 3] = [6, 7, 28];
/// curl(1), EXIT CODES: HTTP status of 400 or more, with `--fail`.
const NOT_FOUND: i32 = 22;

/// What looking at an archive told.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe {
    /// The suite is there.
    Suite {
        /// The date of its Release file, in seconds since 1970.
        date: Option<u64>,
        /// The components that it has; empty if the file does not say.
        components: Vec<String>,
    },
    /// No server answers there.
    Unreachable,
    /// The archive answers, and does not have the suite.
    NoSuite,
    /// It cannot be told: no curl, another protocol, no mirror given.
    Unknown,
}

/// Looks at the suite's Release file.
pub fn probe(mirror: Option<&str>, suite: &str, cancel: &Cancel) -> Probe {
    let Some(mirror) =
        mirror.filter(|mirror| mirror.starts_with("http://") || mirror.starts_with("https://"))
    else {
        return Probe::Unknown;
    };
    let mut answer = Probe::Unknown;
    for file in ["InRelease", "Release"] {
        let url = format!("{}/dists/{suite}/{file}", mirror.trim_end_matches('/'));
        let fetch = Command::new("curl")
            .args([
                "--fail",
                "--silent",
                "--show-error",
                "--location",
                "--max-time",
                "30",
                "--max-filesize",
                "10000000",
            ])
            .args(["--", &url]);
        match fetch.cancel(cancel).run() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                return Probe::Suite { date: release_date(&text), components: components(&text) };
            }
            Err(CommandError::Failed { status, .. }) => match status.code() {
                Some(code) if UNREACHABLE.contains(&code) => return Probe::Unreachable,
                Some(NOT_FOUND) => answer = Probe::NoSuite,
                _ => return Probe::Unknown,
            },
            Err(_) => return Probe::Unknown,
        }
    }
    answer
}

/// The value of `SOURCE_DATE_EPOCH` for a build: the caller's, else the archive's date, else the start of today.
pub fn source_date(probe: &Probe) -> u64 {
    let caller = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let today = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        now - now % 86400
    };
    match (caller, probe) {
        (Some(date), _) => date,
        (None, Probe::Suite { date: Some(date), .. }) => *date,
        _ => today(),
    }
}

/// The date for work in a tree that stands already: the caller's `SOURCE_DATE_EPOCH`, else the tree's own.
pub fn tree_date(root: &Path) -> u64 {
    let caller = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    caller.unwrap_or_else(|| source_date_of_tree(root))
}

/// The field `Components: main universe` of a Release file.
fn components(text: &str) -> Vec<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("Components:")).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

/// The field `Date: Sat, 11 Jan 2025 09:41:34 UTC` of a Release file (Debian wiki, DebianRepository/Format).
fn release_date(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Date:"))?;
    // RFC 2822 knows the zone as GMT only.
    let value = value.trim().replace("UTC", "GMT");
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&value).ok()?;
    u64::try_from(date.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_of_release_files() {
        assert_eq!(components("Suite: x\nComponents: main universe\n"), ["main", "universe"]);
        assert!(components("Suite: x\n").is_empty());
    }

    #[test]
    fn dates_of_release_files() {
        let date = |date: &str| release_date(&format!("Origin: x\nDate: {date}\n"));
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(date("Sat, 11 Jan 2025 09:41:34 UTC"), Some(1_736_588_494));
        assert_eq!(date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(date("yesterday"), None);
        assert_eq!(date("Sat, 99 Jan 2025 09:41:34 UTC"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: String, day: u64, year: u64) {
            release_date(&text);
            release_date(&format!("Date: X, {day} Mar {year} 1:2:3 UTC"));
        }
    }
}
