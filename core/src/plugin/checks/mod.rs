//! Whether a plugin behaves, for its author: checks that look at its file and run it in the ways in which plugins go wrong.
//!
//! Each run of the plugin, and each look at its file, is a process of its own with a time limit ([`starter`]), in the namespaces of
//! a real run and, as root, in a sandbox ([`probe`]). The host there does nothing ([`host`]); what it sees it writes to a file
//! ([`events`]).

mod arguments;
mod catalogue;
mod events;
mod host;
mod leftovers;
mod plans;
mod probe;
mod reading;
mod starter;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::starter::Starter;
pub use self::{
    arguments::random_seed,
    catalogue::Check,
    probe::{WORD as PROBE_WORD, supervise},
};
use super::{search, text::PreosText};
use crate::printable::line;

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All is as it should be.
    Passed,
    /// Something that its author should look at.
    Warning(String),
    /// Something is wrong.
    Failed(String),
    /// It was not done, or there was nothing to see.
    Skipped(String),
}

impl Verdict {
    /// The same about one PreOS of several.
    fn about(self, whom: &str) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Warning(reason) => Self::Warning(format!("{whom}: {reason}")),
            Self::Failed(reason) => Self::Failed(format!("{whom}: {reason}")),
            // A check is skipped only if it is skipped for all PreOSes.
            Self::Skipped(reason) => Self::Skipped(reason),
        }
    }

    /// The one that counts: the first failure, else the first warning, else a run that passed.
    fn of_all(verdicts: impl Iterator<Item = Self>) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::Failed(_) => 0,
            Self::Warning(_) => 1,
            Self::Passed => 2,
            Self::Skipped(_) => 3,
        };
        // The first one of equals.
        verdicts.min_by_key(rank).unwrap_or(Self::Passed)
    }
}

/// Why a check cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Something is in the way.
    #[error("{0}")]
    Failed(String),
    /// It was asked for something that there is not.
    #[error("{message}")]
    Usage {
        /// What.
        message: String,
        /// What to ask for instead.
        hint: Option<String>,
    },
    /// This signal has asked to stop.
    #[error("the check was stopped")]
    Stopped(i32),
}

impl CheckError {
    fn io(doing: &str, error: &io::Error) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }
}

/// What is to be checked, and how.
#[derive(Debug)]
pub struct Request {
    /// Library or Python file.
    pub file: PathBuf,
    /// The only PreOS of the file to call.
    pub preos: Option<String>,
    /// Arguments of a real use; none: an empty directory.
    pub arguments: Vec<OsString>,
    /// Seed of the random arguments.
    pub seed: u64,
    /// How long a run of the plugin may take.
    pub limit: Duration,
    /// A program that calls [`supervise`] if its first word is [`PROBE_WORD`].
    pub program: PathBuf,
    /// The signal that has asked to stop, or 0.
    pub stop: Arc<AtomicUsize>,
}

/// The plugin that is checked.
#[derive(Debug)]
struct Subject {
    file: PathBuf,
    python: bool,
    /// Its PreOSes, once a check has read them.
    preoses: Vec<PreosText>,
    /// The only PreOS to call.
    preos: Option<String>,
    arguments: Vec<OsString>,
    seed: u64,
    temporary: PathBuf,
    starter: Starter,
}

/// Does those checks that are wanted, with those that they need, and tells the verdict of each wanted one.
///
/// # Errors
///
/// A check cannot be done, or that of `tell`.
pub fn run<E: From<CheckError>>(
    request: Request,
    wanted: impl Fn(Check) -> bool,
    mut tell: impl FnMut(Check, Verdict) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = std::env::temp_dir();
    let temporary = temporary.canonicalize().map_err(|error| {
        let doing = format!("the directory for temporary files, {}", temporary.display());
        CheckError::io(&doing, &error)
    })?;
    let dir = tempfile::Builder::new()
        .prefix("cdist-check-")
        .tempdir_in(&temporary)
        .map_err(|error| CheckError::io("making a directory for the check", &error))?;
    let file = real(&request.file)
        .map_err(|error| CheckError::io(&format!("finding {}", request.file.display()), &error))?;
    let mut subject = Subject {
        python: search::is_python(&request.file),
        file,
        preoses: Vec::new(),
        preos: request.preos,
        arguments: request.arguments,
        seed: request.seed,
        temporary,
        starter: Starter {
            program: request.program,
            dir: dir.path().to_owned(),
            limit: request.limit,
            stop: request.stop,
            count: AtomicU64::new(0),
        },
    };
    // The check that has failed and that all later ones need.
    let mut broken: Option<(Check, String)> = None;
    for check in Check::ALL {
        if !(wanted(check) || check.is_needed()) {
            continue;
        }
        let verdict = match (check.not_for(subject.python), &broken) {
            (Some(reason), _) => Verdict::Skipped(reason.to_owned()),
            (None, Some((failed, _))) if wanted(*failed) => {
                Verdict::Skipped(format!("the check {} has failed", failed.name()))
            }
            // The check that has failed was not asked for, so this one tells its reason.
            (None, Some((failed, reason))) => {
                Verdict::Failed(format!("it needs {}: {reason}", failed.name()))
            }
            (None, None) => subject.check(check)?,
        };
        if let (Verdict::Failed(reason), true, None) = (&verdict, check.is_needed(), &broken) {
            broken = Some((check, reason.clone()));
        }
        if wanted(check) {
            tell(check, verdict)?;
        }
    }
    Ok(())
}

impl Subject {
    fn check(&mut self, check: Check) -> Result<Verdict, CheckError> {
        let (verdict, preoses) = match check {
            Check::File | Check::Record | Check::Elf | Check::PanicStrategy => {
                return Ok(self.reads(check)?.0);
            }
            Check::Text => self.reads(check)?,
            Check::Listing => self.listing()?,
            _ => return self.run_check(check),
        };
        self.preoses = preoses;
        let names: Vec<String> = self.preoses.iter().map(PreosText::name).collect();
        match &self.preos {
            Some(name) if !names.is_empty() && !names.contains(name) => {
                let (name, names) = (line(name), names.join(", "));
                let message = format!("{} has no PreOS {name}", line(&self.file.to_string_lossy()));
                Err(CheckError::Usage { message, hint: Some(format!("it has {names}")) })
            }
            _ => Ok(verdict),
        }
    }
}

/// The absolute path, without links among the directories: the sandbox has to tell what lies beneath what.
fn real(file: &Path) -> io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    // A missing file is reported by a check.
    Ok(match (file.parent().and_then(|parent| parent.canonicalize().ok()), file.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => file,
    })
}
