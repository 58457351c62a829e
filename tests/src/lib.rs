//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives. [`plugins`] builds
//! plugins and runs `cdist preos` on them. [`preos`] has one real PreOS, [`mini`] a root of a few files, [`outcome`] how a run
//! ended, [`tree`] trees that can be compared, [`mounted`] mounts of a test.

pub mod lab;
pub mod mini;
pub mod mounted;
pub mod outcome;
pub mod plugins;
pub mod preos;
pub mod tree;
