//! The options of `cdist config` and `cdist install`.

use std::path::PathBuf;

/// The options of `cdist config` and `cdist install`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Hosts, or tags with --tag
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Set the log level: -1 (errors) to 4 (everything)
    #[arg(short = 'l', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) log_level: Option<i64>,
    /// Tell more; may be repeated
    #[arg(short, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Tell nothing
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Allow what is not stable yet
    #[arg(short, long)]
    pub(crate) beta: bool,
    /// When to use colours: always, never, auto
    #[arg(long, value_name = "WHEN", value_parser = ["always", "never", "auto"])]
    pub(crate) colors: Option<String>,
    /// One more configuration file
    #[arg(short = 'g', long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "force_ipv6")]
    pub(crate) force_ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub(crate) force_ipv6: bool,
    /// Name of a host's place in the cache: %N host, %h its hash, %P process, else as in date(1)
    #[arg(short = 'C', long, value_name = "PATTERN")]
    pub(crate) cache_path_pattern: Option<String>,
    /// Add a configuration directory; the last one wins; may be repeated
    #[arg(short, long, value_name = "DIR")]
    pub(crate) conf_dir: Vec<PathBuf>,
    /// Initial manifest; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) initial_manifest: Option<PathBuf>,
    /// Work on N objects of a host at a time; without N one per processor
    #[arg(short, long, value_name = "N", num_args = 0..=1, default_missing_value = "-1", value_parser = count)]
    pub(crate) jobs: Option<i64>,
    /// Collect the log of nested runs
    #[arg(long)]
    pub(crate) log_server: bool,
    /// Do everything but run code: show the code instead, and leave the target as it was
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Show what changes in files, as unified diffs on standard output
    #[arg(long)]
    pub(crate) diff: bool,
    /// Report as one JSON document on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Show also what is marked as secret, with --dry-run, --diff and --json
    #[arg(long)]
    pub(crate) reveal_secrets: bool,
    /// Directory for the runs' own files; stays
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Add the time to log lines
    #[arg(short = 'P', long)]
    pub(crate) timestamp: bool,
    /// Work on N hosts at a time; without N one per processor
    #[arg(short, long, value_name = "N", num_args = 0..=1, default_missing_value = "-1", value_parser = count)]
    pub(crate) parallel: Option<i64>,
    /// Work on one host after the other
    #[arg(short, long, overrides_with = "parallel")]
    pub(crate) sequential: bool,
    /// Accepted for compatibility: files always travel together
    #[arg(short = 'R', long, value_name = "KIND", num_args = 0..=1, default_missing_value = "tgz",
          value_parser = ["tar", "tgz", "tbz2", "txz"])]
    pub(crate) use_archiving: Option<String>,
    /// Work directory on the target
    #[arg(short, long, value_name = "DIR")]
    pub(crate) remote_out_dir: Option<PathBuf>,
    /// Configuration for ssh instead of ~/.ssh/config and /etc/ssh/ssh_config
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chroot", "local"])]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Command that runs a command on the target, instead of cdist's own use of ssh
    #[arg(long, value_name = "COMMAND")]
    pub(crate) remote_exec: Option<String>,
    /// Command that copies to the target, instead of cdist's own use of ssh
    #[arg(long, value_name = "COMMAND")]
    pub(crate) remote_copy: Option<String>,
    /// The hosts are directories on this machine, entered with chroot
    #[arg(long, conflicts_with_all = ["remote_exec", "remote_copy", "local"])]
    pub(crate) chroot: bool,
    /// The target is this machine, whatever the host is called
    #[arg(long, conflicts_with_all = ["remote_exec", "remote_copy"])]
    pub(crate) local: bool,
    /// Let the output of scripts through instead of saving it
    #[arg(short = 'S', long)]
    pub(crate) disable_saving_output_streams: bool,
    /// Inventory directory
    #[arg(short = 'I', long, value_name = "DIR")]
    pub(crate) inventory: Option<PathBuf>,
    /// File with hosts, one per line; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The words are tags; work on hosts that have one of them
    #[arg(short, long)]
    pub(crate) tag: bool,
    /// With --tag: hosts must have all tags
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Work on all hosts of the inventory
    #[arg(short = 'A', long)]
    pub(crate) all_tagged: bool,
}

fn count(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(-1) => Ok(-1),
        Ok(n @ 1..) => Ok(n),
        _ => Err("must be a number of at least 1".to_owned()),
    }
}
