//! Directories in the environment that are not ours.
//!
//! `sudo -E`, `su` and some systems leave `HOME` as it was. What lies there would then be run as root: types, plugins,
//! settings, and what programs read that local scripts start. As a process cannot change its environment safely, the
//! program begins again with another one.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use cdist_core::trust::{Trust, Use};
use nix::unistd::{Uid, User};

use crate::terminal::failure::{Failure, warn};

/// Variables that name a directory. A sticky one will do: what is used in it is checked by itself.
const VARIABLES: [&str; 3] = ["HOME", "XDG_CONFIG_HOME", "TMPDIR"];

/// As root, begins this program again if a variable names a directory that others can change: without that variable, and
/// with root's own home directory for `HOME`. Returns if there is nothing to change.
pub(crate) fn leave_those_of_others(own_name: &OsStr, words: &[OsString]) -> Result<(), Failure> {
    let Some(mut trust) = Trust::of_root() else { return Ok(()) };
    let mut good = |path: &Path| match trust.directory(path, Use::Passed) {
        Err(error) if !error.is_missing() => Err(error),
        _ => Ok(()),
    };
    let mut changes: Vec<(&str, Option<PathBuf>)> = Vec::new();
    for name in VARIABLES {
        let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from) else {
            continue;
        };
        let Err(error) = good(&path) else { continue };
        let own = (name == "HOME").then(home_of_root).flatten().filter(|home| good(home).is_ok());
        let instead = match &own {
            Some(home) => format!("{} is used in its place", home.display()),
            None => "it is left out".to_owned(),
        };
        warn(&format!("{name}={} is not used: {}; {instead}", path.display(), error.flaw()));
        changes.push((name, own));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("finding the running program: {error}")))?;
    let mut command = Command::new(&program);
    command.arg0(own_name).args(words);
    for (name, value) in changes {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Err(Failure::new(format!("starting {}: {}", program.display(), command.exec())))
}

fn home_of_root() -> Option<PathBuf> {
    User::from_uid(Uid::from_raw(0)).ok().flatten().map(|user| user.dir)
}
