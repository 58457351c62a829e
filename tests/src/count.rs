//! How often a test repeats what it does: a little in `make test`, the whole of it in `make soak`.

use std::env;

use crate::outcome::tell;

/// The number in the environment variable `CDIST_TEST_<NAME>`, or `few` without one. `name` is lower-case English, such
/// as `kills`; what was chosen is said in a line that `make soak` collects.
///
/// # Panics
///
/// If the variable is no positive number.
pub fn count(name: &str, few: u64) -> u64 {
    let variable = format!("CDIST_TEST_{}", name.to_uppercase());
    let count = match env::var(&variable) {
        Err(_) => few,
        Ok(word) => match word.parse() {
            Ok(count) if count > 0 => count,
            _ => panic!("{variable}={word:?} is no positive number"),
        },
    };
    tell(&format!("covered: {count} {name}"));
    count
}
