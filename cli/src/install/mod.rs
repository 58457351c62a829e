//! `cdist install plan`: what an install would do to the disks of a machine whose facts are known.

pub(crate) mod args;
pub(crate) mod command;
