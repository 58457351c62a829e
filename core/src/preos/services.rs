//! What a plugin sees of cdist: the implementation of the plugin API's host.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cdist_plugin_api::{
    Extension, HostServices, PluginError, Record, StepId,
    abi::{ROption, RResult, RStr, RString},
};

use super::{
    BuildError, Environment, Recipe, build, build_log::BuildLog, check, configure, recipe::Configure,
};
use crate::{
    config::settings::Settings,
    host::{Cancel, Command, CommandError},
    progress::{Progress, Step, Unit},
};

/// What a plugin's run knows of the program around it.
#[derive(Debug)]
pub struct PluginContext {
    /// The name of the PreOS.
    pub preos: String,
    /// The plugin's file.
    pub plugin_file: PathBuf,
    /// The running program.
    pub cdist_exe: PathBuf,
    /// The distribution's conf directory.
    pub distribution_conf: PathBuf,
    /// Conf directories of the command line.
    pub conf_dirs: Vec<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// How much the user wants to read: -1 quiet, 0 normal, 1 to 4 for each `-v`.
    pub verbosity: i32,
    /// True if the user allows beta features.
    pub beta: bool,
    /// Where steps are told.
    pub progress: Progress,
    /// Set when the user asks to stop.
    pub cancel: Cancel,
}

/// The services of one plugin run.
#[derive(Debug)]
pub struct Services {
    context: PluginContext,
    steps: Mutex<(StepId, HashMap<StepId, Step>)>,
    log: Mutex<Option<BuildLog>>,
}

impl Services {
    /// The services for a run.
    pub fn new(context: PluginContext) -> Self {
        Self { context, steps: Mutex::default(), log: Mutex::default() }
    }

    fn steps(&self) -> MutexGuard<'_, (StepId, HashMap<StepId, Step>)> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of this run, created when it is first needed.
    fn build_log(&self) -> Result<BuildLog, PluginError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &*log {
            return Ok(log.clone());
        }
        let home = self.context.home.clone().unwrap_or_else(std::env::temp_dir);
        let dir = home.join(".cdist/log");
        let created = BuildLog::create(&dir, &self.context.preos).map_err(|error| {
            PluginError::new(format!("creating a log file in {}: {error}", dir.display()))
        })?;
        Ok(log.insert(created).clone())
    }

    fn environment(&self) -> Result<Environment, PluginError> {
        let context = &self.context;
        let user = context.home.iter().map(|home| home.join(".cdist"));
        Ok(Environment {
            cdist_exe: context.cdist_exe.clone(),
            conf_dirs: std::iter::once(context.distribution_conf.clone())
                .chain(user)
                .chain(context.conf_dirs.iter().cloned())
                .collect(),
            progress: context.progress.clone(),
            cancel: context.cancel.clone(),
            log: self.build_log()?,
        })
    }

    fn build_recipe(&self, text: &str) -> Result<Record, PluginError> {
        let recipe = Recipe::parse(text)?;
        // Mistakes of the caller need no log file; without root there may be no place for one.
        check(&recipe)?;
        let environment = self.environment()?;
        let log = environment.log.path();
        build(&recipe, &environment).map_err(|error| {
            if let Some(state) = state_after_cancel(&error) {
                return PluginError { exit_code: 130, message: format!("cancelled; {state}").into() };
            }
            let shows_log = matches!(error, BuildError::Bootstrap { .. } | BuildError::Configure { .. });
            let error = PluginError::from(error);
            if shows_log { PluginError::new(with_log(error.message(), log)) } else { error }
        })
    }

    fn run_command(&self, text: &str) -> Result<Record, PluginError> {
        let record = parsed(text, "command", &["arg", "env", "cwd", "stdin"])?;
        let mut words = record.all("arg");
        let program = words
            .next()
            .ok_or_else(|| PluginError::new("the plugin asks for a command without a program"))?;
        let log = self.build_log()?;
        let mut command = Command::new(program).args(words).cancel(&self.context.cancel).log(log.file());
        for assignment in record.all("env") {
            let (name, value) =
                assignment.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    PluginError::new("the plugin asks for a command with an `env` that is not NAME=VALUE")
                })?;
            command = command.env(name, value);
        }
        if let Some(dir) = record.get("cwd") {
            command = command.cwd(dir);
        }
        if let Some(stdin) = record.get("stdin") {
            command = command.stdin(stdin);
        }
        let output = command.run().map_err(|error| match error {
            CommandError::Cancelled { .. } => PluginError { exit_code: 130, message: "cancelled".into() },
            error => error.into(),
        })?;
        let mut report = Record::new("report", 1);
        report.push("stdout", String::from_utf8_lossy(&output.stdout).into_owned());
        Ok(report)
    }

    fn configure_root(&self, root: &str, text: &str) -> Result<Record, PluginError> {
        let record = parsed(text, "configure", &["manifest", "conf-dir"])?;
        let mut environment = self.environment()?;
        environment.conf_dirs.extend(record.all("conf-dir").map(PathBuf::from));
        let request = Configure {
            manifest: record.get("manifest").unwrap_or_default().to_owned(),
            ..Configure::default()
        };
        configure::run(Path::new(root), &request, &environment).map_err(|error| {
            PluginError::new(with_log(PluginError::from(error).message(), environment.log.path()))
        })?;
        Ok(Record::new("report", 1))
    }

    fn setting(&self, key: &str) -> Option<String> {
        let settings = Settings::load(None)
            .inspect_err(|error| tracing::warn!("reading the configuration for a plugin: {error}"))
            .ok()?;
        let path = |path: Option<PathBuf>| path.map(|path| path.to_string_lossy().into_owned());
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        match key {
            "beta" => settings.beta.map(|beta| beta.to_string()),
            "cache_path_pattern" => settings.cache_path_pattern,
            "conf_dir" => settings
                .conf_dir
                .map(|dirs| dirs.iter().map(|dir| dir.to_string_lossy()).collect::<Vec<_>>().join(":")),
            "init_manifest" => path(settings.init_manifest),
            "inventory_dir" => path(settings.inventory_dir),
            "jobs" => number(settings.jobs),
            "local_shell" => path(settings.local_shell),
            "out_path" => path(settings.out_path),
            "parallel" => number(settings.parallel),
            "remote_copy" => settings.remote_copy,
            "remote_exec" => settings.remote_exec,
            "remote_out_path" => path(settings.remote_out_path),
            "remote_shell" => settings.remote_shell,
            "verbosity" => settings.verbosity.map(|level| level.name().to_owned()),
            _ => None,
        }
    }
}

