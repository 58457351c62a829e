//! What runs on this machine: manifests, gencode and local code.

pub(super) mod forked;
mod gencode;
mod manifest;
pub(super) mod messages;
mod no_type;
pub(super) mod run_script;
