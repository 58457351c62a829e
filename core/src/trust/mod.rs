//! Whether what runs with the rights of this process could have been changed by others: only root, and the user who runs
//! cdist, may be able to.
//!
//! [`rules`] decide about one component of a path. [`Trust`] walks a path from `/` by descriptors, as the kernel does, and
//! has each component judged: directories, symbolic links, and what stands at the end. When all are good, others can
//! change none of them, so the path may be used again afterwards; a file is opened by the walk itself.
//!
//! Plugins are checked for every user, as their authors are told to expect. All else is checked for root only
//! ([`Trust::of_root`]): a user other than root may trust the files of colleagues, but what root runs
//! decides about the whole machine, and about all that it configures. Nothing that sudo(8) says about its caller makes a
//! file good: `SUDO_UID` may belong to a user who may call one command only.

mod error;
mod listing;
mod rules;
mod walk;

use std::{os::unix::fs::MetadataExt, path::Path};

use nix::unistd::{Uid, User};

pub use error::{Flaw, TrustError, Untrusted};
pub(crate) use listing::{list_command, read_listing};
pub use rules::{Component, ComponentKind, Use, flaw};
pub use walk::Trust;

/// Checks, if this process is root's, that others cannot change what is at `path`, or what it is found by; `what` it is
/// goes into the message. A pipe that this process was handed, as `/dev/fd/63`, is good.
///
/// # Errors
///
/// Others can change it. False if nothing is there: what comes later is not checked, and must not be used.
pub fn way_for_root(what: &'static str, path: &Path) -> Result<bool, Untrusted> {
    if !Uid::effective().is_root() {
        return Ok(true);
    }
    Ok(for_root(what, path, |trust| trust.way(path))?.is_some())
}

/// As [`way_for_root`], for a file that may belong to any user, such as that of a key: naming it lets its owner in, but
/// not others.
///
/// # Errors
///
/// Others than root and its owner can change it.
pub fn owners_way_for_root(what: &'static str, path: &Path) -> Result<(), Untrusted> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    for_root(what, path, |trust| trust.and_user(metadata.uid()).way(path)).map(drop)
}

/// Checks, if this process is root's, that others cannot add to the directory at `path` or put another in its place. For
/// one that is not there yet, that they cannot make it.
///
/// # Errors
///
/// Others can add to the directory, replace it, or make it.
pub fn directory_for_root(what: &'static str, path: &Path) -> Result<(), Untrusted> {
    for_root(what, path, |trust| trust.directory(path, Use::Filled)).map(drop)
}

/// As [`directory_for_root`], for a directory that may still have to be made, by a call that fails if another one did it.
///
/// # Errors
///
/// Others can change the directory, or the way to where it will be.
pub fn place_for_root(what: &'static str, path: &Path) -> Result<(), Untrusted> {
    let there = |trust: &mut Trust| match trust.directory(path, Use::Filled) {
        Err(TrustError::Missing { .. }) => Ok(()),
        result => result,
    };
    for_root(what, path, there).map(drop)
}

/// Checks, if this process is root's, all that is in the directory at `path`. False if there was none: one that
/// comes later is not checked, and must not be used.
///
/// # Errors
///
/// Others can change something of it.
pub fn tree_for_root(what: &'static str, path: &Path) -> Result<bool, Untrusted> {
    if !Uid::effective().is_root() {
        return Ok(true);
    }
    let there = for_root(what, path, |trust| trust.tree(path))?;
    Ok(there.unwrap_or(false))
}

fn for_root<T>(
    what: &'static str,
    path: &Path,
    check: impl FnOnce(&mut Trust) -> Result<T, TrustError>,
) -> Result<Option<T>, Untrusted> {
    let Some(mut trust) = Trust::of_root() else { return Ok(None) };
    match check(&mut trust) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_missing() => Ok(None),
        Err(reason) => Err(Untrusted { what, path: path.to_owned(), reason: Box::new(reason) }),
    }
}

/// For the shell of a target: the function `guard`, with the same rules for the way to a directory. It begins with comments.
pub(crate) const GUARD: &str = include_str!("guard.sh");

/// [`GUARD`] as one line, for a word of a command: a login shell need not take line ends in quotes.
pub(crate) fn guard_line() -> String {
    let lines = GUARD.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    format!("{}; ", lines.collect::<Vec<_>>().join(" "))
}

/// The name of a user, or the number if there is none.
pub fn name_of(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
