//! `cdist preos`: the list of PreOSes, and the process that runs one.

pub(crate) mod args;
pub(crate) mod command;
pub(crate) mod worker;
