//! `cdist inventory`: hosts and their tags.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use cdist_core::{
    config::{
        log::{Level, LogSink},
        settings::Settings,
    },
    inventory::Inventory,
    trust,
};

use crate::terminal::{
    log_args::LogArgs,
    log_lines::{LogLines, is_colored},
    printable::line,
    refusal::Refusal,
    stdout,
};

/// What to do with the inventory.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum InventoryCommand {
    /// Print hosts with their tags
    #[command(infer_long_args = true)]
    List {
        #[command(flatten)]
        common: Common,
        /// The words are tags; print the hosts that have one of them
        #[arg(short, long)]
        tag: bool,
        /// With --tag: hosts must have all tags
        #[arg(short, long)]
        all: bool,
        /// Print names only
        #[arg(short = 'H', long)]
        host_only: bool,
    },
    /// Add hosts
    #[command(infer_long_args = true)]
    AddHost {
        #[command(flatten)]
        common: Common,
    },
    /// Remove hosts
    #[command(infer_long_args = true)]
    DelHost {
        #[command(flatten)]
        common: Common,
        /// All hosts
        #[arg(short, long)]
        all: bool,
    },
    /// Add tags to hosts, or to all hosts
    #[command(infer_long_args = true)]
    AddTag {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tags: Tags,
    },
    /// Remove tags from hosts, or from all hosts
    #[command(infer_long_args = true)]
    DelTag {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        tags: Tags,
        /// All tags
        #[arg(short, long)]
        all: bool,
    },
}

/// What all of them take.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Hosts
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// Allow what is not stable yet
    #[arg(short, long)]
    beta: bool,
    /// File with hosts, one per line; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Inventory directory
    #[arg(short = 'I', long, value_name = "DIR")]
    inventory: Option<PathBuf>,
    /// One more configuration file
    #[arg(short = 'g', long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// Which tags.
#[derive(Debug, clap::Args)]
pub(crate) struct Tags {
    /// Tags, with commas between
    #[arg(short, long, value_name = "TAGS", value_delimiter = ',')]
    taglist: Vec<String>,
    /// File with tags, one per line; - is standard input
    #[arg(short = 'T', long, value_name = "FILE")]
    tag_file: Option<PathBuf>,
}

impl InventoryCommand {
    fn common(&self) -> &Common {
        match self {
            Self::List { common, .. }
            | Self::AddHost { common }
            | Self::DelHost { common, .. }
            | Self::AddTag { common, .. }
            | Self::DelTag { common, .. } => common,
        }
    }
}

/// Runs the command; a failure is one line on standard error and exit status 1.
pub(crate) fn run(command: &InventoryCommand) -> ExitCode {
    let mut log = LogLines { colored: is_colored(None), ..LogLines::new() };
    match act(command, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            log.log(Level::Error, "cdist", &refusal.0);
            ExitCode::FAILURE
        }
    }
}

fn act(command: &InventoryCommand, log: &mut LogLines) -> Result<(), Refusal> {
    let common = command.common();
    let settings = Settings::load(common.config_file.as_deref())?;
    common.log.apply(&settings, log);
    if !common.beta && settings.beta != Some(true) {
        let text = "'inventory' command is beta, but beta is not enabled; please use -b to enable beta or set CDIST_BETA";
        return Err(Refusal(text.to_owned()));
    }
    let dir = inventory_dir(common.inventory.as_ref(), &settings)
        .ok_or_else(|| Refusal("no inventory: set HOME or use -I".to_owned()))?;
    let inventory = Inventory::open(dir)?;
    let mut words = common.hosts.clone();
    if let Some(file) = &common.file {
        words.extend(lines_of(file)?);
    }
    match command {
        InventoryCommand::List { tag, all, host_only, .. } => {
            list(&inventory, &words, *tag, *all, *host_only)
        }
        InventoryCommand::AddHost { .. } => {
            need_hosts(&words)?;
            Ok(words.iter().try_for_each(|host| inventory.add_host(host))?)
        }
        InventoryCommand::DelHost { all, .. } => {
            let hosts = if *all { inventory.hosts()? } else { words };
            if !*all {
                need_hosts(&hosts)?;
            }
            Ok(hosts.iter().try_for_each(|host| inventory.remove_host(host))?)
        }
        InventoryCommand::AddTag { tags, .. } => {
            let new = tags.read()?;
            if new.is_empty() {
                return Err(Refusal("Tag(s) missing".to_owned()));
            }
            change(&inventory, words, log, |tags| tags.extend(new.iter().cloned()))
        }
        InventoryCommand::DelTag { tags, all, .. } => {
            let old = tags.read()?;
            if old.is_empty() && !*all {
                return Err(Refusal("Tag(s) missing".to_owned()));
            }
            change(&inventory, words, log, |tags| tags.retain(|t| !*all && !old.contains(t)))
        }
    }
}

