//! `cdist plugin`: begins, looks at, checks, installs and removes the libraries and Python files that bring PreOSes. Only the
//! check runs code of a library; Python files are executed where their PreOSes have to be known.

use std::path::PathBuf;

use cdist_core::plugin::Registry;
use serde_json::json;

use crate::{
    layout::Layout,
    plugin::{
        check::{self, CheckArgs},
        inspect, install,
        new::{self, Language},
    },
    preos::command::{self, search_path},
    terminal::{
        failure::Failure,
        printable::{self, line},
        stdout,
    },
};

/// What to do with plugins.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a project for a plugin, which builds and runs at once
    #[command(infer_long_args = true, args_override_self = true)]
    New {
        /// Name of the PreOS
        #[arg(value_name = "NAME")]
        name: String,
        /// Language of the plugin
        #[arg(long, value_name = "LANGUAGE", value_enum, default_value = "rust")]
        lang: Language,
        /// Directory to make, instead of ./NAME; may be there if it is empty
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Tell what a file holds and whether cdist would use it, without running it
    #[command(infer_long_args = true, args_override_self = true)]
    Inspect {
        /// Library or Python file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a plugin in the ways in which plugins go wrong, for its author; builds nothing
    #[command(infer_long_args = true, args_override_self = true)]
    Check(CheckArgs),
    /// List all PreOSes, skipped files and what was replaced; executes Python files
    #[command(infer_long_args = true, args_override_self = true)]
    List {
        /// Also look for plugins in DIR/preos; repeatable
        #[arg(short = 'c', long = "conf-dir", value_name = "DIR")]
        conf_dirs: Vec<PathBuf>,
        /// Also look for plugins in DIR; repeatable, the last one wins
        #[arg(long = "plugin-dir", value_name = "DIR")]
        plugin_dirs: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check a library or Python file and copy it to where cdist finds it
    #[command(infer_long_args = true, args_override_self = true)]
    Install {
        /// Library or Python file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Directory to copy to, instead of ~/.cdist/preos
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Begin plugins.sha256 in the directory: from then on only what it names is used
        #[arg(long)]
        record: bool,
    },
    /// Remove the library or Python file that brings a PreOS, with all PreOSes in it
    #[command(infer_long_args = true, args_override_self = true)]
    Remove {
        /// Name of a PreOS
        #[arg(value_name = "NAME")]
        name: String,
        /// Directory to remove from, instead of ~/.cdist/preos
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Runs the command.
pub(crate) fn run(command: &PluginCommand) -> Result<i32, Failure> {
    match command {
        PluginCommand::New { name, lang, dir } => new::run(name, *lang, dir.as_deref()),
        PluginCommand::Inspect { file, json } => inspect::run(file, *json),
        PluginCommand::Check(args) => check::run(args),
        PluginCommand::List { conf_dirs, plugin_dirs, json } => {
            let layout = Layout::find_or_fail()?;
            let path = search_path(&layout, conf_dirs, plugin_dirs);
            let registry = command::registry(&layout, &path, None);
            stdout::print(&if *json { list_json(&registry) } else { list(&registry) })?;
            Ok(0)
        }
        PluginCommand::Install { file, dir, record } => install::install(file, dir.as_deref(), *record),
        PluginCommand::Remove { name, dir } => install::remove(name, dir.as_deref()),
    }
}

fn list(registry: &Registry) -> String {
    let mut text = command::table(registry);
    if !registry.skipped.is_empty() {
        text.push_str("Skipped:\n");
    }
    for skipped in &registry.skipped {
        text.push_str(&format!(
            "    - {}: {}\n",
            line(&skipped.file.to_string_lossy()),
            line(&skipped.reason)
        ));
    }
    if let Some(reason) = &registry.no_python {
        text.push_str(&format!("Python files are left out: {}\n", line(reason)));
    }
    if !registry.replaced.is_empty() {
        text.push_str("Replaced:\n");
    }
    for replaced in &registry.replaced {
        let (by, was) = (replaced.by.to_string_lossy(), replaced.was.to_string_lossy());
        text.push_str(&format!("    - {}  {}, by {}\n", replaced.name, line(&was), line(&by)));
    }
    text
}

fn list_json(registry: &Registry) -> String {
    let skipped: Vec<_> = registry
        .skipped
        .iter()
        .map(|skipped| json!({"file": skipped.file.to_string_lossy(), "reason": skipped.reason}))
        .collect();
    let replaced: Vec<_> = registry
        .replaced
        .iter()
        .map(|replaced| {
            let (by, was) = (replaced.by.to_string_lossy(), replaced.was.to_string_lossy());
            json!({"name": replaced.name, "by": by, "was": was})
        })
        .collect();
    let preoses = command::entries(registry);
    let value = json!({
        "preoses": preoses, "skipped": skipped, "replaced": replaced, "no_python": registry.no_python,
    });
    printable::json(&format!("{value:#}\n"))
}
