//! What people read on terminals.

use std::path::Path;

pub(crate) use cdist_core::printable::{json, line, lines};

/// Text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    begun: Vec<u8>,
}

impl Pieces {
    /// What can be shown by now.
    pub(crate) fn shown(&mut self, piece: &[u8]) -> String {
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(piece);
        let last = whole.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
        let end = whole.len() - last;
        // A character has four bytes at most; more, or what cannot be the beginning of one, is none.
        let is_begun = std::str::from_utf8(&whole[end..]).is_err_and(|error| error.error_len().is_none());
        if is_begun {
            self.begun = whole.split_off(end);
        }
        lines(&whole)
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> String {
        lines(std::mem::take(&mut self.begun))
    }
}

/// A path as a word of a shell; one with characters that must not be printed is not the same word.
pub(crate) fn quoted(path: &Path) -> String {
    let text = line(&path.to_string_lossy());
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
    fn pieces_are_whole_characters() {
        let mut text = Pieces::default();
        assert_eq!(text.shown(b"a\x1b[2J\n\xc3"), "a\\u{1b}[2J\n");
        assert_eq!(text.shown(b"\xa9\xff\n\xf0\x9f"), "\u{e9}\\xff\n");
        assert_eq!(text.shown(b"x"), "\\xf0\\x9fx");
        assert_eq!(text.shown(b"\xe2\x82"), "");
        assert_eq!(text.rest(), "\\xe2\\x82");
    }

    #[test]
    fn words_of_a_shell_hold_nothing_hidden() {
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
        assert_eq!(quoted(Path::new("/a\u{1b}[2J")), "'/a\\u{1b}[2J'");
    }
}
