//! Times as options have them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

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
}
