//! What machines call: the first listener, its paths and its answers.

pub mod protocol;
pub mod server;
#[cfg(test)]
mod server_tests;
