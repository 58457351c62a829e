//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives.
//! [`plugins`] builds plugins and runs `cdist preos` on them.

pub mod lab;
pub mod plugins;
