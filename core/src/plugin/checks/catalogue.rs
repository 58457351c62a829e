//! The checks: their names, in the order in which they run, and what each looks at.

use serde::{Deserialize, Serialize};

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    File,
    Record,
    Elf,
    Text,
    PanicStrategy,
    Listing,
    Libraries,
    Layout,
    Names,
    Help,
    NoArguments,
    BadArguments,
    NonUtf8,
    Extensions,
    ServiceErrors,
    Cancel,
    ExitStatus,
    Leaks,
}

/// Which files have what a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Any,
    Native,
    Python,
}

impl Check {
    /// All checks; each comes after those that it needs.
    pub const ALL: [Self; 18] = [
        Self::File,
        Self::Record,
        Self::Elf,
        Self::Text,
        Self::PanicStrategy,
        Self::Listing,
        Self::Libraries,
        Self::Layout,
        Self::Names,
        Self::Help,
        Self::NoArguments,
        Self::BadArguments,
        Self::NonUtf8,
        Self::Extensions,
        Self::ServiceErrors,
        Self::Cancel,
        Self::ExitStatus,
        Self::Leaks,
    ];

    fn row(self) -> (&'static str, Language, &'static str) {
        use Language::{Any, Native, Python};
        match self {
            Self::File => ("file", Any, "a regular file that only its user and root can change"),
            Self::Record => ("record", Any, "what plugins.sha256 beside it says"),
            Self::Elf => ("elf", Native, "a whole shared library for this processor, with _cdist_preos"),
            Self::Text => ("text", Native, "names and summaries in _cdist_preos; no name twice"),
            Self::PanicStrategy => ("panic-strategy", Native, "a panic becomes an error message"),
            Self::Listing => ("listing", Python, "executing the file lists its PreOSes in time"),
            Self::Libraries => ("libraries", Native, "the dynamic linker finds all libraries and symbols"),
            Self::Layout => ("layout", Native, "the exported table has the types of the plugin API"),
            Self::Names => ("names", Native, "the exported table names the PreOSes of the text"),
            Self::Help => ("help", Any, "-h and --help print something and end with 0"),
            Self::NoArguments => ("no-arguments", Any, "without arguments it ends by itself"),
            Self::BadArguments => ("bad-arguments", Any, "with random arguments it ends by itself"),
            Self::NonUtf8 => {
                ("non-utf8", Any, "an argument that is not UTF-8 is refused before it is called")
            }
            Self::Extensions => {
                ("extensions", Native, "it works with a host that has no extensions and settings")
            }
            Self::ServiceErrors => {
                ("service-errors", Native, "an error of the host becomes one of the plugin")
            }
            Self::Cancel => ("cancel", Any, "it ends soon after SIGTERM, and not with 0 in mid-work"),
            Self::ExitStatus => ("exit-status", Any, "0 to 255, and not 0 for an unknown option"),
            Self::Leaks => ("leaks", Any, "it leaves no process and no mount behind"),
        }
    }

    /// As the user calls it.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it looks at, in one line.
    pub fn description(self) -> &'static str {
        self.row().2
    }

    /// Why the check says nothing about a file of this language.
    pub(super) fn not_for(self, python: bool) -> Option<&'static str> {
        match (self.row().1, python) {
            (Language::Native, true) => Some("not for Python files"),
            (Language::Python, false) => Some("for Python files only"),
            _ => None,
        }
    }

    /// Whether the later checks make no sense where this one has failed.
    pub(super) fn is_needed(self) -> bool {
        match self {
            Self::File
            | Self::Record
            | Self::Elf
            | Self::Text
            | Self::Listing
            | Self::Libraries
            | Self::Layout
            | Self::Names => true,
            Self::PanicStrategy
            | Self::Help
            | Self::NoArguments
            | Self::BadArguments
            | Self::NonUtf8
            | Self::Extensions
            | Self::ServiceErrors
            | Self::Cancel
            | Self::ExitStatus
            | Self::Leaks => false,
        }
    }

    /// The check of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_check_is_there_once_and_found_by_its_name() {
        let names: HashSet<_> = Check::ALL.map(Check::name).into();
        assert_eq!(names.len(), Check::ALL.len());
        for check in Check::ALL {
            assert_eq!(Check::named(check.name()), Some(check));
            assert!(check.description().len() < 72, "{}", check.description());
        }
    }
}
