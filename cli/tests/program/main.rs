//! The program as a user runs it: options, manifests, output, exit statuses.

#![allow(clippy::unwrap_used, reason = "helper functions of tests")]

mod bad_input;
mod chroot_run;
mod diff;
mod dry_run;
mod forks;
mod full_output;
mod lab;
mod library_run;
mod limits;
mod live_table;
mod nested_run;
mod settings_precedence;
mod settings_sources;
mod small_commands;
mod starting;
mod type_calls;
