//! What is said of each host and at the end: explanations, code and differences, summary, JSON report.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cdist_core::{
    config::{
        Mode, Streams,
        log::{Level, LogSink},
    },
    progress::Progress,
    runs::{HostObserver, HostResult, HostState, Observer, Piped},
};

use super::{
    json_report::{self, Content},
    plan::Plan,
    run_args::RunArgs,
    summary::summary,
};
use crate::terminal::{host_table::HostLine, log_lines::LogLines};

/// Says how the work goes, and how it went.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    log: LogLines,
    plan: Plan,
    /// What the report holds; `None`: there is none.
    report: Option<Content>,
    dry_run: bool,
    /// Something that was asked for could not be written.
    is_lost: Arc<AtomicBool>,
}

impl Output {
    /// In the form that the user asks for; `json`: as one document.
    pub(crate) fn new(args: &RunArgs, json: bool, mode: Mode, log: LogLines) -> Self {
        let (dry_run, reveal) = (args.dry_run, args.reveal_secrets);
        let plan = Plan {
            code: dry_run && !json,
            diff: args.diff && !json,
            reveal,
            escaped: log.table.is_own() && io::stdout().is_terminal(),
        };
        let report = json.then_some(Content { mode, dry_run, reveal });
        Self { log, plan, report, dry_run, is_lost: Arc::default() }
    }

    /// True if a script of another run has started this one.
    fn is_inner(&self) -> bool {
        self.log.table.is_own() && (self.log.outer.is_some() || std::env::var_os("__object").is_some())
    }

    fn take(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.is_lost.store(true, Ordering::Relaxed);
            self.log.log(Level::Error, "cdist", &error.to_string());
        }
    }
}

impl LogSink for Output {
    fn log(&self, level: Level, name: &str, message: &str) {
        self.log.log(level, name, message);
    }

    fn pass_on(&self, level: Level, name: &str, message: &str) {
        self.log.pass_on(level, name, message);
    }
}

impl Observer for Output {
    fn level(&self) -> Level {
        self.log.level
    }

    fn is_colored(&self) -> bool {
        self.log.colored
    }

    fn script_output(&self) -> io::Result<Option<(Streams, Piped)>> {
        self.log.table.script_output()
    }

    fn begin(&self, host: &str) -> Box<dyn HostObserver> {
        Box::new(HostOutput { output: self.clone(), line: self.log.table.begin(host) })
    }

    fn end(&self, results: &[HostResult], elapsed: Duration, exit_status: u8) {
        for (state, line) in summary(results, self.dry_run) {
            if self.is_inner() {
                // The outer run has a summary of its own.
                self.log.log(Level::Info, "config", &line);
            } else if self.log.level < Level::Off && (state != HostState::Done || self.log.tells_success()) {
                self.log.table.error_text(&format!("{line}\n"));
            }
        }
        if let Some(content) = self.report {
            let seconds = elapsed.as_secs_f64();
            let table = &self.log.table;
            self.take(table.output(|out| json_report::write(out, content, results, seconds, exit_status)));
        }
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

/// Says how the work on one host goes.
struct HostOutput {
    output: Output,
    line: HostLine,
}

impl HostObserver for HostOutput {
    fn progress(&self) -> Progress {
        self.line.progress()
    }

    /// Why the host failed, then what it did or would do.
    fn end(self: Box<Self>, result: &HostResult) {
        let Self { output, line } = *self;
        line.end(result, output.log.tells_success());
        if let Some(text) = result.explanation().filter(|_| result.state == HostState::Failed) {
            output.log.log(Level::Error, &result.host, &text);
        }
        output.take(output.log.table.output(|out| output.plan.print(out, result)));
    }
}
