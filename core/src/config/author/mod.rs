//! For those who write types: a list of what there is, a new type, mistakes in one, and type calls to try out.

pub mod catalogue;
pub mod check;
pub mod shell;
pub mod skeleton;
