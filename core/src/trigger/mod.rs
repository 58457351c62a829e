//! The trigger server: machines call it when they have booted, and it installs or configures them.

mod facts;
pub mod job;
pub mod ledger;
pub mod policy;
pub mod runner;
pub mod store;

pub use facts::{Facts, FactsError};
