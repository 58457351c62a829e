//! `cdist plugin new`: makes a project for a plugin, and tells how to go on.

use std::path::Path;

use cdist_core::plugin::project::{self, ProjectError, Template};

use crate::{
    layout::Layout,
    terminal::{
        failure::Failure,
        printable::{line, quoted},
        stdout::print,
    },
};

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Language {
    Rust,
    C,
    Python,
}

impl From<Language> for Template {
    fn from(language: Language) -> Self {
        match language {
            Language::Rust => Self::Rust,
            Language::C => Self::C,
            Language::Python => Self::Python,
        }
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let text = error.to_string();
        let failure = if error.is_usage() { Self::usage(text) } else { Self::new(text) };
        error.hint().into_iter().fold(failure, Failure::hint)
    }
}

/// Makes the project `name` in `dir`, else in a directory of its name here, and tells how to go on.
pub(crate) fn run(name: &str, language: Language, dir: Option<&Path>) -> Result<i32, Failure> {
    let dir = dir.unwrap_or(Path::new(name));
    let layout = Layout::find_or_fail()?;
    let share = layout.conf.parent().unwrap_or(Path::new("/"));
    let made = project::make(name, language.into(), dir, share)?;
    print(&format!(
        "made {}: {}\nto go on:\n  cd {}\n  {}\n  cdist preos --plugin-dir {} {name} -h\n",
        line(&dir.to_string_lossy()),
        made.files.join(", "),
        quoted(dir),
        made.build,
        made.built,
    ))?;
    Ok(0)
}
