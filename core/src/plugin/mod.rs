//! PreOS plugins: finding the files, reading what they hold (libraries without running them), and running one.
//!
//! - [`search`]: the directories, in order, and the files in them
//! - [`file`]: who may have written the file
//! - [`elf`]: the text symbol `_cdist_preos` of a shared library, read without loading it
//! - [`text`]: what that text says
//! - [`python`]: plugins that are Python files, which have to be executed to be listed
//! - [`registry`]: all PreOSes by name, with what was skipped and what was replaced
//! - [`loader`]: loading one library; the only unsafe code of this crate
//! - [`supervise`]: the child process in its own namespaces that runs the plugin

pub mod elf;
pub mod file;
pub mod loader;
pub mod python;
pub mod registry;
pub mod search;
pub mod supervise;
pub mod text;

pub use registry::{Language, Registered, Registry};
