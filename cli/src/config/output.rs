//! What is said of each host and at the end: explanations, code and differences, summary, JSON report.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cdist_core::config::{
    Mode,
    log::{Level, LogSink},
};

use crate::{
    config::{
        host_result::{self, HostResult, State},
        json_report::{self, Content},
        plan::Plan,
        run_args::RunArgs,
    },
    terminal::log_lines::LogLines,
};

/// Says how the work went.
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

    /// A host has ended: why it failed, then what it did or would do.
    pub(crate) fn host(&self, result: &HostResult) {
        if let Some(text) = result.explanation().filter(|_| result.state == State::Failed) {
            self.log.log(Level::Error, &result.host, &text);
        }
        self.take(self.log.table.output(|out| self.plan.print(out, result)));
    }

    /// All hosts have ended.
    pub(crate) fn end(&self, results: &[HostResult], seconds: f64, exit_status: u8) {
        for (state, line) in host_result::summary(results, self.dry_run) {
            if self.is_inner() {
                // The outer run has a summary of its own.
                self.log.log(Level::Info, "config", &line);
            } else if self.log.level < Level::Off && (state != State::Done || self.log.tells_success()) {
                self.log.table.error_text(&format!("{line}\n"));
            }
        }
        if let Some(content) = self.report {
            let table = &self.log.table;
            self.take(table.output(|out| json_report::write(out, content, results, seconds, exit_status)));
        }
    }

    /// True if a script of another run has started this one.
    fn is_inner(&self) -> bool {
        self.log.table.is_own() && (self.log.outer.is_some() || std::env::var_os("__object").is_some())
    }

    /// True if something that was asked for could not be written to standard output.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn take(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.is_lost.store(true, Ordering::Relaxed);
            self.log.log(Level::Error, "cdist", &error.to_string());
        }
    }
}
