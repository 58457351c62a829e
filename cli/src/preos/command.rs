//! `cdist preos`: the list of PreOSes, and handing over to one.

use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
};

use cdist_core::plugin::{
    Language, Registered, Registry, python_list,
    search::SearchPath,
    supervise::{self, SuperviseError},
};
use serde_json::{Value, json};

use crate::{
    layout::Layout,
    preos::{
        args::PreosArgs,
        worker::{self, origin},
    },
    terminal::{
        failure::Failure,
        printable::{self, line},
        stdout,
    },
};

/// Puts the names of all PreOSes into the help text, when it is asked for.
pub(crate) fn with_names(command: clap::Command, words: &[OsString]) -> clap::Command {
    let wants_help = words.iter().any(|word| word == "--help" || word.to_str().is_some_and(is_help_cluster));
    let Some(layout) = Layout::find().ok().filter(|_| wants_help) else {
        return command;
    };
    let (conf_dirs, plugin_dirs) = directories_in(words);
    let registry = scan(&layout, &search_path(&layout, &conf_dirs, &plugin_dirs), None);
    let names: Vec<&str> = registry.iter().map(|preos| preos.name.as_str()).collect();
    let help = format!("PreOS to create, one of: {{{}}}", names.join(", "));
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut list = String::from("PreOSes:\n");
    for preos in registry.iter() {
        let line = format!("  {:width$}  {}", preos.name, line(&preos.summary));
        list.push_str(line.trim_end());
        list.push('\n');
    }
    list.push_str("\n`cdist preos NAME -h` shows the options of a PreOS.\n");
    list.push_str("Plugins that are Python files (*.py) are executed to be listed; libraries are not.");
    command.mut_subcommand("preos", |preos| preos.mut_arg("name", |name| name.help(help)).after_help(list))
}

/// The directories that the words name. Nothing is parsed yet, and parsing would end at the request for help.
fn directories_in(words: &[OsString]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut conf_dirs, mut plugin_dirs) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next().map(|word| word.to_string_lossy()) {
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(PathBuf::from(value))),
            _ => (&*word, None),
        };
        let kind = match option {
            "--plugin-dir" => &mut plugin_dirs,
            "-c" | "--conf-dir" => &mut conf_dirs,
            _ => continue,
        };
        kind.extend(joined.or_else(|| words.next().map(PathBuf::from)));
    }
    (conf_dirs, plugin_dirs)
}

/// `-h`, also in a cluster such as `-vh`.
fn is_help_cluster(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|flags| !flags.starts_with('-') && flags.contains('h'))
}

