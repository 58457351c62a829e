//! Where things are: the program's own parts relative to its executable and nowhere else, the user's in the home directory.

use std::path::PathBuf;

use cdist_core::runs::ProgramPaths;

use crate::terminal::failure::Failure;

/// The staged layout around `bin/cdist`, and the user's home.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The program itself, links resolved.
    pub(crate) program: PathBuf,
    /// `lib/cdist/preos`.
    pub(crate) plugins: PathBuf,
    /// `share/cdist/conf`.
    pub(crate) conf: PathBuf,
    /// `$HOME`, if it says something.
    pub(crate) home: Option<PathBuf>,
}

impl Layout {
    /// As [`find`](Self::find), with the failure as it is told.
    pub(crate) fn find_or_fail() -> Result<Self, Failure> {
        Self::find().map_err(|error| Failure::new(format!("finding the running program: {error}")))
    }

    /// What runs need of it.
    pub(crate) fn paths(&self) -> ProgramPaths {
        ProgramPaths { program: self.program.clone(), conf: self.conf.clone(), home: self.home.clone() }
    }

    /// Finds the layout around the running program.
    pub(crate) fn find() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let prefix = program.parent().and_then(|bin| bin.parent()).unwrap_or(std::path::Path::new("/"));
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let (plugins, conf) = (prefix.join("lib/cdist/preos"), prefix.join("share/cdist/conf"));
        Ok(Self { plugins, conf, home, program })
    }
}
