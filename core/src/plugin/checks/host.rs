//! The host that a plugin meets in a check: it answers as the check wants, and never runs, builds or configures anything.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use cdist_plugin_api::{
    Extension, HostServices, PluginError, Record, StepId,
    abi::{ROption, RResult, RStr, RString},
};
use serde::{Deserialize, Serialize};

use super::events::{Event, Events};
use crate::{host::Cancel, preos::services::data_dir};

/// How often a service that waits looks whether it is cancelled.
const POLL: Duration = Duration::from_millis(10);
/// The error of a service that refuses.
pub(super) const REFUSED: &str = "refused, because this is a check";

/// What the services answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answers {
    /// All is done, and there is no output.
    Done,
    /// An error.
    Errors,
    /// Nothing until the user cancels, and then an error that says so.
    Wait,
}

#[derive(Debug)]
pub(super) struct CheckHost {
    pub(super) answers: Answers,
    pub(super) events: Arc<Events>,
    pub(super) cancel: Cancel,
    /// Told when the first service is called.
    pub(super) called: Sender<()>,
    /// The plugin's file, if the plugin may find its data.
    pub(super) plugin_file: Option<PathBuf>,
    pub(super) program: PathBuf,
    pub(super) steps: AtomicU64,
}

impl CheckHost {
    fn answer(&self, service: &str) -> RResult<RString, PluginError> {
        self.events.put(&Event::Called(service.to_owned()));
        // Only runs that are cancelled have a receiver.
        let _ = self.called.send(());
        if self.answers == Answers::Wait {
            while !self.cancel.is_cancelled() {
                thread::sleep(POLL);
            }
        }
        if self.cancel.is_cancelled() {
            return RResult::RErr(PluginError { exit_code: 130, message: "cancelled".into() });
        }
        match self.answers {
            Answers::Errors => RResult::RErr(PluginError::new(REFUSED)),
            Answers::Done | Answers::Wait => {
                let mut report = Record::new("report", 1);
                report.push("stdout", "");
                RResult::ROk(report.to_text().into())
            }
        }
    }
}

impl HostServices for CheckHost {
    fn log(&self, _: u8, _: RStr<'_>) {}

    fn step_begin(&self, _: RStr<'_>) -> StepId {
        self.steps.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn step_progress(&self, _: StepId, _: u64, _: u64, _: RStr<'_>) {}

    fn step_end(&self, _: StepId, _: bool, _: RStr<'_>) {}

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn conf(&self, _: RStr<'_>) -> ROption<RString> {
        ROption::RNone
    }

    fn data_dir(&self, type_name: RStr<'_>) -> ROption<RString> {
        let file = self.plugin_file.as_ref();
        file.and_then(|file| data_dir(file, &type_name)).map(RString::from).into()
    }

    fn cdist_exe(&self) -> RString {
        RString::from(self.program.display().to_string())
    }

    fn verbosity(&self) -> i32 {
        0
    }

    fn beta(&self) -> bool {
        false
    }

    fn run(&self, _: RStr<'_>) -> RResult<RString, PluginError> {
        self.answer("run")
    }

    fn build(&self, _: RStr<'_>) -> RResult<RString, PluginError> {
        self.answer("build")
    }

    fn configure(&self, _: RStr<'_>, _: RStr<'_>) -> RResult<RString, PluginError> {
        self.answer("configure")
    }

    fn get_extension(&self, _: RStr<'_>) -> ROption<Extension> {
        ROption::RNone
    }
}