/// Where plugins are looked for.
pub(crate) fn search_path(layout: &Layout, conf_dirs: &[PathBuf], plugin_dirs: &[PathBuf]) -> SearchPath {
    SearchPath {
        distribution: Some(layout.plugins.clone()),
        home: dirs::home_dir(),
        conf_dirs: conf_dirs.to_vec(),
        environment: std::env::var_os("CDIST_PREOS_PATH")
            .map(|paths| std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default(),
        plugin_dirs: plugin_dirs.to_vec(),
    }
}

/// Runs `cdist preos`.
pub(crate) fn run(args: &PreosArgs, arguments: &[OsString]) -> Result<i32, Failure> {
    let layout = Layout::find_or_fail()?;
    let search = search_path(&layout, &args.conf_dirs, &args.plugin_dirs);
    let Some(name) = args.name.as_ref().filter(|_| !args.list) else {
        return list(&scan(&layout, &search, None), args.json);
    };
    let wanted = name.to_string_lossy();
    let registry = scan(&layout, &search, Some(&wanted));
    let Some(preos) = registry.get(&wanted) else {
        return Err(unknown(&registry, &wanted));
    };
    launch(&layout, preos, args, arguments)
}

/// All plugins, or those that tell which one is `wanted`; says on standard error what is wrong with them.
fn scan(layout: &Layout, search: &SearchPath, wanted: Option<&str>) -> Registry {
    let registry = registry(layout, search, wanted);
    report_skipped(&registry);
    registry
}

/// As [`scan`], and silent.
pub(crate) fn registry(layout: &Layout, search: &SearchPath, wanted: Option<&str>) -> Registry {
    Registry::scan(search, wanted, |files| python_list::list(&layout.program, files))
}

fn launch(
    layout: &Layout,
    preos: &Registered,
    args: &PreosArgs,
    arguments: &[OsString],
) -> Result<i32, Failure> {
    if let Some(bad) = arguments.iter().find(|argument| argument.to_str().is_none()) {
        return Err(Failure::usage(format!(
            "the argument {bad:?} is not UTF-8; rename the file or use another path"
        )));
    }
    let run = supervise::run(|reporter| worker::work(layout, args, preos, arguments, reporter));
    run.map_err(|error| {
        let origin = match preos.language {
            Language::Native(_) => origin(&preos.file, &preos.built_with),
            Language::Python => {
                format!("({}, {})", line(&preos.file.to_string_lossy()), line(&preos.built_with))
            }
        };
        match &error {
            SuperviseError::System { .. } | SuperviseError::Init(_) => Failure::from_error(&error),
            SuperviseError::Killed(signal) => {
                Failure::new(format!("the plugin {} died: {signal} {origin}", preos.name))
                    .hint("nothing it started or mounted is left; report the crash to the plugin's author")
            }
            SuperviseError::Exited(_) => {
                let text = cdist_core::chain(&error);
                Failure::new(format!("the plugin {} did not finish: {text} {origin}", preos.name))
            }
            SuperviseError::Cancelled(signal) => {
                Failure::new(cdist_core::chain(&error)).status(128 + *signal as i32)
            }
        }
    })
}

fn unknown(registry: &Registry, wanted: &str) -> Failure {
    let names: Vec<&str> = registry.iter().map(|preos| preos.name.as_str()).collect();
    let list = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    let failure = Failure::new(format!("there is no PreOS {wanted:?}; available: {list}"));
    match registry.near_match(wanted) {
        Some(near) => failure.hint(format!("did you mean `cdist preos {near}`?")),
        None => failure.hint("`cdist preos -L` shows where each PreOS comes from"),
    }
}

fn list(registry: &Registry, as_json: bool) -> Result<i32, Failure> {
    let text =
        if as_json { printable::json(&format!("{:#}\n", json!(entries(registry)))) } else { table(registry) };
    stdout::print(&text)?;
    Ok(0)
}

/// All PreOSes for a program.
pub(crate) fn entries(registry: &Registry) -> Vec<Value> {
    registry
        .iter()
        .map(|preos| {
            json!({
                "name": preos.name, "type": preos.type_name, "summary": preos.summary,
                "api": version(preos), "built_with": preos.built_with, "file": preos.file.display().to_string(),
            })
        })
        .collect()
}

/// All PreOSes for a reader.
pub(crate) fn table(registry: &Registry) -> String {
    let mut text = String::from("Available PreOS-es:\n");
    let width = |field: fn(&Registered) -> usize| registry.iter().map(field).max().unwrap_or(0);
    let (name, summary) = (width(|preos| preos.name.len()), width(|preos| line(&preos.summary).len()));
    let api = width(|preos| version(preos).len());
    for preos in registry.iter() {
        let (shown, file) = (line(&preos.summary), line(&preos.file.to_string_lossy()));
        text.push_str(&format!(
            "    - {:name$}  {shown:summary$}  {:api$}  {file}\n",
            preos.name,
            version(preos)
        ));
    }
    text
}

fn version(preos: &Registered) -> String {
    match preos.language {
        Language::Native((major, minor)) => format!("{major}.{minor}"),
        Language::Python => "python".to_owned(),
    }
}

fn report_skipped(registry: &Registry) {
    let mut stderr = std::io::stderr().lock();
    let shown = |path: &Path| line(&path.to_string_lossy());
    for skipped in &registry.skipped {
        let _ = writeln!(stderr, "skipped {}: {}", shown(&skipped.file), line(&skipped.reason));
    }
    if let Some(reason) = &registry.no_python {
        let _ = writeln!(stderr, "note: plugins that are Python files are left out: {}", line(reason));
    }
    for replaced in &registry.replaced {
        let (by, was) = (shown(&replaced.by), shown(&replaced.was));
        let _ = writeln!(stderr, "note: PreOS {} comes from {by}, which replaces {was}", replaced.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_before_help() {
        let words =
            ["preos", "-c", "a", "--plugin-dir=b", "-v", "--plugin-dir", "c", "--conf-dir=d", "-h", "-c"];
        let (conf_dirs, plugin_dirs) = directories_in(&words.map(OsString::from));
        assert_eq!((conf_dirs, plugin_dirs), (vec!["a".into(), "d".into()], vec!["b".into(), "c".into()]));
    }

    #[test]
    fn help_in_a_cluster() {
        assert!(is_help_cluster("-vh") && !is_help_cluster("--hello") && !is_help_cluster("debian"));
    }
}
