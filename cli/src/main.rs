//! The `cdist` program.

fn main() {}
