//! Calls a trigger server as a network full of machines would, and measures the answers.
//!
//! One thread with epoll: it shares a small machine with the server, and whatever it uses the server does not have.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of the benches")]

mod answer;
mod args;
mod load;
mod report;
mod slot;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if env::args().any(|word| word == "-h" || word == "--help") {
        println!("{}", args::USAGE);
        return ExitCode::SUCCESS;
    }
    let args = match args::Args::parse(env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("trigger_load: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let server = args.server;
    match load::Load::new(args).and_then(load::Load::run) {
        Ok(mut report) => {
            println!("{}", report.json());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("trigger_load: calling {server}: {error}");
            ExitCode::FAILURE
        }
    }
}
