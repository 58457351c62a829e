//! What machines and scripts say, as text that does nothing: to a terminal escape sequences are commands, and some
//! characters turn the direction of a line, so that it reads as something else.

use std::borrow::Cow;

use maud::{Markup, html};

use crate::{printable, trigger::job::Millis};

/// One line without anything invisible; what is between lines becomes a space.
pub(super) fn line(text: &str, max: usize) -> String {
    let flat: String = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
    clipped(&clean(flat.trim()), max).into_owned()
}

/// Lines without anything invisible; tabs stay. A carriage return, with which programs draw over what they have said,
/// begins a line.
pub(super) fn lines(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            whole.push('\n');
        }
        for (at, part) in line.strip_suffix('\r').unwrap_or(line).split('\r').enumerate() {
            if at > 0 {
                whole.push('\n');
            }
            whole.push_str(&clean(part));
        }
    }
    whole
}

/// The text without escape sequences, and with codes in place of other characters that cannot be seen.
fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = escape_sequence(rest);
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        if is_hidden(first) {
            clean.extend(first.escape_unicode());
        } else {
            clean.push(first);
        }
        rest = &rest[first.len_utf8()..];
    }
    clean.into()
}

/// What is hidden anywhere else, but for tabs.
fn is_hidden(c: char) -> bool {
    c != '\t' && printable::is_hidden(c)
}

/// How long the escape sequence is at the beginning (ECMA-48, 5.3-5.6); 0 if there is none, or it has no end.
fn escape_sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    let end = |from: usize, is_end: fn(u8) -> bool| {
        let rest = bytes.get(from..)?;
        let at = rest.iter().position(|b| !(0x20..=0x3f).contains(b))?;
        is_end(rest[at]).then_some(from + at + 1)
    };
    let length = match bytes {
        [0x1b, b'[', ..] => end(2, |b| (0x40..=0x7e).contains(&b)),
        // A string for the terminal, such as its title, up to BEL or ST.
        [0x1b, b']' | b'P' | b'X' | b'^' | b'_', ..] => {
            let stop = bytes.iter().skip(2).position(|b| matches!(b, 0x07 | 0x1b)).map(|at| at + 2);
            match stop.map(|at| &bytes[at..]) {
                Some([0x07, ..]) => stop.map(|at| at + 1),
                Some([0x1b, b'\\', ..]) => stop.map(|at| at + 2),
                _ => None,
            }
        }
        [0x1b, ..] => end(1, |b| (0x30..=0x7e).contains(&b)),
        _ => None,
    };
    length.unwrap_or(0)
}

/// The beginning of a long text; `max` counts bytes.
pub(super) fn clipped(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// The end of a long text, from the beginning of a line on.
pub(super) fn tail(text: &str, max: usize) -> &str {
    let Some(cut) = text.len().checked_sub(max).filter(|cut| *cut > 0) else { return text };
    let start = (cut..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let rest = &text[start..];
    rest.find('\n').map_or(rest, |at| &rest[at + 1..])
}

/// A moment as a distance, with the date as its tooltip.
pub(super) fn ago(at: Millis, now: Millis) -> Markup {
    html! { time datetime=(iso(at)) title=(date(at)) { (distance(at, now)) } }
}

/// A moment as a date, and how far it is from now.
pub(super) fn moment(at: Millis, now: Millis) -> Markup {
    html! { time datetime=(iso(at)) { (date(at)) } " (" (distance(at, now)) ")" }
}

fn distance(at: Millis, now: Millis) -> String {
    let seconds = now.saturating_sub(at).saturating_abs() / 1000;
    match (seconds, at <= now) {
        (0..5, _) => "now".to_owned(),
        (_, true) => format!("{} ago", span(seconds)),
        (_, false) => format!("in {}", span(seconds)),
    }
}

/// A number of things.
pub(super) fn many(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Whole seconds in the two largest units that say something.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..600 if seconds % 60 != 0 => format!("{minutes} min {} s", seconds % 60),
        60..3600 => format!("{minutes} min"),
        3600..86400 if minutes % 60 != 0 => format!("{hours} h {} min", minutes % 60),
        3600..86400 => format!("{hours} h"),
        _ if days < 14 && hours % 24 != 0 => format!("{days} d {} h", hours % 24),
        _ => format!("{days} d"),
    }
}

fn date(at: Millis) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at);
    stamp
        .map_or_else(|_| "at no date".to_owned(), |stamp| stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn iso(at: Millis) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at);
    stamp.map_or_else(|_| "1970-01-01".to_owned(), |stamp| stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_left_out_or_shown() {
        assert_eq!(line("\u{1b}[1;31mred\u{1b}[0m", 99), "red");
        assert_eq!(line("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b\u{1b}(Bc", 99), "abc");
        assert_eq!(line("a\u{202e}b\u{0}c", 99), "a\\u{202e}b\\u{0}c");
        assert_eq!(line("no end \u{1b}[31", 99), "no end \\u{1b}[31");
        assert_eq!(line("no end \u{1b}]0;all of it", 99), "no end \\u{1b}]0;all of it");
        assert_eq!(line(" two\r\nlines\t", 99), "two  lines");
        assert_eq!(lines("1%\r2%\r\nend\ttab\r\n"), "1%\n2%\nend\ttab\n");
        assert_eq!(line("äöü", 3), "ä…");
    }

    #[test]
    fn the_end_of_a_text_begins_with_a_line() {
        assert_eq!(tail("one\ntwo\nthree", 8), "three");
        assert_eq!(tail("short", 8), "short");
        assert_eq!(tail("äää", 3), "ä");
    }

    #[test]
    fn times_are_said_in_words() {
        for (seconds, words) in
            [(7, "7 s"), (61, "1 min 1 s"), (720, "12 min"), (5400, "1 h 30 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(seconds), words);
        }
        assert_eq!((distance(0, 2000), distance(0, 9000)), ("now".to_owned(), "9 s ago".to_owned()));
        assert_eq!(distance(3_600_000, 0), "in 1 h");
        assert_eq!(date(Millis::MAX), "at no date");
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in "(\\PC|\u{1b}|\\[|;|m|\u{7}|\u{202e}|\r|\n|[\u{80}-\u{9f}]){0,40}") {
            let clean = lines(&text);
            prop_assert!(!clean.contains(|c| c != '\n' && is_hidden(c)), "{clean:?}");
            prop_assert!(line(&text, 20).len() <= 23);
        }
    }
}
