//! What options of `cdist trigger` mean, for the server and for those who ask one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use cdist_core::trigger::store::StoreError;
use jiff::{Span, SpanRelativeTo};

use crate::terminal::failure::Failure;

/// The longest time: ten years.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A time such as `90s`, `15m`, `24h`, `30d`; a number alone is seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write it like 90s, 15m, 24h or 30d");
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let span: Span = text.parse().map_err(|_| wrong())?;
            let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
            time.try_into().map_err(|_| wrong())?
        }
    };
    if time > LONGEST { Err(format!("{text:?} is longer than 3650 days")) } else { Ok(time) }
}

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

/// A failure with what to do about it, if that is known.
pub(crate) fn with_hint(error: &dyn std::error::Error, hint: Option<String>) -> Failure {
    let failure = Failure::from_error(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The failure of a store, with what to do about it.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn not_stored(error: StoreError) -> Failure {
    with_hint(&error, error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text| time(text).map(|time| time.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        for wrong in ["", "x", "-5s", "-1", "1 month", "99999999999999999999s", "3651d", "999999999999"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_directory_is_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(state_dir(Some(Path::new("x"))).unwrap(), here.join("x"));
    }
}
