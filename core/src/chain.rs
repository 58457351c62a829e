//! An error in one line.

use std::error::Error;

/// An error and its causes, joined by colons. `Display` of an error never repeats its source, so each stands there once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
