//! What `cdist plugin check` prints: for people a line for each check as it ends, for programs one JSON object.

use std::{ffi::OsStr, path::Path};

use cdist_core::plugin::checks::{Check, Verdict};
use serde_json::{Value, json};

use super::{CheckArgs, LIMIT};
use crate::terminal::{
    failure::Failure,
    printable::{json as json_text, line, quoted},
    stdout::print,
};

/// Longer reasons are cut: they may hold what a plugin says.
const REASON_MAX: usize = 600;

pub(super) struct Row {
    pub(super) check: Check,
    pub(super) verdict: Verdict,
}

impl Row {
    fn outcome(&self) -> (&'static str, Option<String>) {
        let (outcome, reason) = match &self.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Warning(reason) => ("warning", Some(reason)),
            Verdict::Failed(reason) => ("failed", Some(reason)),
            Verdict::Skipped(reason) => ("skipped", Some(reason)),
        };
        (outcome, reason.map(|reason| shortened(&line(reason.trim_end()))))
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

pub(super) struct CheckReport {
    file: String,
    seed: u64,
    json: bool,
    /// The command that does one check again.
    repeat: String,
    rows: Vec<Row>,
}

impl CheckReport {
    pub(super) fn new(file: &Path, seed: u64, args: &CheckArgs) -> Self {
        let word = |word: &OsStr| line(&quoted(Path::new(word)));
        let mut more =
            args.preos.as_ref().map(|name| format!(" --preos {}", word(name.as_ref()))).unwrap_or_default();
        if args.limit != LIMIT {
            more.push_str(&format!(" --limit {}", args.limit));
        }
        if !args.arguments.is_empty() {
            more.push_str(" --");
        }
        for argument in &args.arguments {
            more.push_str(&format!(" {}", word(argument)));
        }
        let repeat = format!("cdist plugin check {} --only NAME --seed {seed}{more}", word(file.as_os_str()));
        Self { file: line(&file.to_string_lossy()), seed, json: args.json, repeat, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Row) -> Result<(), Failure> {
        if !self.json {
            let (outcome, reason) = row.outcome();
            let text = format!(
                "{outcome:8} {:width$} {}",
                row.check.name(),
                reason.unwrap_or_default(),
                width = width()
            );
            print(&format!("{}\n", text.trim_end()))?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Prints what is left to say; the value is the exit status.
    pub(super) fn finish(&self) -> Result<i32, Failure> {
        let counts = ["passed", "warning", "failed", "skipped"]
            .map(|outcome| (outcome, self.rows.iter().filter(|row| row.outcome().0 == outcome).count()));
        let status = i32::from(counts.iter().any(|&(outcome, count)| outcome == "failed" && count > 0));
        if self.json {
            print(&self.to_json(&counts, status))?;
            return Ok(status);
        }
        let counts = counts
            .map(|(outcome, count)| {
                let s = if outcome == "warning" && count != 1 { "s" } else { "" };
                format!("{count} {outcome}{s}")
            })
            .join(", ");
        print(&format!("{counts}; seed {}; one check again: {}\n", self.seed, self.repeat))?;
        Ok(status)
    }

    fn to_json(&self, counts: &[(&str, usize)], status: i32) -> String {
        let checks: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (outcome, reason) = row.outcome();
                json!({"name": row.check.name(), "outcome": outcome, "reason": reason})
            })
            .collect();
        let counts: serde_json::Map<_, _> =
            counts.iter().map(|&(outcome, count)| (outcome.to_owned(), count.into())).collect();
        let value = json!({"file": self.file, "seed": self.seed, "status": status, "counts": counts, "checks": checks});
        json_text(&format!("{value:#}\n"))
    }
}

/// The names and descriptions of checks.
pub(super) fn list(checks: &[Check], as_json: bool) -> String {
    if as_json {
        let checks: Vec<Value> = checks
            .iter()
            .map(|check| json!({"name": check.name(), "description": check.description()}))
            .collect();
        return json_text(&format!("{:#}\n", json!(checks)));
    }
    checks
        .iter()
        .map(|check| format!("{:width$} {}\n", check.name(), check.description(), width = width()))
        .collect()
}

fn width() -> usize {
    Check::ALL.iter().map(|check| check.name().len()).max().unwrap_or(0)
}
