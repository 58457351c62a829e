//! Building a PreOS.

pub mod compress;
pub mod initramfs;
pub mod kernel;
pub mod pxe;
