//! The staged program with stub commands and hostile plugins, and the lab itself; no root needed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod abi;
mod abi_page;
mod agent;
mod bad_plugins;
mod book;
mod c_plugins;
mod examples;
mod fuzz;
mod hostile_plugins;
mod install_plan;
mod museum;
mod mutated_plugins;
mod plugin_check;
mod plugin_command;
mod plugin_new;
mod plugins;
mod preos;
mod python_plugins;
mod reference;
mod runners;
mod structure;
mod systemd;
mod trigger;
mod trigger_commands;
mod trigger_kill;
mod trigger_machines;
