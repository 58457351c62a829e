//! `cdist config` and `cdist install`: the options, the hosts, and what is printed of the runs.

pub(crate) mod args;
pub(crate) mod command;
mod json_report;
pub(crate) mod output;
mod plan;
pub(crate) mod run_args;
mod summary;
mod trace;
