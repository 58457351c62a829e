//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives. [`preos`] has the
//! staged program and one real PreOS.

pub mod lab;
pub mod preos;
