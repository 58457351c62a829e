//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives.

pub mod lab;
