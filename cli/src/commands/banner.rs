//! `cdist banner`: the name, large.

use std::process::ExitCode;

use crate::terminal::{failure::Failure, log_args::LogArgs, stdout};

const BANNER: &str = r"
              |   o         |
    .----  .--|   .  .---   |---
    |      |  |   |  '---.  |
    '----  '--'   '  ----'  '---

    boots, installs, configures
";

/// The options are those that every command takes; there is nothing to tell.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BannerArgs {
    #[command(flatten)]
    _log: LogArgs,
}

/// Prints the banner.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    stdout::print(BANNER)?;
    Ok(ExitCode::SUCCESS)
}
