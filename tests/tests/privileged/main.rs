//! Real mounts, namespaces and bootstraps; root and a Debian mirror needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod bad_input;
mod debootstrap;
mod devuan;
mod interrupted;
mod plugin_check;
mod plugins;
mod preos;
mod pxe;
mod token;
mod trigger;
mod trigger_addresses;
mod trust;
mod tutorial;
mod types;
mod ubuntu;
