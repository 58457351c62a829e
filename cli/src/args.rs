//! The command line.

use std::{ffi::OsString, process::ExitCode};

use cdist_core::config::Mode;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    commands::{
        banner::{self, BannerArgs},
        check_type::{self, CheckTypeArgs},
        info::{self, InfoArgs},
        inventory::{self, InventoryCommand},
        new_type::{self, NewTypeArgs},
        shell::{self, ShellArgs},
    },
    config::{self, args::ConfigArgs},
    exit_code,
    install::{self, args::PlanArgs},
    plugin::{self, command::PluginCommand},
    preos::{self, args::PreosArgs},
    terminal::{failure::Failure, stdout},
    trigger::{self, args::TriggerArgs},
};

/// Makes PreOSes that bare machines boot over the network, and configures hosts without an agent.
#[derive(Debug, Parser)]
#[command(name = "cdist", version, arg_required_else_help = false, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a PreOS, a minimal OS that bare machines boot over the network
    Preos(PreosArgs),
    /// Begin, look at, check, install and remove the plugins that bring PreOSes
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Configure hosts
    #[command(infer_long_args = true, args_override_self = true)]
    Config(Box<ConfigArgs>),
    /// Install hosts (beta)
    #[command(infer_long_args = true, args_override_self = true)]
    #[command(
        after_help = "What an install would do to disks: cdist install plan --facts FILE --layout NAME (cdist install-plan --help)"
    )]
    Install(Box<ConfigArgs>),
    /// Show what an install would do to the disks of a machine
    #[command(infer_long_args = true, args_override_self = true)]
    #[command(override_usage = "cdist install plan --facts <FILE> --layout <NAME|FILE> [OPTIONS]")]
    InstallPlan(PlanArgs),
    /// Serve machines that call when they have booted: install or configure them
    #[command(infer_long_args = true, args_override_self = true)]
    Trigger(Box<TriggerArgs>),
    /// Keep hosts and their tags (beta)
    #[command(subcommand)]
    Inventory(InventoryCommand),
    /// List types and global explorers
    #[command(infer_long_args = true, args_override_self = true)]
    Info(InfoArgs),
    /// Start a shell in which types can be called
    #[command(infer_long_args = true, args_override_self = true)]
    Shell(ShellArgs),
    /// Make a type to begin with
    #[command(infer_long_args = true, args_override_self = true)]
    NewType(NewTypeArgs),
    /// Look for mistakes in types
    #[command(infer_long_args = true, args_override_self = true)]
    CheckType(CheckTypeArgs),
    /// Print the banner
    #[command(infer_long_args = true, args_override_self = true)]
    Banner(BannerArgs),
}

/// The whole command line.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line and runs it.
pub(crate) fn run(own_name: OsString, words: Vec<OsString>) -> Result<ExitCode, Failure> {
    let (cli, preos_arguments) = match parse(own_name, words) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output with status 0, usage errors to standard error with 2.
            let printed = error.print();
            if !error.use_stderr() {
                stdout::finish(printed)?;
            }
            return Ok(exit_code(error.exit_code()));
        }
    };
    match cli.command {
        Some(Command::Preos(args)) => preos::command::run(&args, &preos_arguments).map(exit_code),
        Some(Command::Plugin(command)) => plugin::command::run(&command).map(exit_code),
        Some(Command::Config(args)) => Ok(config::command::run(&args, Mode::Config)),
        Some(Command::Install(args)) => Ok(config::command::run(&args, Mode::Install)),
        Some(Command::InstallPlan(args)) => install::command::run(&args).map(exit_code),
        Some(Command::Trigger(args)) => trigger::command::run(&args).map(exit_code),
        Some(Command::Inventory(command)) => Ok(inventory::run(&command)),
        Some(Command::Info(args)) => Ok(info::run(&args)),
        Some(Command::Shell(args)) => Ok(shell::run(&args)),
        Some(Command::NewType(args)) => Ok(new_type::run(&args)),
        Some(Command::CheckType(args)) => check_type::run(&args),
        Some(Command::Banner(_)) => banner::run(),
        None => {
            stdout::finish(Cli::command().print_help())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What the words say, and the arguments of a PreOS.
pub(crate) fn parse(own_name: OsString, words: Vec<OsString>) -> Result<(Cli, Vec<OsString>), clap::Error> {
    let (words, preos_arguments) = split_preos(install::args::as_one_word(words));
    let mut command = command();
    if words.first().is_some_and(|word| word == "preos") {
        command = preos::command::with_names(command, &words);
    }
    let matches = command.try_get_matches_from_mut(std::iter::once(own_name).chain(words))?;
    Ok((Cli::from_arg_matches(&matches)?, preos_arguments))
}

/// Cuts the arguments that belong to a PreOS off, so that nothing here looks at them: `-h` and `--` are theirs.
fn split_preos(mut words: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    if words.first().is_none_or(|word| word != "preos") {
        return (words, Vec::new());
    }
    // Not the whole command line, which takes longer to make than a PreOS to find.
    let preos = PreosArgs::augment_args(clap::Command::new("preos"));
    let takes_value = |word: &str| {
        preos.get_arguments().any(|argument| {
            let long = argument.get_long().is_some_and(|long| word == format!("--{long}"));
            // `-c DIR`, also at the end of a cluster as in `-vc DIR`.
            let short =
                argument.get_short().is_some_and(|short| !word.starts_with("--") && word.ends_with(short));
            argument.get_action().takes_values() && (long || short)
        })
    };
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.to_str() {
            Some(option) if option.len() > 1 && option.starts_with('-') => {
                at += if takes_value(option) { 2 } else { 1 };
            }
            _ => break,
        }
    }
    let rest = if at < words.len() { words.split_off(at + 1) } else { Vec::new() };
    (words, rest)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn split(words: &[&str]) -> (Vec<OsString>, Vec<OsString>) {
        split_preos(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_one_of_an_option_wins() {
        let words = ["cdist", "config", "-j", "2", "-i", "a", "-j3", "-i", "b", "-c", "x", "-c", "y", "host"];
        let cli = Cli::try_parse_from(words).unwrap();
        let Some(Command::Config(args)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((args.jobs, args.run.initial_manifest), (Some(3), Some("b".into())));
        assert_eq!(args.run.conf_dir, [PathBuf::from("x"), "y".into()]);
    }

    #[test]
    fn what_follows_the_name_is_untouched() {
        let (own, rest) = split(&["preos", "-c", "conf", "-v", "--plugin-dir=x", "debian", "-h", "--", "-c"]);
        assert_eq!(own, ["preos", "-c", "conf", "-v", "--plugin-dir=x", "debian"]);
        assert_eq!(rest, ["-h", "--", "-c"]);
        assert_eq!(split(&["preos", "-h"]).1, Vec::<OsString>::new());
        assert_eq!(split(&["preos", "-vc", "d", "x", "y"]).1, ["y"]);
        assert_eq!(split(&["preos", "-c"]).0.len(), 2);
    }
}
