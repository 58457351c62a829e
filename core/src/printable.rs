//! Text of targets, plugins and callers for terminals and pages: what they say must not give orders to a terminal, nor read
//! as something else than it is.
//!
//! One list of characters decides, [`is_hidden`], for everything that is printed.

use std::fmt::Write;

/// Whether a character is shown by its code: it gives orders to a terminal, cannot be seen, or changes how others are
/// shown or where a line ends.
///
/// From Unicode's general categories Cc, Cf, Zl and Zp, and characters that are blank though they are letters
/// (Default_Ignorable_Code_Point in DerivedCoreProperties.txt). Those that only choose a form of the character before
/// them (U+FE00 to U+FE0F), as in emoji, are left.
pub fn is_hidden(c: char) -> bool {
    // C0 with ESC, DEL, C1 with CSI.
    c.is_control()
        || matches!(
            c,
            '\u{ad}' // soft hyphen
            | '\u{34f}' // combining grapheme joiner
            | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' // Arabic and Syriac signs
            | '\u{61c}' // Arabic letter mark, turns text
            | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}' // fillers of Hangul
            | '\u{17b4}'..='\u{17b5}' // Khmer vowels without a form
            | '\u{180b}'..='\u{180f}' // Mongolian selectors and vowel separator
            | '\u{200b}'..='\u{200f}' // zero width, left-to-right and right-to-left marks
            | '\u{2028}'..='\u{202e}' // line and paragraph separator, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{fdd0}'..='\u{fdef}' // noncharacters
            | '\u{feff}' // byte order mark
            | '\u{fff0}'..='\u{fffb}' // annotations
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' // musical controls
            | '\u{e0000}'..='\u{e0fff}' // tags and further selectors
        )
}

/// Text on one line: without line ends and other characters of the list.
pub fn line(text: &str) -> String {
    shown(text.as_bytes(), false)
}

/// Text whose line ends and tabs stay; bytes that are no UTF-8 are shown by their numbers.
pub fn lines(text: impl AsRef<[u8]>) -> String {
    shown(text.as_ref(), true)
}

fn shown(text: &[u8], whole: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' if whole => shown.push(c),
                c if is_hidden(c) => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// JSON in which the characters of the list are escaped, as RFC 8259, 7 allows for all: JSON itself asks for it only below
/// U+0020. They can be in strings only, where the escape means the same.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Between the strings there are line ends and blanks.
        if c < ' ' || !is_hidden(c) {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_visible() {
        assert_eq!(lines(b"a\x1b[2J\tb\n\xff\xc3\xa9"), "a\\u{1b}[2J\tb\n\\xff\u{e9}");
        assert_eq!(line("a\nb\r\tc"), "a\\nb\\r\\tc");
        assert_eq!(line("exe\u{202e}gpj"), "exe\\u{202e}gpj");
        assert_eq!(line("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
    }

    #[test]
    fn the_list() {
        for c in "\0\u{7}\u{8}\r\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{9b}\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\
                  \u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{3164}\u{feff}\u{fff9}\u{e0041}\u{e0100}"
            .chars()
        {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in " ~\u{a0}\u{e9}\u{301}\u{5d0}\u{6f22}\u{2026}\u{fe0f}\u{fffd}\u{1f980}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    #[test]
    fn json_means_the_same() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{e0041}\u{7f}\n\u{e9}";
        let escaped = json(&serde_json::json!({ text: [text] }).to_string());
        assert!(!escaped.contains(is_hidden), "{escaped}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            serde_json::json!({ text: [text] })
        );
        assert_eq!(json("{\n\t\"a\": 1\n}"), "{\n\t\"a\": 1\n}");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in "(\\PC|[\u{0}-\u{1f}]|[\u{7f}-\u{9f}]|[\u{2000}-\u{206f}]|[\u{e0000}-\u{e01ff}]){0,40}", bytes: Vec<u8>) {
            prop_assert!(!line(&text).contains(is_hidden));
            prop_assert!(!lines(&text).contains(|c| c != '\n' && c != '\t' && is_hidden(c)));
            prop_assert!(!lines(&bytes).contains(|c| c != '\n' && c != '\t' && is_hidden(c)));
            prop_assert!(!json(&serde_json::json!(text).to_string()).contains(is_hidden));
        }
    }
}
