//! The trigger server: machines call it when they have booted, and it installs or configures them.
//!
//! - [`machines`]: what machines call. [`admin`]: what people and programs ask.
//! - [`dispatcher`]: the one thread that decides, by the rules of the [`ledger`], and keeps what it decides in the [`store`].
//! - [`attempt`]: what a worker is asked to do for a job, and [`report`], what comes back.
//! - [`address`]: where a machine is, from its call to the ssh that works on it.

pub mod address;
pub mod admin;
pub mod attempt;
pub mod client;
pub mod counters;
pub mod dispatcher;
mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
pub mod job;
pub mod ledger;
pub mod machines;
pub mod policy;
pub mod report;
pub mod service;
pub mod state_dir;
pub mod store;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;
pub mod worker;

pub use facts::{Facts, FactsError};
