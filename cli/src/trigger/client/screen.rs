//! What can be shown where standard output goes.

use std::io::{self, IsTerminal};

use terminal_size::{Height, Width};

use super::times::Clock;

/// Where something is shown, and when.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// Columns and lines of a terminal; whatever else it is has no bounds.
    pub(super) size: Option<(usize, usize)>,
    pub(super) clock: Clock,
}

impl Screen {
    pub(super) fn of_stdout() -> Self {
        let stdout = io::stdout();
        let size = stdout.is_terminal().then(|| match terminal_size::terminal_size_of(&stdout) {
            Some((Width(width), Height(height))) if width > 0 && height > 0 => (width.into(), height.into()),
            _ => (80, 24),
        });
        Self { size, clock: Clock::now() }
    }

    /// A line that does not go on in the next one.
    pub(super) fn cut(&self, line: &str) -> String {
        match self.size {
            Some((width, _)) => cut(line, width),
            None => line.to_owned(),
        }
    }
}

/// The beginning of a line; an ellipsis stands for what is left out.
pub(super) fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut text: String = line.chars().take(width.saturating_sub(1)).collect();
    text.push('\u{2026}');
    text
}

/// Words in lines of at most `width`, where that can be; at most `lines_max` of them.
pub(super) fn wrapped(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            last.push_str(" \u{2026}");
        }
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_or_wrapped() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab\u{2026}");
        assert_eq!(wrapped("a bc  def\ng", 4, 9), ["a bc", "def", "g"]);
        assert_eq!(wrapped("aaa bbb ccc", 5, 2), ["aaa", "bbb \u{2026}"]);
        assert_eq!(wrapped("abcdef", 4, 1), ["abc\u{2026}"]);
        assert!(wrapped("", 4, 1).is_empty());
    }
}
