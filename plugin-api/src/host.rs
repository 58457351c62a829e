//! What cdist does for a plugin.

use abi_stable::{
    sabi_trait,
    std_types::{RArc, ROption, RResult, RStr, RString},
    StableAbi,
};

use crate::{CommandRequest, ConfigureRequest, Extension, PluginError, Recipe, Report};

/// Identifies a step that is under way.
pub type StepId = u64;

/// The services behind [`Host`], as they cross the ABI. FROZEN: growth comes through `get_extension`.
///
/// Authors call the methods of [`Host`]; cdist implements this trait.
#[sabi_trait]
pub trait HostServices: Send + Sync + 'static {
    /// Logs at a level of [`Level`]'s numbers.
    fn log(&self, level: u8, message: RStr<'_>);
    /// Begins a step.
    fn step_begin(&self, name: RStr<'_>) -> StepId;
    /// Moves a step on; `total` is 0 where it is not known.
    fn step_progress(&self, step: StepId, done: u64, total: u64, what: RStr<'_>);
    /// Ends a step.
    fn step_end(&self, step: StepId, ok: bool, outcome: RStr<'_>);
    /// True once the user asked to stop.
    fn cancelled(&self) -> bool;
    /// A setting of cdist's configuration, by its name in the config file.
    fn conf(&self, key: RStr<'_>) -> ROption<RString>;
    /// The directory with the data files of a PreOS.
    fn data_dir(&self, type_name: RStr<'_>) -> ROption<RString>;
    /// The absolute path of the running cdist program.
    fn cdist_exe(&self) -> RString;
    /// How much the user wants to read: -1 quiet, 0 normal, 1 to 4 for each `-v`.
    fn verbosity(&self) -> i32;
    /// True if the user allows beta features.
    fn beta(&self) -> bool;
    /// Runs a command, in the text form of [`CommandRequest`].
    fn run(&self, request: RStr<'_>) -> RResult<RString, PluginError>;
    /// Builds a recipe, in the text form of [`Recipe`].
    fn build(&self, recipe: RStr<'_>) -> RResult<RString, PluginError>;
    /// Configures a root directory, in the text form of [`ConfigureRequest`].
    fn configure(&self, root: RStr<'_>, request: RStr<'_>) -> RResult<RString, PluginError>;
    /// An ability that 1.0 did not know.
    #[sabi(last_prefix_field)]
    fn get_extension(&self, id: RStr<'_>) -> ROption<Extension>;
}

/// How important a log line is; the numbers are those of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Level {
    /// For finding errors in a plugin.
    Debug = 10,
    /// Details that an administrator may want.
    Verbose = 15,
    /// The course of the work.
    Info = 20,
    /// Something to look at.
    Warning = 30,
    /// A failure.
    Error = 40,
}

/// The host of a plugin: cdist, or in tests a `FakeHost`.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct Host {
    services: HostServices_TO<RArc<()>>,
}

impl Host {
    /// Wraps an implementation of the services.
    pub fn new<S: HostServices>(services: S) -> Self {
        Self { services: HostServices_TO::from_ptr(RArc::new(services), sabi_trait::TD_Opaque) }
    }

    /// The services as they cross the ABI, for bindings to other languages, which have the texts already.
    #[doc(hidden)]
    pub fn services(&self) -> &HostServices_TO<RArc<()>> {
        &self.services
    }

    /// Logs a line.
    pub fn log(&self, level: Level, message: &str) {
        self.services.log(level as u8, message.into());
    }

    /// Runs `work` as a step with a name and a duration, which the user sees.
    ///
    /// # Errors
    ///
    /// What `work` returns; the step is then shown as failed.
    pub fn step<T>(
        &self,
        name: &str,
        work: impl FnOnce(StepId) -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        let id = self.services.step_begin(name.into());
        let result = work(id);
        self.services.step_end(id, result.is_ok(), "".into());
        result
    }

    /// Moves a step on. `total` is `None` where it is not known.
    pub fn progress(&self, step: StepId, done: u64, total: Option<u64>, what: &str) {
        self.services.step_progress(step, done, total.unwrap_or(0), what.into());
    }

    /// True once the user asked to stop; long work should look now and then.
    pub fn cancelled(&self) -> bool {
        self.services.cancelled()
    }

    /// A setting of cdist's configuration, by its name in the config file.
    pub fn conf(&self, key: &str) -> Option<String> {
        self.services.conf(key.into()).into_option().map(RString::into_string)
    }

    /// The directory with the data files of a PreOS: a directory beside the plugin's file, named as
    /// the type in lower case. `None` if there is none.
    pub fn data_dir(&self, type_name: &str) -> Option<String> {
        self.services.data_dir(type_name.into()).into_option().map(RString::into_string)
    }

    /// The absolute path of the running cdist program.
    pub fn cdist_exe(&self) -> String {
        self.services.cdist_exe().into_string()
    }

    /// How much the user wants to read: -1 quiet, 0 normal, 1 to 4 for each `-v`.
    pub fn verbosity(&self) -> i32 {
        self.services.verbosity()
    }

    /// True if the user allows beta features.
    pub fn beta(&self) -> bool {
        self.services.beta()
    }

    /// Runs a command to its end and returns what it wrote to standard output.
    ///
    /// # Errors
    ///
    /// It could not be started, failed, or was cancelled; the message has its command line, its exit status and
    /// its last words.
    pub fn run(&self, command: &CommandRequest) -> Result<Report, PluginError> {
        Ok(Report::parse(&self.services.run(command.to_text().as_str().into()).into_result()?)?)
    }

    /// Builds a PreOS.
    ///
    /// # Errors
    ///
    /// The first step that fails; nothing half-made is left.
    pub fn build(&self, recipe: &Recipe) -> Result<Report, PluginError> {
        Ok(Report::parse(&self.services.build(recipe.to_text().as_str().into()).into_result()?)?)
    }

    /// Configures the root file system in the directory `root`.
    ///
    /// # Errors
    ///
    /// The first object that fails, with its name and output.
    pub fn configure(&self, root: &str, request: &ConfigureRequest) -> Result<Report, PluginError> {
        let text = request.to_text();
        Ok(Report::parse(&self.services.configure(root.into(), text.as_str().into()).into_result()?)?)
    }

    /// An ability that 1.0 did not know.
    pub fn get_extension(&self, id: &str) -> Option<Extension> {
        self.services.get_extension(id.into()).into_option()
    }
}
