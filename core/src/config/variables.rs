//! Environment variables of scripts, and those that an inner run must not inherit.

use std::{env, ffi::OsString};

/// Environment variables in a fixed order.
pub(super) type Variables = Vec<(&'static str, OsString)>;

/// What a run started by a script of another run must not inherit: it names objects and files of that run.
const OF_A_RUN: [&str; 18] = [
    "__object",
    "__object_id",
    "__object_name",
    "__object_fq",
    "__type",
    "__type_explorer",
    "__messages_in",
    "__messages_out",
    "__explorer",
    "__manifest",
    "__files",
    "__global",
    "__cdist_manifest",
    "__cdist_object_marker",
    "__cdist_type_base_path",
    "__cdist_dry_run",
    "__cdist_remote_dir",
    "__target_host_tags",
];

/// The environment of this process without what belongs to an outer run.
pub fn inherited() -> Vec<(OsString, OsString)> {
    env::vars_os().filter(|(key, _)| !OF_A_RUN.iter().any(|name| key == name)).collect()
}
