//! The trigger server: machines call it when they have booted, and it installs or configures them.

mod facts;
pub mod job;
pub mod runner;

pub use facts::{Facts, FactsError};
