//! The `cdist` program.

mod config_args;
mod config_command;
mod inventory_command;
mod log_lines;
mod signals;

use std::process::ExitCode;

use cdist_core::config::{Mode, emulator};
use clap::{CommandFactory, Parser};

/// Makes PreOSes that bare machines boot over the network, and installs and configures them by ssh.
#[derive(Debug, Parser)]
#[command(name = "cdist", version, infer_long_args = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Configure hosts
    #[command(infer_long_args = true)]
    Config(Box<config_args::ConfigArgs>),
    /// Install hosts (beta)
    #[command(infer_long_args = true)]
    Install(Box<config_args::ConfigArgs>),
    /// Keep hosts and their tags (beta)
    #[command(subcommand)]
    Inventory(inventory_command::InventoryCommand),
}

fn main() -> ExitCode {
    // Before anything else: a manifest may call hundreds of types.
    if std::env::args_os().next().is_some_and(|argv0| emulator::is_type_call(&argv0)) {
        return emulator::main();
    }
    match Cli::parse().command {
        Some(Command::Config(args)) => config_command::run(*args, Mode::Config),
        Some(Command::Install(args)) => config_command::run(*args, Mode::Install),
        Some(Command::Inventory(command)) => inventory_command::run(&command),
        None => match Cli::command().print_help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
    }
}
