//! `cdist banner`: the name, large.

use std::{io::Write, process::ExitCode};

use crate::log_args::LogArgs;

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
pub(crate) fn run() -> ExitCode {
    // A reader that went away early is no failure of ours.
    let _ = std::io::stdout().write_all(BANNER.as_bytes());
    ExitCode::SUCCESS
}
