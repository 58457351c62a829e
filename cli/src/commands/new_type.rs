//! `cdist new-type`: a type to begin with.

use std::{path::PathBuf, process::ExitCode};

use cdist_core::config::{
    log::{Level, LogSink},
    skeleton::{self, Form},
};

use crate::terminal::{
    log_lines::{LogLines, is_colored},
    refusal::Refusal,
    stdout,
};

/// The options of `cdist new-type`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewTypeArgs {
    /// Name of the type, such as __my_service
    #[arg(value_name = "NAME")]
    name: String,
    /// Configuration directory in which to make it [default: ~/.cdist]
    #[arg(short, long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Make it of other types, instead of an explorer and code for the target
    #[arg(short, long)]
    manifest: bool,
}

/// Runs the command: prints the directory of the new type. A failure is one line on standard error and exit status 1.
pub(crate) fn run(args: &NewTypeArgs) -> ExitCode {
    let log = LogLines { colored: is_colored(None), ..LogLines::new() };
    match create(args).and_then(|dir| Ok(stdout::write(|out| writeln!(out, "{}", dir.display()))?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            log.log(Level::Error, "cdist", &refusal.0);
            ExitCode::FAILURE
        }
    }
}

fn create(args: &NewTypeArgs) -> Result<PathBuf, Refusal> {
    let home = || std::env::var_os("HOME").filter(|home| !home.is_empty());
    let dir = match args.dir.clone().or_else(|| Some(PathBuf::from(home()?).join(".cdist"))) {
        Some(dir) => dir,
        None => return Err(Refusal("there is no home directory for the type; use --dir".to_owned())),
    };
    let form = if args.manifest { Form::Manifest } else { Form::Code };
    Ok(skeleton::create(&dir, &args.name, form)?)
}
