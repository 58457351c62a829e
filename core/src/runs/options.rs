//! What a user may ask for when hosts are worked on.

use std::path::PathBuf;

use crate::{
    config::{Manifest, names::Family, settings::Settings},
    connector::OutputLimit,
};

/// How hosts are worked on. Where an option says nothing, the settings count.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The file of the initial manifest.
    pub initial_manifest: Option<PathBuf>,
    /// Configuration directories besides the usual ones, the last one wins.
    pub conf_dirs: Vec<PathBuf>,
    /// Which addresses count.
    pub family: Family,
    /// Configuration for ssh instead of its own files.
    pub ssh_config: Option<PathBuf>,
    /// Command that runs a command on the target.
    pub remote_exec: Option<String>,
    /// Command that copies to the target.
    pub remote_copy: Option<String>,
    /// The target is this machine, whatever the host is called.
    pub local: bool,
    /// Work directory on the target.
    pub remote_dir: Option<PathBuf>,
    /// Everything but running code.
    pub dry_run: bool,
    /// Directory for the runs' own files, which stays.
    pub out_dir: Option<PathBuf>,
    /// Name of a host's place in the cache, see [`entry_name`](crate::config::cache::entry_name).
    pub cache_path_pattern: Option<String>,
    /// How much scripts may say.
    pub output_limit: OutputLimit,
    /// Finds out what changes in files.
    pub diff: bool,
    /// Shows in that also what is marked as secret.
    pub reveal_secrets: bool,
    /// Collects the log of runs that types start.
    pub log_server: bool,
    /// Lets the output of scripts through instead of saving it.
    pub pass_output: bool,
}

impl RunOptions {
    /// The manifest of the option, else the configured one, else that of the configuration directories.
    pub fn manifest(&self, settings: &Settings) -> Manifest {
        let path = self.initial_manifest.clone().or_else(|| settings.init_manifest.clone());
        path.map_or(Manifest::Init, Manifest::Path)
    }
}
