//! The report of `cdist config --json`: one document on standard output. `docs/config-output.md` is its description.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use cdist_core::{
    config::{Mode, ObjectName, RunReport},
    runs::{HostFailure, HostResult, HostState},
};
use serde::Serialize;

use crate::terminal::printable;

/// Raised when a field changes its meaning or goes; new fields do not raise it.
const FORMAT: u32 = 1;
/// The most of one piece of code that goes into the document; the file has all of it.
const CODE_MAX: u64 = 256 * 1024;

/// What of the run the document holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    /// What kind of objects were worked on.
    pub(crate) mode: Mode,
    /// Nothing was run; the code is part of the document.
    pub(crate) dry_run: bool,
    /// Shows what is marked as secret.
    pub(crate) reveal: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    command: &'static str,
    dry_run: bool,
    seconds: f64,
    exit_status: u8,
    hosts: Vec<Host<'a>>,
}

#[derive(Serialize)]
struct Host<'a> {
    host: &'a str,
    state: HostState,
    objects: usize,
    done: usize,
    changed: Vec<Object>,
    seconds: f64,
    round_trips: u64,
    files: Option<String>,
    error: Option<HostFailure>,
}

#[derive(Serialize)]
struct Object {
    name: String,
    secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<BTreeMap<&'static str, Code>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Serialize)]
struct Code {
    text: String,
    complete: bool,
}

/// Writes the document.
///
/// # Errors
///
/// Standard output cannot be written to.
pub(crate) fn write(
    out: &mut dyn Write,
    content: Content,
    results: &[HostResult],
    seconds: f64,
    exit_status: u8,
) -> io::Result<()> {
    let document = Document {
        format: FORMAT,
        command: if content.mode == Mode::Install { "install" } else { "config" },
        dry_run: content.dry_run,
        seconds,
        exit_status,
        hosts: results.iter().map(|result| host(result, content)).collect(),
    };
    writeln!(out, "{}", printable::json(&serde_json::to_string_pretty(&document)?))
}

fn host(result: &HostResult, content: Content) -> Host<'_> {
    let report = &result.report;
    Host {
        host: &result.host,
        state: result.state,
        objects: report.objects,
        done: report.done,
        changed: report.changed.iter().map(|name| object(report, name, content)).collect(),
        seconds: report.elapsed.as_secs_f64(),
        round_trips: report.remote_calls,
        files: result.files(),
        error: result.failure(),
    }
}

fn object(report: &RunReport, name: &ObjectName, content: Content) -> Object {
    let secret = report.is_secret(name);
    let shown = content.reveal || !secret;
    let code = (content.dry_run && shown).then(|| {
        let pieces = report.code(name).into_iter();
        pieces.filter_map(|(place, path)| Some((place, code(&path).ok()?))).collect()
    });
    let diff = report.diff(name).map(|diff| String::from_utf8_lossy(&diff).into_owned());
    Object { name: name.to_string(), secret, code, diff }
}

fn code(path: &Path) -> io::Result<Code> {
    let file = File::open(path)?;
    let complete = file.metadata()?.len() <= CODE_MAX;
    let mut bytes = Vec::new();
    file.take(CODE_MAX).read_to_end(&mut bytes)?;
    Ok(Code { text: String::from_utf8_lossy(&bytes).into_owned(), complete })
}
