//! What is said of each host and at the end: explanations, code and differences, summary, JSON report.

use std::io::{self, IsTerminal};

use cdist_core::config::{
    Mode,
    log::{Level, LogSink},
};

use crate::{
    host_result::{self, HostResult, State},
    json_report::{self, Content},
    log_lines::LogLines,
    plan::Plan,
    run_args::RunArgs,
};

/// Says how the work went.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    log: LogLines,
    plan: Plan,
    /// What the report holds; `None`: there is none.
    report: Option<Content>,
    dry_run: bool,
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
        Self { log, plan, report: json.then_some(Content { mode, dry_run, reveal }), dry_run }
    }

    /// A host has ended: why it failed, then what it did or would do.
    pub(crate) fn host(&self, result: &HostResult) {
        if let Some(text) = result.explanation().filter(|_| result.state == State::Failed) {
            self.log.log(Level::Error, &result.host, &text);
        }
        self.warn_of(self.log.table.output(|out| self.plan.print(out, result)));
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
            self.warn_of(table.output(|out| json_report::write(out, content, results, seconds, exit_status)));
        }
    }

    /// True if a script of another run has started this one.
    fn is_inner(&self) -> bool {
        self.log.table.is_own() && (self.log.outer.is_some() || std::env::var_os("__object").is_some())
    }

    fn warn_of(&self, written: io::Result<()>) {
        match written {
            // Whoever closes the pipe has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.log.log(Level::Warning, "cdist", &format!("writing to standard output: {error}"));
            }
            _ => {}
        }
    }
}
