//! The state directory of the server, and failures to store something there.

use std::path::{Path, PathBuf};

use cdist_core::trigger::store::StoreError;

use crate::terminal::failure::Failure;

/// The state directory: the one that is named, else `~/.cdist/trigger`.
pub(crate) fn state_dir(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => dir.to_owned(),
        None => dirs::home_dir()
            .map(|home| home.join(".cdist/trigger"))
            .ok_or_else(|| Failure::new("there is no home directory").hint("name one with --state-dir"))?,
    };
    std::path::absolute(&dir)
        .map_err(|error| Failure::new(format!("finding the directory {}: {error}", dir.display())))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn not_stored(error: StoreError) -> Failure {
    with_hint(&error, error.hint())
}

/// The failure of an error, with what to try next.
pub(super) fn with_hint(error: &dyn std::error::Error, hint: Option<String>) -> Failure {
    let failure = Failure::from_error(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(state_dir(Some(Path::new("x"))).unwrap(), here.join("x"));
    }
}
