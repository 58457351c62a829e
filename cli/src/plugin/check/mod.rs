//! `cdist plugin check`: finds out whether a plugin behaves, for its author.

mod report;

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

pub(crate) use cdist_core::plugin::checks::PROBE_WORD;
use cdist_core::plugin::checks::{self, Check, CheckError, Request};

use self::report::{CheckReport, Row};
use crate::{
    layout::Layout,
    signals,
    terminal::{failure::Failure, printable::line, stdout::print},
};

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

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Usage { ref hint, .. } => {
                let failure = Self::usage(error.to_string());
                hint.iter().fold(failure, Failure::hint)
            }
            CheckError::Stopped(signal) => Self::from_error(&error).status(128 + signal),
            CheckError::Failed(_) => Self::from_error(&error),
        }
    }
}

/// Runs the command: exit status 1 if a check has failed.
pub(crate) fn run(args: &CheckArgs) -> Result<i32, Failure> {
    let (only, skip) = (named(&args.only)?, named(&args.skip)?);
    let wanted = |check: Check| (only.is_empty() || only.contains(&check)) && !skip.contains(&check);
    if !Check::ALL.into_iter().any(wanted) {
        return Err(Failure::usage("no check is left: --skip names all that --only does"));
    }
    let file = match &args.file {
        Some(file) if !args.list => file,
        _ => {
            let checks: Vec<Check> = Check::ALL.into_iter().filter(|check| wanted(*check)).collect();
            print(&report::list(&checks, args.json))?;
            return Ok(0);
        }
    };
    let seed = args.seed.unwrap_or_else(checks::random_seed);
    let request = Request {
        file: file.clone(),
        preos: args.preos.clone(),
        arguments: args.arguments.clone(),
        seed,
        limit: Duration::from_secs(args.limit),
        program: Layout::find_or_fail()?.program,
        stop: stop_on_signals()?,
    };
    let mut report = CheckReport::new(file, seed, args);
    checks::run(request, wanted, |check, verdict| report.add(Row { check, verdict }))?;
    report.finish()
}

/// Holds the signal that has asked this process to stop, or 0.
fn stop_on_signals() -> Result<Arc<AtomicUsize>, Failure> {
    let stop = Arc::new(AtomicUsize::new(0));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let number = usize::try_from(signal).unwrap_or(1);
        signal_hook::flag::register_usize(signal, Arc::clone(&stop), number)
            .map_err(|error| Failure::new(format!("listening for signals: {error}")))?;
    }
    Ok(stop)
}

/// Runs as the process that supervises a run of the plugin.
pub(crate) fn supervise(words: &[OsString]) -> Result<i32, Failure> {
    let program = Layout::find_or_fail()?.program;
    let cancel = || signals::cancel_on_signals().map_err(|failure| failure.message().to_owned());
    checks::supervise(words, &program, &cancel)?;
    Ok(0)
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
