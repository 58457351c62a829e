//! The options about the configuration, for commands without hosts.

use std::path::PathBuf;

use cdist_core::{config::settings::Settings, runs::conf_dirs};

use crate::{layout::Layout, terminal::refusal::Refusal};

/// Where types and explorers are looked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfArgs {
    /// Add a configuration directory; the last one wins; may be repeated
    #[arg(short, long, value_name = "DIR")]
    pub(crate) conf_dir: Vec<PathBuf>,
    /// One more file with settings
    #[arg(short = 'g', long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
}

impl ConfArgs {
    /// All settings but those of other options.
    pub(crate) fn settings(&self) -> Result<Settings, Refusal> {
        Ok(Settings::load(self.config_file.as_deref())?)
    }

    /// The configuration directories, as `cdist config` would use them.
    pub(crate) fn conf_dirs(&self, settings: &Settings, layout: &Layout) -> Vec<PathBuf> {
        conf_dirs(&self.conf_dir, settings, &layout.paths())
    }
}
