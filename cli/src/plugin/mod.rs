//! `cdist plugin`: begins, looks at, checks, installs and removes plugins.

pub(crate) mod check;
pub(crate) mod command;
mod inspect;
mod install;
mod new;
