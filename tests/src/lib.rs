//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives. [`preos`] has the
//! staged program and one real PreOS, [`outcome`] how a run ended, [`tree`] trees that can
//! be compared, [`mini`] a root of a few files, [`mounted`] mounts of a test,
//! [`running`] a run that is disturbed.

pub mod lab;
pub mod mini;
pub mod mounted;
pub mod outcome;
pub mod preos;
pub mod running;
pub mod tree;
