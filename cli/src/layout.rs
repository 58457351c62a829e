//! Where the program's own parts are: relative to its executable, and nowhere else.

use std::path::PathBuf;

/// The staged layout around `bin/cdist`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The program itself, links resolved.
    pub(crate) program: PathBuf,
    /// `lib/cdist/preos`.
    pub(crate) plugins: PathBuf,
    /// `share/cdist/conf`.
    pub(crate) conf: PathBuf,
}

impl Layout {
    /// Finds the layout around the running program.
    pub(crate) fn find() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let prefix = program.parent().and_then(|bin| bin.parent()).unwrap_or(std::path::Path::new("/"));
        Ok(Self { plugins: prefix.join("lib/cdist/preos"), conf: prefix.join("share/cdist/conf"), program })
    }
}
