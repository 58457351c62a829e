//! PreOS plugins: finding the files, reading what they hold (libraries without running them), and running one.
//!
//! - [`search`]: the directories, in order, and the files in them
//! - [`elf`]: the text symbol `_cdist_preos` of a shared library, read without loading it
//! - [`text`]: what that text says
//! - [`sums`]: the SHA-256 sums that may lie beside the plugins
//! - [`check`]: all of these checks in their order: whether a file would be used
//! - [`checks`]: whether a plugin behaves, for its author
//! - [`facts`]: what else can be read from a file, also from one that would not be used
//! - [`install`]: copying a plugin to where it is found, and removing it
//! - [`project`]: new projects for plugins
//! - [`python`]: plugins that are Python files, which have to be executed to be listed
//! - [`python_list`]: the process that lists them
//! - [`registry`]: all PreOSes by name, with what was skipped and what was replaced
//! - [`loader`]: loading one library, of Rust or C; the unsafe code of this crate, but for one fork in [`supervise`]
//! - [`supervise`]: the child process in its own namespaces that runs the plugin
//! - [`sandbox`]: a place where a plugin that is checked can do no harm

pub mod check;
pub mod checks;
pub mod elf;
pub mod facts;
#[cfg(test)]
mod frozen;
pub mod install;
pub mod loader;
pub mod project;
pub mod python;
pub mod python_list;
pub mod registry;
pub mod sandbox;
pub mod search;
pub mod sums;
pub mod supervise;
pub mod text;

pub use registry::{Language, Registered, Registry};
