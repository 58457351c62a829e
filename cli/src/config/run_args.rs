//! The options that say how hosts are worked on, for all commands that do it.

use std::path::PathBuf;

use cdist_core::{
    config::{names::Family, settings::Settings},
    connector::OutputLimit,
    runs::RunOptions,
};

use crate::terminal::log_args::LogArgs;

/// How hosts are worked on. Each option stands under a heading of the help text.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Initial manifest; - is standard input [default: manifest/init of the configuration]
    #[arg(short, long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) initial_manifest: Option<PathBuf>,
    /// Add a configuration directory; the last one wins; may be repeated
    #[arg(short, long, value_name = "DIR", help_heading = "Configuration")]
    pub(crate) conf_dir: Vec<PathBuf>,
    /// One more file with settings
    #[arg(short = 'g', long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config_file: Option<PathBuf>,
    /// Allow what is not stable yet
    #[arg(short, long, help_heading = "Configuration")]
    pub(crate) beta: bool,

    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "force_ipv6", help_heading = "Target")]
    pub(crate) force_ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long, help_heading = "Target")]
    pub(crate) force_ipv6: bool,
    /// Configuration for ssh instead of ~/.ssh/config and /etc/ssh/ssh_config
    #[arg(long, value_name = "FILE", conflicts_with = "local", help_heading = "Target")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Command that runs a command on the target, instead of cdist's own use of ssh
    #[arg(long, value_name = "COMMAND", help_heading = "Target")]
    pub(crate) remote_exec: Option<String>,
    /// Command that copies to the target, instead of cdist's own use of ssh
    #[arg(long, value_name = "COMMAND", help_heading = "Target")]
    pub(crate) remote_copy: Option<String>,
    /// The target is this machine, whatever the host is called
    #[arg(long, conflicts_with_all = ["remote_exec", "remote_copy"], help_heading = "Target")]
    pub(crate) local: bool,
    /// Work directory on the target [default: /var/lib/cdist]
    #[arg(short, long, value_name = "DIR", help_heading = "Target")]
    pub(crate) remote_out_dir: Option<PathBuf>,
    /// Accepted for compatibility: files always travel together (beta)
    #[arg(short = 'R', long, value_name = "KIND", num_args = 0..=1, default_missing_value = "tgz",
          value_parser = ["tar", "tgz", "tbz2", "txz"], hide_possible_values = true, help_heading = "Target")]
    pub(crate) use_archiving: Option<String>,

    /// Do everything but run code: show the code instead, and leave the target as it was
    #[arg(short = 'n', long, help_heading = "Work")]
    pub(crate) dry_run: bool,
    /// Directory for the runs' own files; stays [default: a temporary one]
    #[arg(short, long, value_name = "DIR", help_heading = "Work")]
    pub(crate) out_dir: Option<PathBuf>,
    /// Name of a host's place in the cache: %N host, %h its hash, %P process, else as in date(1)
    #[arg(short = 'C', long, value_name = "PATTERN", help_heading = "Work")]
    pub(crate) cache_path_pattern: Option<String>,

    /// Stop a script that prints more than SIZE on one stream, and a run that prints eight times as much, such as 64M
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = size, help_heading = "Work")]
    pub(crate) output_max: u64,

    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Show what changes in files, as unified diffs on standard output
    #[arg(long, help_heading = "Output")]
    pub(crate) diff: bool,
    /// Show also what is marked as secret, with --dry-run, --diff and --json
    #[arg(long, help_heading = "Output")]
    pub(crate) reveal_secrets: bool,
    /// Add the time to log lines
    #[arg(short = 'P', long, help_heading = "Output")]
    pub(crate) timestamp: bool,
    /// Collect the log of runs that types start
    #[arg(long, help_heading = "Output")]
    pub(crate) log_server: bool,
    /// Let the output of scripts through instead of saving it
    #[arg(short = 'S', long, help_heading = "Output")]
    pub(crate) disable_saving_output_streams: bool,
}

impl RunArgs {
    /// True if log lines have the time.
    pub(crate) fn with_time(&self, settings: &Settings) -> bool {
        self.timestamp || settings.timestamp == Some(true)
    }
}

impl From<&RunArgs> for RunOptions {
    fn from(args: &RunArgs) -> Self {
        let family = match (args.force_ipv4, args.force_ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        };
        Self {
            initial_manifest: args.initial_manifest.clone(),
            conf_dirs: args.conf_dir.clone(),
            family,
            ssh_config: args.ssh_config.clone(),
            remote_exec: args.remote_exec.clone(),
            remote_copy: args.remote_copy.clone(),
            local: args.local,
            remote_dir: args.remote_out_dir.clone(),
            dry_run: args.dry_run,
            out_dir: args.out_dir.clone(),
            cache_path_pattern: args.cache_path_pattern.clone(),
            output_limit: OutputLimit::new(args.output_max),
            diff: args.diff,
            reveal_secrets: args.reveal_secrets,
            log_server: args.log_server,
            pass_output: args.disable_saving_output_streams,
        }
    }
}

/// A number of bytes, such as `100K`, `16M`, `2G`; K, M and G are powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(digits.len()..) {
        Some("") => Some(1),
        Some("K" | "k") => Some(1 << 10),
        Some("M" | "m") => Some(1 << 20),
        Some("G" | "g") => Some(1 << 30),
        _ => None,
    };
    let size = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    size.filter(|size| *size > 0)
        .ok_or_else(|| "must be a size of at least 1, such as 100K, 16M or 2G".to_owned())
}

#[cfg(test)]
impl RunArgs {
    /// What these words say.
    pub(crate) fn of_words<W: Into<std::ffi::OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Self {
        let command = <Self as clap::Args>::augment_args(clap::Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(words).unwrap_or_else(|error| panic!("{error}"));
        <Self as clap::FromArgMatches>::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_words() {
        let words = ["-6", "-i", "m", "-c", "a", "-c", "b", "-r", "/r", "-n", "-C", "%N", "-S", "--diff"];
        let options = RunOptions::from(&RunArgs::of_words(words));
        assert_eq!((options.family, options.initial_manifest), (Family::V6, Some("m".into())));
        assert_eq!(options.conf_dirs, ["a", "b"].map(PathBuf::from));
        assert_eq!(options.remote_dir, Some("/r".into()));
        assert_eq!(options.cache_path_pattern.as_deref(), Some("%N"));
        assert!(options.dry_run && options.pass_output && options.diff);
        assert!(!options.local && !options.log_server && !options.reveal_secrets);
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("7", 7), ("100K", 102_400), ("16M", 16 << 20), ("2g", 2 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "0", "M", "-1", "1.5G", "1T", "16MB", "99999999999999999999", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
