//! What the tests across the crates share.
//!
//! [`lab`] starts real things: virtual machines, network namespaces, HTTP and DHCP servers, apt archives. [`plugins`] builds
//! plugins and runs `cdist preos` on them. [`preos`] has one real PreOS, [`outcome`] how a run ended, [`running`] a run that
//! is disturbed, [`imports`] what files of sources import, [`count`] how often tests repeat, [`tree`] trees that can be compared, [`mini`] a root of a few files, [`mounted`] mounts of a test.

pub mod count;
pub mod imports;
pub mod lab;
pub mod mini;
pub mod mounted;
pub mod outcome;
pub mod plugins;
pub mod preos;
pub mod running;
pub mod tree;
