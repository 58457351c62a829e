//! The `cdist` program: decides by argv[0] and the first word what this process is, and hands over.

mod args;
mod failure;
mod layout;
mod logging;
mod preos_command;
mod progress_display;
mod worker;

use std::{ffi::OsString, process::ExitCode};


fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let own_name = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    let result = match words.first().and_then(|word| word.to_str()) {
        Some(worker::INIT_WORD) => worker::init(&words[1..]),
        Some(worker::WORKER_WORD) => worker::work(&words[1..]),
        _ => args::run(own_name, words),
    };
    match result {
        Ok(status) => exit_code(status),
        Err(failure) => {
            failure.print();
            exit_code(failure.status)
        }
    }
}

/// A status outside of 0 to 255 must not become 0 by truncation.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
