//! The options of `cdist trigger`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use cdist_core::trigger::{
    policy::InstallPolicy,
    worker::{HostKeyPolicy, TargetName},
};
use ipnet::IpNet;

use super::{client::TriggerCommand, time::time};
use crate::config::run_args::RunArgs;

/// Which host keys are right for a machine that has not told its own.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum HostKeyArg {
    /// Those that the ssh configuration says
    #[default]
    Strict,
    /// The first one of each machine; a new one after each install
    AcceptNew,
}

impl From<HostKeyArg> for HostKeyPolicy {
    fn from(arg: HostKeyArg) -> Self {
        match arg {
            HostKeyArg::Strict => Self::Strict,
            HostKeyArg::AcceptNew => Self::AcceptNew,
        }
    }
}

/// How machines are called.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum TargetNameArg {
    /// By their addresses
    #[default]
    Address,
    /// By the names of their addresses, if these lead back to them
    ReverseDns,
}

impl From<TargetNameArg> for TargetName {
    fn from(arg: TargetNameArg) -> Self {
        match arg {
            TargetNameArg::Address => Self::Address,
            TargetNameArg::ReverseDns => Self::ReverseDns,
        }
    }
}

/// The options of the server. Each stands under a heading of the help text; those of runs are those of `cdist config`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands that ask a running server"
)]
pub(crate) struct TriggerArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TriggerCommand>,

    /// Listen on this port
    #[arg(short = 'H', long, value_name = "PORT", default_value_t = 3000, help_heading = "Server")]
    pub(crate) http_port: u16,
    /// Listen on this address of this machine only; may be repeated [default: all, IPv4 and IPv6]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    pub(crate) listen: Vec<IpAddr>,
    /// Accepted for compatibility: IPv6 is served anyway
    #[arg(long, hide = true, help_heading = "Server")]
    pub(crate) ipv6: bool,
    /// Directory for jobs, machines and logs [default: ~/.cdist/trigger]
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Most connections of machines at a time
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one, help_heading = "Server")]
    pub(crate) connections: usize,
    /// How long running jobs may go on when the server ends
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time, help_heading = "Server")]
    pub(crate) grace: Duration,

    /// Run N jobs at a time
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = at_least_one, help_heading = "Jobs")]
    pub(crate) jobs: usize,
    /// Most jobs that wait
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one, help_heading = "Jobs")]
    pub(crate) queue: usize,
    /// Repeat a failed configuration so often, with growing pauses; an install is never repeated
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Jobs")]
    pub(crate) retries: u32,
    /// Stop a job that takes longer; it has failed then
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = time, help_heading = "Jobs")]
    pub(crate) job_time: Duration,
    /// Keep jobs and their logs for so long; the last one of each machine stays
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time, help_heading = "Jobs")]
    pub(crate) keep: Duration,
    /// Know so many machines at most
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = at_least_one, help_heading = "Jobs")]
    pub(crate) machines: usize,

    /// When a machine that asks is installed: once (again only after `cdist trigger arm`), armed, always
    #[arg(long, value_name = "WHEN", default_value_t = InstallPolicy::Once, help_heading = "Machines")]
    pub(crate) install_policy: InstallPolicy,
    /// Serve machines of this network only; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = network, help_heading = "Machines")]
    pub(crate) allow: Vec<IpNet>,
    /// Serve machines that send the token in FILE only
    #[arg(long, value_name = "FILE", help_heading = "Machines")]
    pub(crate) token_file: Option<PathBuf>,
    /// Which ssh host keys are right if a machine has not told its own
    #[arg(long, value_name = "WHICH", value_enum, default_value_t, help_heading = "Machines")]
    pub(crate) host_key: HostKeyArg,
    /// What machines are called in runs
    #[arg(long, value_name = "NAME", value_enum, default_value_t, help_heading = "Machines")]
    pub(crate) target_name: TargetNameArg,
    /// Directory for the files of /file/ requests
    #[arg(short = 'D', long, value_name = "DIR", requires = "source", help_heading = "Machines")]
    pub(crate) directory: Option<PathBuf>,
    /// What is in these files
    #[arg(short = 'O', long, value_name = "FILE", requires = "directory", help_heading = "Machines")]
    pub(crate) source: Option<PathBuf>,

    /// Where the status page and the API listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3001", help_heading = "Status page")]
    pub(crate) status_listen: SocketAddr,
    /// Know the status page by this name, too; may be repeated
    #[arg(long, value_name = "NAME", help_heading = "Status page")]
    pub(crate) status_name: Vec<String>,
    /// Show and change nothing without the token in FILE; needed where others reach the page
    #[arg(long, value_name = "FILE", help_heading = "Status page")]
    pub(crate) status_token_file: Option<PathBuf>,
    /// No status page and no API; the commands of `cdist trigger` work all the same
    #[arg(long, conflicts_with_all = ["status_listen", "status_name", "status_token_file"], help_heading = "Status page")]
    pub(crate) no_status: bool,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "must be a number of at least 1".to_owned())
}

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse()
        .ok()
        .or_else(address)
        .ok_or_else(|| "must be a network such as 10.0.0.0/8 or 2001:db8::/32, or one address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        assert!(network("10.0.0.0/8").unwrap().contains(&"10.9.8.7".parse::<IpAddr>().unwrap()));
        assert_eq!(network("::1").unwrap().prefix_len(), 128);
        assert!(network("10.0.0.0/33").is_err());
    }
}
