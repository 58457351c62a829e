//! What objects change in files, told without changing them.

mod file_diff;
mod object_diff;
