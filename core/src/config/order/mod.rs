//! Which object comes next.

pub(super) mod dependency;
mod objects;
pub(super) mod scheduler;