fn need_hosts(hosts: &[String]) -> Result<(), Refusal> {
    if hosts.is_empty() { Err(Refusal("Host(s) missing".to_owned())) } else { Ok(()) }
}

fn list(
    inventory: &Inventory,
    words: &[String],
    tag: bool,
    all: bool,
    host_only: bool,
) -> Result<(), Refusal> {
    let hosts = match (tag, words.is_empty()) {
        (_, true) => inventory.hosts()?,
        (true, _) => inventory.hosts_with(words, all)?,
        (false, _) => words.to_vec(),
    };
    let mut text = String::new();
    for host in hosts {
        let Some(tags) = inventory.tags(&host)? else { continue };
        let shown = if host_only { host } else { format!("{host} {}", tags.join(",")) };
        text.push_str(&line(&shown));
        text.push('\n');
    }
    Ok(stdout::write(|out| out.write_all(text.as_bytes()))?)
}

/// Changes the tags of `hosts`, or of all hosts if there are none; unknown ones are told and skipped.
fn change(
    inventory: &Inventory,
    hosts: Vec<String>,
    log: &LogLines,
    change: impl Fn(&mut Vec<String>),
) -> Result<(), Refusal> {
    let hosts = if hosts.is_empty() { inventory.hosts()? } else { hosts };
    for host in hosts {
        if inventory.tags(&host)?.is_none() {
            log.log(Level::Warning, "inventory", &format!("Host '{host}' does not exist, skipping"));
            continue;
        }
        inventory.change_tags(&host, &change)?;
    }
    Ok(())
}

impl Tags {
    fn read(&self) -> Result<Vec<String>, Refusal> {
        let mut tags: Vec<String> =
            self.taglist.iter().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
        if let Some(file) = &self.tag_file {
            tags.extend(lines_of(file)?);
        }
        Ok(tags)
    }
}

/// The lines of a file, without comments, blanks around, and empty lines.
pub(crate) fn lines_of(file: &Path) -> Result<Vec<String>, Refusal> {
    let read = || -> io::Result<String> {
        if file != Path::new("-") {
            // Who can change the list decides which hosts are configured, or get a tag.
            trust::way_for_root("the list", file).map_err(io::Error::other)?;
            return fs::read_to_string(file);
        }
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    };
    let text = read().map_err(|e| Refusal(format!("Error reading hosts from '{}': {e}", file.display())))?;
    let line = |l: &str| l.split('#').next().unwrap_or_default().trim().to_owned();
    Ok(text.lines().map(line).filter(|l| !l.is_empty()).collect())
}

/// The directory of the inventory: the option's, the configured one, or the user's.
pub(crate) fn inventory_dir(option: Option<&PathBuf>, settings: &Settings) -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").filter(|h| !h.is_empty());
    let chosen = option.or(settings.inventory_dir.as_ref()).cloned();
    chosen.or_else(|| home().map(|h| Path::new(&h).join(".cdist/inventory")))
}
