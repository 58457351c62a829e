//! Boots in QEMU, with DHCP and TFTP in a network namespace; root and a Debian mirror needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod busybox;
mod network;
mod preos;
mod trigger;
