//! The trigger server: machines call it when they have booted, and it installs or configures them.

mod accept;
pub mod connections;
pub mod dispatcher;
mod facts;
pub mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
mod identity;
pub mod job;
pub mod ledger;
pub mod listener;
pub mod metrics;
mod neighbours;
pub mod page;
pub mod policy;
pub mod protocol;
pub mod report;
pub mod runner;
pub mod server;
#[cfg(test)]
mod server_tests;
pub mod socket;
pub mod state_dir;
pub mod status;
pub mod store;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;

pub use facts::{Facts, FactsError};
