//! What objects change in files, told without changing them.

mod diff;
mod file_diff;
