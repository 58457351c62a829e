//! What runs on the target, and how it gets there.

pub(super) mod batch;
pub(super) mod dry_run;
pub(super) mod explorers;
mod remote;
