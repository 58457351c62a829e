//! A host for tests of plugins.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use abi_stable::std_types::{ROption, RResult, RStr, RString};

use crate::{Extension, Host, HostServices, PluginError, PreOs, Record, StepId};

/// Something that a plugin asked of a [`FakeHost`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// A log line: level number and text.
    Log(u8, String),
    /// A step began.
    StepBegin(String),
    /// A step ended, well or not, and with what.
    StepEnd(bool, String),
    /// A command was to be run.
    Run(Record),
    /// A recipe was to be built.
    Build(Record),
    /// A root directory was to be configured.
    Configure(String, Record),
}

type Answer = Result<Record, PluginError>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    conf: HashMap<String, String>,
    data_dirs: HashMap<String, String>,
    run_answers: Vec<Answer>,
    build_answer: Option<Answer>,
    configure_answer: Option<Answer>,
    cancelled: bool,
    verbosity: i32,
    beta: bool,
}

/// A host that does nothing, records every request and answers as the test wants. Clones share their state.
#[derive(Clone, Default)]
pub struct FakeHost(Arc<Mutex<State>>);

impl FakeHost {
    /// A host that answers every request with success.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Sets a value of cdist's configuration.
    #[must_use]
    pub fn conf(self, key: &str, value: &str) -> Self {
        self.with(|state| state.conf.insert(key.to_owned(), value.to_owned()));
        self
    }

    /// Sets the data directory of a type.
    #[must_use]
    pub fn data_dir(self, type_name: &str, dir: &str) -> Self {
        self.with(|state| state.data_dirs.insert(type_name.to_owned(), dir.to_owned()));
        self
    }

    /// Answers the next command that has no answer yet: its standard output, or its failure.
    #[must_use]
    pub fn answer_run(self, answer: Result<&str, PluginError>) -> Self {
        let answer = answer.map(|stdout| {
            let mut record = Record::new("report", 1);
            record.push("stdout", stdout);
            record
        });
        self.with(|state| state.run_answers.insert(0, answer));
        self
    }

    /// Answers every build.
    #[must_use]
    pub fn answer_build(self, answer: Result<Record, PluginError>) -> Self {
        self.with(|state| state.build_answer = Some(answer));
        self
    }

    /// Answers every configuration of a root directory.
    #[must_use]
    pub fn answer_configure(self, answer: Result<Record, PluginError>) -> Self {
        self.with(|state| state.configure_answer = Some(answer));
        self
    }

    /// Sets how much the user wants to read, as [`Host::verbosity`] tells it.
    #[must_use]
    pub fn verbosity(self, verbosity: i32) -> Self {
        self.with(|state| state.verbosity = verbosity);
        self
    }

    /// Pretends that the user allows beta features.
    #[must_use]
    pub fn beta(self) -> Self {
        self.with(|state| state.beta = true);
        self
    }

    /// Pretends that the user asked to stop.
    pub fn cancel(&self) {
        self.with(|state| state.cancelled = true);
    }

    /// Everything that was asked so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.with(|state| state.calls.clone())
    }

    /// The host to hand to a plugin.
    pub fn host(&self) -> Host {
        Host::new(self.clone())
    }

    /// Runs a PreOS as cdist would: a panic becomes an error.
    ///
    /// # Errors
    ///
    /// What the PreOS returns.
    pub fn commandline<T: PreOs>(&self, args: &[&str]) -> Result<i32, PluginError> {
        let args: Vec<RString> = args.iter().map(|&arg| RString::from(arg)).collect();
        crate::export::commandline::<T>(args.as_slice().into(), &self.host()).into_result()
    }

    fn answer(&self, call: Call, answer: Option<Answer>) -> RResult<RString, PluginError> {
        self.with(|state| state.calls.push(call));
        answer
            .unwrap_or_else(|| Ok(Record::new("report", 1)))
            .map(|record| RString::from(record.to_text()))
            .into()
    }
}

