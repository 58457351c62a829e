//! `cdist check-type`: what is wrong with types.

use std::{path::PathBuf, process::ExitCode};

use cdist_core::config::check::{Finding, Severity, check};
use serde_json::json;

use crate::terminal::{failure::Failure, printable, stdout};

/// The options of `cdist check-type`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckTypeArgs {
    /// Directories of types, such as ~/.cdist/type/__example
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Fail at warnings too
    #[arg(long)]
    strict: bool,
    /// Print a JSON array of objects with path, severity and text
    #[arg(long)]
    json: bool,
}

/// Runs the command. Exit status: 1 if there are errors, or with --strict warnings; 0 if not.
pub(crate) fn run(args: &CheckTypeArgs) -> Result<ExitCode, Failure> {
    let findings: Vec<Finding> = args.dirs.iter().flat_map(|dir| check(dir)).collect();
    let text = if args.json { as_json(&findings) } else { as_lines(&findings) };
    stdout::print(&text)?;
    let fails = |finding: &Finding| args.strict || finding.severity == Severity::Error;
    Ok(if findings.iter().any(fails) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn as_json(findings: &[Finding]) -> String {
    let all: Vec<_> = findings
        .iter()
        .map(|finding| {
            let path = finding.path.display().to_string();
            json!({ "path": path, "severity": finding.severity.name(), "text": finding.text })
        })
        .collect();
    printable::json(&format!("{:#}\n", json!(all)))
}
