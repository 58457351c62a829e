//! What is declared: types, and the objects that type calls make of them.

pub(super) mod conf_dirs;
pub mod emulator;
pub(super) mod emulator_args;
pub(super) mod object;
pub(super) mod parameters;
pub(super) mod relations;
pub(super) mod types;
