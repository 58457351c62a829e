//! Hosts configured through real ssh servers, in namespaces of this machine; root needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod config;
mod dry_run;
mod host_keys;
mod interrupted;
mod many;
mod refused;
mod terminal;
mod trigger;
