//! Which object comes next.

pub(super) mod dependency;
pub(super) mod scheduler;
mod workload;
