//! The commands that are one file each.

pub(crate) mod banner;
pub(crate) mod check_type;
mod conf_args;
pub(crate) mod info;
pub(crate) mod inventory;
pub(crate) mod new_type;
pub(crate) mod shell;
