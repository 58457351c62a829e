//! Lines of a log as `data:` of server-sent events.

/// A line is cut after so many bytes, so that a reader sees it while it is written.
const LONGEST: usize = 16 * 1024;

/// Makes events of pieces, which may end anywhere.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line whose end is still to come.
    begun: Vec<u8>,
    /// The last byte was a carriage return; a line feed after it belongs to the same end of line.
    after_return: bool,
}

impl Lines {
    /// One event with all lines that are whole by now; nothing if there is none. A carriage return ends a line, as the
    /// format wants it.
    pub(super) fn add(&mut self, piece: &[u8]) -> String {
        let mut event = String::new();
        for byte in piece {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => self.end(&mut event),
                _ => self.begun.push(*byte),
            }
            self.after_return = *byte == b'\r';
            if self.begun.len() >= LONGEST {
                self.end(&mut event);
            }
        }
        finish(event)
    }

    /// An event with what has no end of line.
    pub(super) fn rest(&mut self) -> String {
        let mut event = String::new();
        if !self.begun.is_empty() {
            self.end(&mut event);
        }
        finish(event)
    }

    fn end(&mut self, event: &mut String) {
        event.push_str("data: ");
        event.push_str(&String::from_utf8_lossy(&self.begun));
        event.push('\n');
        self.begun.clear();
    }
}

fn finish(mut event: String) -> String {
    if !event.is_empty() {
        event.push('\n');
    }
    event
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_whole_wherever_pieces_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"a\nb\n\nc"), "data: a\ndata: b\ndata: \n\n");
        assert_eq!(lines.add(b"d"), "");
        assert_eq!(lines.add(b"\r"), "data: cd\n\n");
        assert_eq!(lines.add(b"\n10%\r20%\xff"), "data: 10%\n\n");
        assert_eq!(lines.rest(), "data: 20%\u{fffd}\n\n");
        assert_eq!(lines.rest(), "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_line_becomes_another_field(
            text in "[a-z: \r\n]{0,60}", cut in 0_usize..60
        ) {
            let mut lines = Lines::default();
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let events = [lines.add(first), lines.add(second), lines.rest()].concat();
            prop_assert!(events.lines().all(|line| line.is_empty() || line.starts_with("data: ")));
            let got: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            let normal = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(got, normal.lines().collect::<Vec<_>>());
        }
    }
}
