//! What an install does to the disks of a machine, decided without a clock, a disk or a network.
//!
//! [`Facts`] of a machine, a [`Layout`] and [`Rule`]s that say which disks are meant become a [`Plan`], or a [`Refusal`] that
//! says what is wrong, what to do, and which disks there are. A plan is [described](Plan::text) for people and as JSON, and is
//! a [script](commands::script) for the machine. Nothing is ever written to a disk that is in use, nor to one that is not
//! blank and was not given up by name.

pub mod commands;
mod describe;
pub mod facts;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ident;
pub mod layout;
pub mod plan;
#[cfg(test)]
mod random;
pub mod rules;
mod size;

use crate::near::near_match;

/// The most disks that a layout takes, or that a rule means.
const DISKS_MAX: usize = 64;

/// What to write in the place of a word that is none of `known`.
fn unknown(word: &str, known: &[&str]) -> String {
    match near_match(known.iter().copied(), word) {
        Some(near) => format!("`{word}` is not known here; did you mean `{near}`?"),
        None => format!("`{word}` is not known here; write one of {}", known.join(", ")),
    }
}

/// Reads a number of disks.
fn number_of_disks(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=DISKS_MAX).contains(number));
    number.ok_or_else(|| format!("`{text}` is no number of disks; write one from 1 to {DISKS_MAX}"))
}

pub use facts::{Facts, FactsError, Firmware};
pub use layout::{Layout, LayoutError};
pub use plan::{Plan, Refusal, Request};
pub use rules::{Rule, RuleError};
