//! `cdist plugin check`: finds out whether a plugin behaves, for its author.
//!
//! Each run of the plugin, and each look at its file, is a process of its own with a time limit ([`run`]), in the namespaces of a real run and, as
//! root, in a sandbox ([`probe`]). The host there does nothing ([`host`]); what it sees it writes to a file ([`events`]).

mod arguments;
mod catalogue;
mod events;
mod host;
mod leftovers;
mod probe;
mod reading;
mod report;
mod run;
mod running;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use cdist_core::plugin::{search, text::PreosText};
use serde::{Deserialize, Serialize};

pub(crate) use self::probe::{WORD as PROBE_WORD, supervise};
use self::{
    catalogue::Check,
    report::{Report, Row},
    run::Runner,
};
use crate::{
    layout::Layout,
    terminal::{failure::Failure, printable::line, stdout::print},
};

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Verdict {
    Passed,
    Warning(String),
    Failed(String),
    Skipped(String),
}

impl Verdict {
    /// The same about one PreOS of several.
    fn about(self, whom: &str) -> Self {
        match self {
            Self::Passed => Self::Passed,
            Self::Warning(reason) => Self::Warning(format!("{whom}: {reason}")),
            Self::Failed(reason) => Self::Failed(format!("{whom}: {reason}")),
            // Counts only if it is so of all.
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

/// How long a run may take if the user says nothing, in seconds.
const LIMIT: u64 = 20;

/// Options of `cdist plugin check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Library or Python file
    #[arg(value_name = "FILE", required_unless_present = "list")]
    file: Option<PathBuf>,
    /// List the checks
    #[arg(long)]
    list: bool,
    /// Do this check only; repeatable
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave this check out; repeatable
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Call only this PreOS of the file
    #[arg(long, value_name = "NAME")]
    preos: Option<String>,
    /// Seed of the random arguments [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long a run of the plugin may take
    #[arg(long, value_name = "SECONDS", default_value_t = LIMIT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    limit: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Arguments of a real use, for the checks that want the PreOS to work [default: an empty directory]
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// The plugin that is checked.
#[derive(Debug)]
struct Subject {
    file: PathBuf,
    python: bool,
    /// What is in it, once a check has found out.
    preoses: Vec<PreosText>,
    /// The only one to call.
    preos: Option<String>,
    arguments: Vec<OsString>,
    seed: u64,
    temporary: PathBuf,
    runner: Runner,
}

/// Runs the command: exit status 1 if a check has failed.
pub(crate) fn run(args: &CheckArgs) -> Result<i32, Failure> {
    let (only, skip) = (named(&args.only)?, named(&args.skip)?);
    let wanted = |check: &Check| (only.is_empty() || only.contains(check)) && !skip.contains(check);
    if !Check::ALL.iter().any(wanted) {
        return Err(Failure::usage("no check is left: --skip names all that --only does"));
    }
    let file = match &args.file {
        Some(file) if !args.list => file,
        _ => {
            let checks: Vec<Check> = Check::ALL.into_iter().filter(wanted).collect();
            print(&report::list(&checks, args.json))?;
            return Ok(0);
        }
    };
    let seed = args.seed.unwrap_or_else(arguments::random_seed);
    let failed = |doing: &str, error: std::io::Error| Failure::new(format!("{doing}: {error}"));
    let temporary = std::env::temp_dir();
    let temporary = temporary.canonicalize().map_err(|error| {
        failed(&format!("the directory for temporary files, {}", temporary.display()), error)
    })?;
    let dir = tempfile::Builder::new()
        .prefix("cdist-check-")
        .tempdir_in(&temporary)
        .map_err(|error| failed("making a directory for the check", error))?;
    let stop = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let number = usize::try_from(signal).unwrap_or(1);
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), number)
            .map_err(|error| failed("listening for signals", error))?;
    }
    let mut subject = Subject {
        python: search::is_python(file),
        file: real(file).map_err(|error| failed(&format!("finding {}", file.display()), error))?,
        preoses: Vec::new(),
        preos: args.preos.clone(),
        arguments: args.arguments.clone(),
        seed,
        temporary,
        runner: Runner {
            program: Layout::find_or_fail()?.program,
            dir: dir.path().to_owned(),
            limit: Duration::from_secs(args.limit),
            stop,
            count: AtomicU64::new(0),
        },
    };

    let mut report = Report::new(file, seed, args);
    // The check that has failed and that all later ones need.
    let mut broken: Option<(Check, String)> = None;
    for check in Check::ALL {
        if !(wanted(&check) || check.is_needed()) {
            continue;
        }
        let verdict = match (check.not_for(subject.python), &broken) {
            (Some(reason), _) => Verdict::Skipped(reason.to_owned()),
            (None, Some((failed, _))) if wanted(failed) => {
                Verdict::Skipped(format!("the check {} has failed", failed.name()))
            }
            // Nothing else says it.
            (None, Some((failed, reason))) => {
                Verdict::Failed(format!("it needs {}: {reason}", failed.name()))
            }
            (None, None) => subject.check(check)?,
        };
        if let (Verdict::Failed(reason), true, None) = (&verdict, check.is_needed(), &broken) {
            broken = Some((check, reason.clone()));
        }
        if wanted(&check) {
            report.add(Row { check, verdict })?;
        }
    }
    report.finish()
}

impl Subject {
    fn check(&mut self, check: Check) -> Result<Verdict, Failure> {
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
                Err(Failure::usage(format!("{} has no PreOS {name}", line(&self.file.to_string_lossy())))
                    .hint(format!("it has {names}")))
            }
            _ => Ok(verdict),
        }
    }
}

/// The checks of these names.
fn named(names: &[String]) -> Result<Vec<Check>, Failure> {
    names
        .iter()
        .map(|name| {
            Check::named(name).ok_or_else(|| {
                let failure = Failure::usage(format!("there is no check {}", line(name)));
                match nearest(name) {
                    Some(near) => failure.hint(format!("did you mean {near}?")),
                    None => failure.hint("`cdist plugin check --list` lists them"),
                }
            })
        })
        .collect()
}

fn nearest(wrong: &str) -> Option<&'static str> {
    cdist_core::near_match(Check::ALL.map(Check::name), wrong)
}

/// The absolute path, without links among the directories: the sandbox has to tell what lies beneath what.
fn real(file: &Path) -> std::io::Result<PathBuf> {
    let file = std::path::absolute(file)?;
    // What is not there, or no file, is for a check to say.
    Ok(match (file.parent().and_then(|parent| parent.canonicalize().ok()), file.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => file,
    })
}
