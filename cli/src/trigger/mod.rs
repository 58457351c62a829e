//! `cdist trigger`: starts the server, or asks a running one.

pub(crate) mod args;
mod checks;
mod client;
pub(crate) mod command;
pub(crate) mod job_log;
mod report;
mod runner;
#[cfg(test)]
mod runner_tests;
