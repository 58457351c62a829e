//! What is told of a job: in its log, as `cdist config -v` would print it.

use std::sync::Arc;

use cdist_core::{
    config::{Mode, settings::Settings},
    runs::{Observer, at_a_time},
    trigger::worker::{JobLog, Observers},
};

use crate::{
    config::{output::Output, run_args::RunArgs},
    terminal::{host_table::HostTable, log_lines::LogLines},
};

/// Tells of jobs as the user wants it.
#[derive(Debug)]
pub(crate) struct JobLines {
    args: RunArgs,
    settings: Settings,
}

impl JobLines {
    pub(crate) fn new(args: RunArgs, settings: Settings) -> Self {
        Self { args, settings }
    }
}

impl Observers for JobLines {
    fn observer(&self, mode: Mode, log: Arc<JobLog>) -> Arc<dyn Observer> {
        let mut lines = LogLines { table: HostTable::of_log(log), ..LogLines::new() };
        self.args.log.apply_to_log(&self.settings, &mut lines);
        lines.with_pid = at_a_time(self.settings.jobs).is_some();
        lines.with_time = self.args.with_time(&self.settings);
        Arc::new(Output::new(&self.args, false, mode, lines))
    }
}
