//! The `cdist` program: decides by argv[0] and the first word what this process is, and hands over.

mod args;
mod banner_command;
mod check_type_command;
#[cfg(test)]
mod command_line_tests;
mod conf_args;
mod config_args;
mod config_command;
mod config_output;
mod failure;
mod host_result;
mod host_runs;
mod host_table;
mod info_command;
mod inventory_command;
mod job_log;
mod json_report;
mod layout;
mod log_args;
mod log_lines;
mod logging;
mod manual_page;
mod new_type_command;
mod own_places;
mod plan;
mod plugin_check;
mod plugin_command;
mod plugin_inspect;
mod plugin_install;
mod plugin_new;
mod preos_command;
mod printable;
mod progress_display;
mod python_list;
mod reference;
mod refusal;
mod run_args;
mod run_maker;
mod shell_command;
mod signals;
mod stdout;
mod trigger_args;
mod trigger_checks;
mod trigger_client;
mod trigger_command;
mod trigger_report;
mod trigger_runner;
#[cfg(test)]
mod trigger_runner_tests;
mod worker;

use std::{ffi::OsString, process::ExitCode};

use cdist_core::config::emulator;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let own_name = words.next().unwrap_or_default();
    // Before anything else: a manifest may call hundreds of types.
    if emulator::is_type_call(&own_name) {
        return emulator::main();
    }
    let words: Vec<OsString> = words.collect();
    if let Err(failure) = own_places::leave_those_of_others(&own_name, &words) {
        failure.print();
        return exit_code(failure.status);
    }
    let result = match words.first().and_then(|word| word.to_str()) {
        Some(python_list::WORD) => python_list::supervise(&words[1..]).map(exit_code),
        Some(plugin_check::PROBE_WORD) => plugin_check::supervise(&words[1..]).map(exit_code),
        Some(reference::WORD) => reference::write(&words[1..]).map(exit_code),
        _ => args::run(own_name, words),
    };
    match result {
        Ok(status) => status,
        Err(failure) => {
            failure.print();
            exit_code(failure.status)
        }
    }
}

/// A status outside of 0 to 255 must not become 0 by truncation.
pub(crate) fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
