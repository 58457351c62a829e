//! What people read and how it gets there: log lines, progress, the table of hosts, failures, standard output.

pub(crate) mod failure;
pub(crate) mod host_table;
pub(crate) mod log_args;
pub(crate) mod log_lines;
pub(crate) mod logging;
pub(crate) mod printable;
pub(crate) mod progress;
pub(crate) mod refusal;
pub(crate) mod stdout;
