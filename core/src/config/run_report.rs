//! What has come out of a run, also of one that failed, and where its files are.

use std::{path::PathBuf, time::Duration};

use super::{code::Side, declare::object::ObjectName, error::ConfigError};

/// The file of an object with what it changes in files.
pub(super) const DIFF: &str = "diff";
/// Marks an object, or all of a type, as nothing to show.
pub(super) const SECRET: &str = "secret";

/// What a run has done. After a failure: as far as it came.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// How many objects of the mode there are.
    pub objects: usize,
    /// How many of them are done.
    pub done: usize,
    /// Those that had code, in the order in which they ran; after a failure in the order of their creation.
    pub changed: Vec<ObjectName>,
    /// How long it took.
    pub elapsed: Duration,
    /// How often the target was called.
    pub remote_calls: u64,
    /// True if anything was run on the target.
    pub answered: bool,
    /// Where the run's own files are after the run; `None` if they are gone.
    pub files: Option<PathBuf>,
    /// The name of all object leaf directories below [`RunReport::files`].
    pub(super) marker: std::ffi::OsString,
}

impl RunReport {
    /// The directory with the files of an object.
    pub fn object_dir(&self, object: &ObjectName) -> Option<PathBuf> {
        Some(self.files.as_ref()?.join(object.dir(&self.marker)))
    }

    /// The files that hold the code of an object, each with `code-local` or `code-remote`, in the order in which
    /// they run.
    pub fn code(&self, object: &ObjectName) -> Vec<(&'static str, PathBuf)> {
        let Some(dir) = self.object_dir(object) else { return Vec::new() };
        let files = [Side::Local, Side::Remote].map(|side| (side.code(), dir.join(side.code())));
        files.into_iter().filter(|(_, path)| path.is_file()).collect()
    }

    /// What an object changes in files, as unified diffs, if the run was asked for it and the type can tell.
    /// Files need not be UTF-8, so neither are their differences.
    pub fn diff(&self, object: &ObjectName) -> Option<Vec<u8>> {
        std::fs::read(self.object_dir(object)?.join(DIFF)).ok().filter(|text| !text.is_empty())
    }

    /// True if what an object does is not to be shown: there is a file `secret` in its type, or one of its scripts
    /// has made `$__object/secret`.
    pub fn is_secret(&self, object: &ObjectName) -> bool {
        let Some(files) = &self.files else { return false };
        let of_type = files.join("conf/type").join(object.type_name()).join(SECRET);
        of_type.exists() || self.object_dir(object).is_some_and(|dir| dir.join(SECRET).exists())
    }
}

/// How a run has ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What it has done.
    pub report: RunReport,
    /// Why it failed, if it did.
    pub error: Option<ConfigError>,
}
