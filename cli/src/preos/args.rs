//! The options of `cdist preos`.

use std::{ffi::OsString, path::PathBuf};

use clap::ArgAction;

/// Options of `cdist preos` before the name of the PreOS.
#[derive(Debug, clap::Args)]
pub(crate) struct PreosArgs {
    /// Also look for plugins in DIR/preos; repeatable
    #[arg(short = 'c', long = "conf-dir", value_name = "DIR")]
    pub(crate) conf_dirs: Vec<PathBuf>,
    /// Also look for plugins in DIR; repeatable, the last one wins
    #[arg(long = "plugin-dir", value_name = "DIR")]
    pub(crate) plugin_dirs: Vec<PathBuf>,
    /// List the available PreOSes: name, summary, API version, file
    #[arg(short = 'L', long)]
    pub(crate) list: bool,
    /// With -L, as JSON
    #[arg(long, requires = "list")]
    pub(crate) json: bool,
    /// Tell progress as one JSON object a line on standard error
    #[arg(long)]
    pub(crate) json_progress: bool,
    /// Say more; repeatable
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors and warnings
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Accepted for compatibility: `cdist preos` needs no beta switch
    #[arg(short, long, hide = true)]
    pub(crate) beta: bool,
    /// PreOS to create; everything after it is handed to the PreOS
    #[arg(value_name = "preos")]
    pub(crate) name: Option<OsString>,
}

impl PreosArgs {
    /// How much the user wants to read: -1 quiet, 0 normal, 1 and more for each `-v`.
    pub(crate) fn verbosity(&self) -> i32 {
        if self.quiet { -1 } else { i32::from(self.verbose) }
    }
}
