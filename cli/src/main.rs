//! The `cdist` program: decides by argv[0] and the first word what this process is, and hands over.

mod args;
#[cfg(test)]
mod command_line_tests;
mod commands;
mod config;
mod install;
mod layout;
mod own_places;
mod plugin;
mod preos;
mod reference;
mod signals;
mod terminal;
mod trigger;

use std::{ffi::OsString, process::ExitCode};

use cdist_core::{config::emulator, plugin::python_list};

use self::{plugin::check, preos::worker};

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
        Some(python_list::WORD) => worker::list_python(&words[1..]).map(exit_code),
        Some(check::PROBE_WORD) => check::supervise(&words[1..]).map(exit_code),
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
