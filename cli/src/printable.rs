//! Text of targets for terminals.

use std::path::Path;

/// Text without line ends and other control characters.
pub(crate) fn line(text: &str) -> String {
    printable(text.as_bytes(), true)
}

/// Text in which control characters are visible: what comes from a target must not give orders to a terminal.
pub(crate) fn printable(text: &[u8], one_line: bool) -> String {
    let mut shown = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' if !one_line => shown.push(c),
                c if c.is_control() || turns_text(c) => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Whether it changes the direction of what comes after it, and so lets a text look like another one.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path as a word of a shell.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_visible() {
        assert_eq!(printable(b"a\x1b[2J\tb\n\xff\xc3\xa9", false), "a\\u{1b}[2J\tb\n\\xff\u{e9}");
        assert_eq!(printable(b"a\nb", true), "a\\nb");
        assert_eq!(line("exe\u{202e}gpj"), "exe\\u{202e}gpj");
    }
}
