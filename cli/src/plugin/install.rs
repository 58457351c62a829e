//! `cdist plugin install` and `remove`.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use cdist_core::plugin::{
    check::Content,
    install::{self, InstallError},
    python_list,
    search::SearchPath,
    sums,
};

use crate::{
    layout::Layout,
    preos::command::{registry, search_path},
    terminal::{
        failure::{Failure, warn},
        printable::line,
        stdout::print,
    },
};

/// Installs a plugin, and tells what it brings and what it takes the place of.
pub(crate) fn install(file: &Path, dir: Option<&Path>, record: bool) -> Result<i32, Failure> {
    let layout = Layout::find_or_fail()?;
    let directory = directory(&layout, dir)?;
    if dir.is_none() {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory);
        made.map_err(|error| Failure::new(format!("making {}: {error}", shown(&directory))))?;
    }
    let installed = install::install(file, &directory, record).map_err(|error| failure(&error))?;
    let names = installed.content.names();
    let (place, plural) = (shown(&installed.file), if names.len() == 1 { "" } else { "es" });
    let mut text = match installed.content {
        Content::Library(_) => {
            format!("installed {place}, which brings the PreOS{plural} {}\n", names.join(", "))
        }
        Content::Python => {
            format!("installed {place}; `cdist plugin list` executes it and tells its PreOSes\n")
        }
    };
    if installed.replaced {
        text.push_str("it replaces the earlier file of this name\n");
    }
    if !installed.gone.is_empty() {
        text.push_str(&format!("no longer in it: {}\n", installed.gone.join(", ")));
    }
    if installed.recorded {
        text.push_str(&format!("recorded in {}: {}\n", sums::FILE_NAME, installed.sha256));
    }
    for other in &installed.also_recorded {
        text.push_str(&format!("recorded as it is, because the record is new: {}\n", shown(other)));
    }
    print(&text)?;
    warn_about(&layout, &directory, &installed.file, &names);
    Ok(0)
}

/// What is surprising about the PreOSes of a plugin that was installed, as far as its names are known.
fn warn_about(layout: &Layout, directory: &Path, file: &Path, names: &[String]) {
    let path = search_path(layout, &[], &[]);
    let searched = path.directories().iter().any(|searched| is_same(searched, directory));
    if !names.is_empty() {
        let distribution = SearchPath { distribution: Some(layout.plugins.clone()), ..SearchPath::default() };
        let (distribution, all) = (registry(layout, &distribution, None), registry(layout, &path, None));
        for name in names {
            if let Some(replaced) = distribution.get(name) {
                let place = shown(&replaced.file);
                warn(&format!("PreOS {name} takes the place of the distribution's in {place}"));
            }
            if let Some(winner) = all.get(name).filter(|winner| searched && !is_same(&winner.file, file)) {
                warn(&format!("PreOS {name} comes from {}, which is searched later", shown(&winner.file)));
            }
        }
    }
    if !searched {
        let directory = shown(directory);
        warn(&format!("cdist looks in {directory} only if --plugin-dir or CDIST_PREOS_PATH names it"));
    }
}

/// Removes the plugin that brings a PreOS, and tells which others go with it.
pub(crate) fn remove(name: &str, dir: Option<&Path>) -> Result<i32, Failure> {
    let layout = Layout::find_or_fail()?;
    let directory = directory(&layout, dir)?;
    let listed = |files: &[PathBuf]| python_list::list(&layout.program, files);
    let removed = match install::remove(name, &directory, listed) {
        Ok(removed) => removed,
        Err(error @ InstallError::Unknown { .. }) => return Err(unknown(&layout, name, &error)),
        Err(error) => return Err(failure(&error)),
    };
    let mut text = format!("removed {} with the PreOS {name}\n", shown(&removed.file));
    let others: Vec<&str> = removed.names.iter().map(String::as_str).filter(|other| *other != name).collect();
    if !others.is_empty() {
        text.push_str(&format!("gone with it: {}\n", others.join(", ")));
    }
    let left = registry(&layout, &search_path(&layout, &[], &[]), None);
    for preos in removed.names.iter().filter_map(|name| left.get(name)) {
        text.push_str(&format!("PreOS {} now comes from {}\n", preos.name, shown(&preos.file)));
    }
    print(&text)?;
    Ok(0)
}

/// No plugin brings it: perhaps one elsewhere does, or one that was skipped.
fn unknown(layout: &Layout, name: &str, error: &InstallError) -> Failure {
    let failure = failure(error);
    let InstallError::Unknown { skipped, .. } = error else { return failure };
    for skipped in skipped {
        warn(&format!("skipped {}: {}", shown(&skipped.file), line(&skipped.reason)));
    }
    let all = registry(layout, &search_path(layout, &[], &[]), None);
    match all.get(name) {
        Some(preos) if preos.file.starts_with(&layout.plugins) => {
            failure.hint(format!("{name} belongs to the distribution and stays: {}", shown(&preos.file)))
        }
        Some(preos) => failure.hint(format!("it comes from {}; use --dir", shown(&preos.file))),
        None => failure.hint("`cdist plugin list` shows what there is"),
    }
}

/// The directory to change: never the distribution's.
fn directory(layout: &Layout, dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let directory = match dir {
        Some(dir) => dir.to_owned(),
        None => dirs::home_dir()
            .ok_or_else(|| Failure::new("there is no home directory; name a directory with --dir"))?
            .join(".cdist/preos"),
    };
    if is_same(&directory, &layout.plugins) {
        let message = format!("{} belongs to the distribution; nothing is changed in it", shown(&directory));
        return Err(Failure::new(message).hint("a plugin in ~/.cdist/preos wins over it"));
    }
    Ok(directory)
}

/// Whether both are there and the same, whatever links lead to them.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn failure(error: &InstallError) -> Failure {
    Failure::new(line(&cdist_core::chain(error)))
}

fn shown(path: &Path) -> String {
    line(&path.to_string_lossy())
}
