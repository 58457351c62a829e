//! `cdist trigger`: starts the server, or asks a running one.

pub(crate) mod args;
mod client;
pub(crate) mod command;
mod job_lines;
#[cfg(test)]
mod job_tests;
mod state;
mod time;
