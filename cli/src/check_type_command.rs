//! `cdist check-type`: what is wrong with types.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use cdist_core::config::check::{Finding, Severity, check};
use serde_json::json;

use crate::printable;

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
pub(crate) fn run(args: &CheckTypeArgs) -> ExitCode {
    let findings: Vec<Finding> = args.dirs.iter().flat_map(|dir| check(dir)).collect();
    let text = if args.json { as_json(&findings) } else { as_lines(&findings) };
    // A reader that went away early is no failure of ours.
    let _ = io::stdout().write_all(text.as_bytes());
    let fails = |finding: &Finding| args.strict || finding.severity == Severity::Error;
    if findings.iter().any(fails) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
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
