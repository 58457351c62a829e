//! When a machine may be installed: nothing is installed twice by accident.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::job::{JobState, Machine};

/// The rule for `/install/` requests of machines. What the administrator asks for by name is not subject to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstallPolicy {
    /// Until an install has succeeded, was interrupted or was stopped; after that only when armed.
    #[default]
    Once,
    /// Only when armed.
    Armed,
    /// Whenever a machine asks, as the original does.
    Always,
}

impl FromStr for InstallPolicy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "once" => Ok(Self::Once),
            "armed" => Ok(Self::Armed),
            "always" => Ok(Self::Always),
            _ => Err(format!("{word:?} is none of once, armed, always")),
        }
    }
}

impl fmt::Display for InstallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Once => "once",
            Self::Armed => "armed",
            Self::Always => "always",
        })
    }
}

/// Why a machine is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is installed already.
    Installed,
    /// The server ended during its last install.
    Interrupted,
    /// Its last install was cancelled.
    Stopped,
    /// The policy wants it to be armed.
    NotArmed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "it is installed already",
            Self::Interrupted => "its last install was interrupted, and may have come to any point",
            Self::Stopped => "its last install was stopped by hand",
            Self::NotArmed => "machines have to be armed before they are installed",
        })
    }
}

impl InstallPolicy {
    /// Decides about a request of `machine`, which has neither a waiting nor a running install.
    ///
    /// # Errors
    ///
    /// The reason for which the machine is not installed.
    pub fn decide(self, machine: &Machine, is_armed: bool) -> Result<(), Refusal> {
        if is_armed || self == Self::Always {
            return Ok(());
        }
        match machine.install {
            Some(JobState::Succeeded) => Err(Refusal::Installed),
            Some(JobState::Interrupted) => Err(Refusal::Interrupted),
            Some(JobState::Cancelled) => Err(Refusal::Stopped),
            _ if self == Self::Armed => Err(Refusal::NotArmed),
            _ => Ok(()),
        }
    }
}
