//! The options of `cdist config` and `cdist install`.

use std::path::PathBuf;

use crate::config::run_args::RunArgs;

/// The options of `cdist config` and `cdist install`. Each stands under a heading of the help text.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Hosts, or tags with --tag
    #[arg(value_name = "HOST", help_heading = "Hosts")]
    pub(crate) hosts: Vec<String>,
    /// File with hosts, one per line; - is standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Hosts")]
    pub(crate) file: Option<PathBuf>,
    /// The words are tags; work on hosts that have one of them (beta)
    #[arg(short, long, help_heading = "Hosts")]
    pub(crate) tag: bool,
    /// With --tag: hosts must have all tags
    #[arg(short, long, help_heading = "Hosts")]
    pub(crate) all: bool,
    /// Work on all hosts of the inventory (beta)
    #[arg(short = 'A', long, help_heading = "Hosts")]
    pub(crate) all_tagged: bool,
    /// Inventory directory [default: ~/.cdist/inventory]
    #[arg(short = 'I', long, value_name = "DIR", help_heading = "Hosts")]
    pub(crate) inventory: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// The hosts are directories on this machine, entered with chroot
    #[arg(long, conflicts_with_all = ["ssh_config", "remote_exec", "remote_copy", "local"], help_heading = "Target")]
    pub(crate) chroot: bool,
    /// Work on N objects of a host at a time; without N one per processor
    #[arg(short, long, value_name = "N", num_args = 0..=1, default_missing_value = "-1", value_parser = count,
          help_heading = "Work")]
    pub(crate) jobs: Option<i64>,
    /// Work on N hosts at a time; without N one per processor
    #[arg(short, long, value_name = "N", num_args = 0..=1, default_missing_value = "-1", value_parser = count,
          help_heading = "Work")]
    pub(crate) parallel: Option<i64>,
    /// Work on one host after the other
    #[arg(short, long, overrides_with = "parallel", help_heading = "Work")]
    pub(crate) sequential: bool,
    /// Report as one JSON document on standard output
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Write what took how long to FILE, as a trace that Perfetto and chrome://tracing show
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) profile: Option<PathBuf>,
}

fn count(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(-1) => Ok(-1),
        Ok(n @ 1..) => Ok(n),
        _ => {
            Err("must be a number of at least 1; without a number the option stands after the hosts"
                .to_owned())
        }
    }
}
