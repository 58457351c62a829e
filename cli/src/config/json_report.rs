//! The report of `cdist config --json`: one document on standard output. `docs/config-output.md` is its description.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
};

use cdist_core::config::{ConfigError, Mode, ObjectName, Report};
use serde::Serialize;

use crate::{
    config::host_result::{HostResult, State},
    terminal::printable,
};

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
    state: State,
    objects: usize,
    done: usize,
    changed: Vec<Object>,
    seconds: f64,
    round_trips: u64,
    files: Option<String>,
    error: Option<Failure>,
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

/// Why a host failed.
#[derive(Serialize)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) what: Option<String>,
    pub(crate) script: Option<&'static str>,
    pub(crate) exit_status: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) facts: BTreeMap<&'static str, String>,
    pub(crate) streams: Vec<Stream>,
    text: String,
    hint: Option<String>,
}

/// What a script has said.
#[derive(Serialize)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) text: String,
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
        files: files(result),
        error: failure(result),
    }
}

/// Where the files of the run are, if they are still there.
pub(crate) fn files(result: &HostResult) -> Option<String> {
    result.report.files.as_ref().filter(|dir| dir.exists()).map(|dir| dir.display().to_string())
}

fn object(report: &Report, name: &ObjectName, content: Content) -> Object {
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

/// Why the host failed, if it did.
pub(crate) fn failure(result: &HostResult) -> Option<Failure> {
    if result.state != State::Failed {
        return None;
    }
    let reason = result.reason.clone().unwrap_or_default();
    let Some(error) = &result.error else {
        let text = reason.clone();
        return Some(Failure {
            reason,
            what: None,
            script: None,
            exit_status: None,
            signal: None,
            facts: BTreeMap::new(),
            streams: Vec::new(),
            text,
            hint: None,
        });
    };
    let entity = error.entity();
    let streams = entity.map(|e| e.streams.as_slice()).unwrap_or_default();
    Some(Failure {
        reason,
        what: entity.map(|e| e.what.clone()),
        script: error.script(),
        exit_status: error.status().and_then(|s| s.code()),
        signal: error.status().and_then(|s| s.signal()),
        facts: entity.map(|e| e.facts.iter().cloned().collect()).unwrap_or_default(),
        streams: streams
            .iter()
            .map(|(name, text)| Stream { name: name.clone(), text: text.clone() })
            .collect(),
        text: cause_text(error),
        hint: error.hint(),
    })
}

/// What failed, without what is in the other fields.
fn cause_text(error: &ConfigError) -> String {
    match error {
        ConfigError::Entity { source, .. } => source.report(),
        other => other.report(),
    }
}