/// What the user finds after a build that was cancelled; `None` if the error is another one.
fn state_after_cancel(error: &BuildError) -> Option<String> {
    if !error.is_cancelled() {
        return None;
    }
    Some(match error {
        BuildError::Configure { target, .. } => {
            format!("{} is configured in part, give -C again to go on", target.display())
        }
        BuildError::Remove(_) => "the root directory is removed in part".to_owned(),
        BuildError::Pxe(_) => "the netboot directory is as it was before".to_owned(),
        BuildError::Bootstrap { target, .. } | BuildError::Seal { target, .. } => {
            format!("{} is as it was before", target.display())
        }
        BuildError::Recipe(_) | BuildError::NotRoot | BuildError::Untrusted(_) | BuildError::Mount { .. } => {
            "nothing was done".to_owned()
        }
    })
}

/// The log's path, so that the reader knows where to look next; not if there is nothing to read.
fn with_log(message: &str, log: &Path) -> String {
    let message = message.trim_end();
    match std::fs::metadata(log) {
        Ok(file) if file.len() > 0 => format!("{message}\nlog: {}", log.display()),
        _ => message.to_owned(),
    }
}

/// A request of a plugin, refused if it is of a kind, version or key that this program does not know.
fn parsed(text: &str, kind: &str, keys: &[&str]) -> Result<Record, PluginError> {
    let record = Record::parse(text)?;
    if record.kind() != kind || record.version() != 1 {
        let (kind, version) = (record.kind(), record.version());
        return Err(PluginError::new(format!("the plugin asks for a `{kind} {version}`; use a newer cdist")));
    }
    if let Some((key, _)) = record.fields().find(|(key, _)| !keys.contains(key) && !key.starts_with('?')) {
        return Err(PluginError::new(format!("the plugin asks for `{key}` in a {kind}; use a newer cdist")));
    }
    Ok(record)
}

fn answer(result: Result<Record, PluginError>) -> RResult<RString, PluginError> {
    result.map(|record| RString::from(record.to_text())).into()
}

/// The directory with the data files of a PreOS: beside the plugin's file, named as the type in lower case, if it is there.
pub fn data_dir(plugin_file: &Path, type_name: &str) -> Option<String> {
    let dir = plugin_file.parent()?.join(type_name.to_lowercase());
    dir.is_dir().then(|| dir.display().to_string())
}

impl HostServices for Services {
    fn log(&self, level: u8, message: RStr<'_>) {
        let (plugin, text) = (self.context.preos.as_str(), message.as_str());
        match level {
            40.. => tracing::error!(host = plugin, "{text}"),
            30.. => tracing::warn!(host = plugin, "{text}"),
            20.. => tracing::info!(host = plugin, "{text}"),
            _ => tracing::debug!(host = plugin, "{text}"),
        }
    }

    fn step_begin(&self, name: RStr<'_>) -> StepId {
        let step = self.context.progress.step(name.as_str());
        let mut steps = self.steps();
        steps.0 += 1;
        let id = steps.0;
        steps.1.insert(id, step);
        id
    }

    fn step_progress(&self, step: StepId, done: u64, total: u64, what: RStr<'_>) {
        if let Some(step) = self.steps().1.get(&step) {
            step.advance(done, (total > 0).then_some(total), Unit::Items);
            if !what.is_empty() {
                step.doing(what.as_str());
            }
        }
    }

    fn step_end(&self, step: StepId, ok: bool, outcome: RStr<'_>) {
        if let Some(step) = self.steps().1.remove(&step).filter(|_| ok) {
            step.finish(outcome.as_str());
        }
    }

    fn cancelled(&self) -> bool {
        self.context.cancel.is_cancelled()
    }

    fn conf(&self, key: RStr<'_>) -> ROption<RString> {
        self.setting(key.as_str()).map(RString::from).into()
    }

    fn data_dir(&self, type_name: RStr<'_>) -> ROption<RString> {
        data_dir(&self.context.plugin_file, &type_name).map(RString::from).into()
    }

    fn cdist_exe(&self) -> RString {
        RString::from(self.context.cdist_exe.display().to_string())
    }

    fn verbosity(&self) -> i32 {
        self.context.verbosity
    }

    fn beta(&self) -> bool {
        self.context.beta
    }

    fn run(&self, request: RStr<'_>) -> RResult<RString, PluginError> {
        answer(self.run_command(request.as_str()))
    }

    fn build(&self, recipe: RStr<'_>) -> RResult<RString, PluginError> {
        answer(self.build_recipe(recipe.as_str()))
    }

    fn configure(&self, root: RStr<'_>, request: RStr<'_>) -> RResult<RString, PluginError> {
        answer(self.configure_root(root.as_str(), request.as_str()))
    }

    fn get_extension(&self, _: RStr<'_>) -> ROption<Extension> {
        ROption::RNone
    }
}