fn parse(text: RStr<'_>) -> Result<Record, PluginError> {
    Ok(Record::parse(text.as_str())?)
}

impl HostServices for FakeHost {
    fn log(&self, level: u8, message: RStr<'_>) {
        self.with(|state| state.calls.push(Call::Log(level, message.to_string())));
    }

    fn step_begin(&self, name: RStr<'_>) -> StepId {
        self.with(|state| {
            state.calls.push(Call::StepBegin(name.to_string()));
            state.calls.len() as StepId
        })
    }

    fn step_progress(&self, _: StepId, _: u64, _: u64, _: RStr<'_>) {}

    fn step_end(&self, _: StepId, ok: bool, outcome: RStr<'_>) {
        self.with(|state| state.calls.push(Call::StepEnd(ok, outcome.to_string())));
    }

    fn cancelled(&self) -> bool {
        self.with(|state| state.cancelled)
    }

    fn conf(&self, key: RStr<'_>) -> ROption<RString> {
        self.with(|state| state.conf.get(key.as_str()).map(|v| RString::from(v.as_str()))).into()
    }

    fn data_dir(&self, type_name: RStr<'_>) -> ROption<RString> {
        self.with(|state| state.data_dirs.get(type_name.as_str()).map(|v| RString::from(v.as_str()))).into()
    }

    fn cdist_exe(&self) -> RString {
        "/usr/bin/cdist".into()
    }

    fn verbosity(&self) -> i32 {
        self.with(|state| state.verbosity)
    }

    fn beta(&self) -> bool {
        self.with(|state| state.beta)
    }

    fn run(&self, request: RStr<'_>) -> RResult<RString, PluginError> {
        let answer = self.with(|state| state.run_answers.pop());
        match parse(request) {
            Ok(record) => self.answer(Call::Run(record), answer),
            Err(error) => RResult::RErr(error),
        }
    }

    fn build(&self, recipe: RStr<'_>) -> RResult<RString, PluginError> {
        let answer = self.with(|state| state.build_answer.clone());
        match parse(recipe) {
            Ok(record) => self.answer(Call::Build(record), answer),
            Err(error) => RResult::RErr(error),
        }
    }

    fn configure(&self, root: RStr<'_>, request: RStr<'_>) -> RResult<RString, PluginError> {
        let answer = self.with(|state| state.configure_answer.clone());
        match parse(request) {
            Ok(record) => self.answer(Call::Configure(root.to_string(), record), answer),
            Err(error) => RResult::RErr(error),
        }
    }

    fn get_extension(&self, _: RStr<'_>) -> ROption<Extension> {
        ROption::RNone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandRequest, Recipe};

    struct Tiny;

    impl PreOs for Tiny {
        fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
            if args.is_empty() {
                panic!("no {}", "arguments");
            }
            let arch = host.run(&CommandRequest::new("uname").arg("-m"))?;
            host.build(&Recipe::new("tiny", args[0].as_str()).arch(arch.stdout().trim()).bootstrap())?;
            String::from_utf8(vec![0xff])?;
            Ok(0)
        }
    }

    #[test]
    fn records_requests_and_converts_errors() {
        let fake = FakeHost::new().answer_run(Ok("riscv64\n"));
        let error = fake.commandline::<Tiny>(&["/t"]).unwrap_err();
        assert_eq!(error.exit_code, 1);
        assert!(error.message().contains("invalid utf-8"), "{}", error.message());
        match fake.calls().as_slice() {
            [Call::Run(run), Call::Build(build)] => {
                assert_eq!(run.all("arg").collect::<Vec<_>>(), ["uname", "-m"]);
                assert_eq!(build.get("bootstrap.arch"), Some("riscv64"));
            }
            other => panic!("{:?}", other),
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = FakeHost::new().commandline::<Tiny>(&[]).unwrap_err();
        assert_eq!((error.exit_code, error.message()), (101, "the plugin panicked: no arguments"));
    }
}
