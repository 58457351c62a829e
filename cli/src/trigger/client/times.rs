//! Times and how long things took, for people.

use jiff::{Timestamp, tz::TimeZone};

/// What time it is, and where.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { now: Timestamp::now(), zone: TimeZone::system() }
    }

    /// How long ago a time of the API is, or its date if that is longer than a day.
    pub(super) fn ago(&self, time: &str) -> String {
        let Ok(at) = time.parse::<Timestamp>() else { return time.to_owned() };
        match self.now.as_second() - at.as_second() {
            // Clocks differ a little.
            seconds @ -5..60 => format!("{} s ago", seconds.max(0)),
            seconds @ 60..3600 => format!("{} min ago", seconds / 60),
            seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
            _ => self.date(time),
        }
    }

    /// A time of the API by the clock on the wall.
    pub(super) fn date(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(at) => at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
            Err(_) => time.to_owned(),
        }
    }
}

/// How long something took.
pub(super) fn took(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_times_are_relative() {
        let clock = Clock { now: "2026-11-25T20:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
        for (time, shown) in [
            ("2026-11-25T20:00:03.5Z", "0 s ago"),
            ("2026-11-25T19:59:18Z", "42 s ago"),
            ("2026-11-25T19:00:01Z", "59 min ago"),
            ("2026-11-25T18:00:00Z", "2 h ago"),
            ("2026-11-24T19:00:00Z", "2026-11-24 19:00"),
            ("2026-11-26T19:00:00Z", "2026-11-26 19:00"),
            ("soon", "soon"),
        ] {
            assert_eq!(clock.ago(time), shown);
        }
    }

    #[test]
    fn times_that_things_took_have_two_parts_at_most() {
        for (seconds, shown) in [
            (0.0, "0.0 s"),
            (9.44, "9.4 s"),
            (9.97, "10 s"),
            (59.4, "59 s"),
            (130.0, "2 min 10 s"),
            (3600.0, "1 h 0 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(took(seconds), shown);
        }
    }
}
