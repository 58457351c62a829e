//! What a batch prints: the output of one script after the other, with a mark after each.
//!
//! A mark is a line of its own, `<boundary> <number> <status>`, with a newline in front that belongs to the mark
//! and not to the output, so that every output comes back byte for byte, with or without newline at its end.
//! The boundary is a random word that no script can know beforehand.

use std::io::{self, Read, Write};

use memchr::memmem::Finder;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// The longest number and status that a mark may hold, far more than a shell prints.
const TAIL_MAX: usize = 64;

/// The end of one script's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which script of the batch.
    pub(super) number: usize,
    /// Its exit status, as a shell tells it.
    pub(super) status: i32,
}

/// Cuts a stream at its marks. Memory is bounded, however long an output or a line is.
#[derive(Debug)]
pub(super) struct Frames<R> {
    from: R,
    /// What precedes number and status: newline, boundary, blank.
    mark: Finder<'static>,
    length: usize,
    buffer: Vec<u8>,
    /// Where a read goes first, so that the buffer need not be zeroed for it.
    chunk: Vec<u8>,
    ended: bool,
}

impl<R: Read> Frames<R> {
    /// Frames of the stream `from`, whose marks begin with `boundary`.
    pub(super) fn new(from: R, boundary: &str) -> Self {
        let mark = format!("\n{boundary} ");
        Self {
            from,
            length: mark.len(),
            mark: Finder::new(mark.as_bytes()).into_owned(),
            buffer: Vec::new(),
            chunk: vec![0; CHUNK],
            ended: false,
        }
    }

    /// Copies the next output to `to`. `None` when the stream ends without a mark; what there was has been copied.
    ///
    /// # Errors
    ///
    /// The stream cannot be read, or `to` cannot be written to.
    pub(super) fn copy_next(&mut self, to: &mut impl Write) -> io::Result<Option<Mark>> {
        let mut searched = 0;
        loop {
            let found = self.mark.find(self.buffer.get(searched..).unwrap_or_default());
            if let Some(at) = found.map(|at| at + searched) {
                match self.parse(at + self.length) {
                    Parsed::Mark(mark, end) => {
                        to.write_all(self.buffer.get(..at).unwrap_or_default())?;
                        self.buffer.drain(..end);
                        return Ok(Some(mark));
                    }
                    // Looks like a mark and is none.
                    Parsed::Other => {
                        searched = at + 1;
                        continue;
                    }
                    Parsed::Incomplete if !self.ended => searched = at,
                    Parsed::Incomplete => {
                        searched = at + 1;
                        continue;
                    }
                }
            } else {
                // A mark may begin in what is here and end in what comes.
                let sure = self.buffer.len().saturating_sub(self.length);
                if sure > 0 {
                    to.write_all(self.buffer.get(..sure).unwrap_or_default())?;
                    self.buffer.drain(..sure);
                }
                searched = 0;
            }
            if self.ended {
                to.write_all(&self.buffer)?;
                self.buffer.clear();
                return Ok(None);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let read = loop {
            match self.from.read(&mut self.chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.buffer.extend_from_slice(self.chunk.get(..read).unwrap_or_default());
        self.ended = read == 0;
        Ok(())
    }

    /// Number and status at `from`, and where the mark ends.
    fn parse(&self, from: usize) -> Parsed {
        let rest = self.buffer.get(from..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(TAIL_MAX)).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() < TAIL_MAX { Parsed::Incomplete } else { Parsed::Other };
        };
        let text = std::str::from_utf8(rest.get(..end).unwrap_or_default()).unwrap_or_default();
        let numbers = text.split_once(' ').and_then(|(n, s)| Some((n.parse().ok()?, s.parse().ok()?)));
        match numbers {
            Some((number, status)) => Parsed::Mark(Mark { number, status }, from + end + 1),
            None => Parsed::Other,
        }
    }
}

enum Parsed {
    Mark(Mark, usize),
    Incomplete,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out a stream in pieces of the given sizes, as a pipe does.
    struct Pieces<'a> {
        stream: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = (*self.sizes.next().unwrap()).min(self.stream.len()).min(buffer.len());
            buffer[..size].copy_from_slice(&self.stream[..size]);
            self.stream = &self.stream[size..];
            Ok(size)
        }
    }

    /// Pieces of output, some of which look like marks.
    fn output() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            Just(b"\nB ".to_vec()),
            Just(b"\nB 1 x\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"B 1 1\n".to_vec()),
        ];
        prop::collection::vec(part, 0..6)
            .prop_map(|parts| parts.concat())
            // A whole mark inside an output is what the random boundary rules out.
            .prop_filter("holds a mark", |all| {
                Frames::new(&all[..], "B").copy_next(&mut io::sink()).unwrap().is_none()
            })
    }

    proptest! {
        #[test]
        fn every_output_comes_back(
            outputs in prop::collection::vec((output(), -1i32..256), 0..5),
            rest in output(),
            sizes in prop::collection::vec(1usize..9, 1..4),
        ) {
            let mut stream = Vec::new();
            for (i, (output, status)) in outputs.iter().enumerate() {
                stream.extend_from_slice(output);
                stream.extend_from_slice(format!("\nB {i} {status}\n").as_bytes());
            }
            // "\nB " at the end of an output and digits after it would be a mark; the boundary rules that out.
            let expected: Vec<Mark> = outputs.iter().enumerate().map(|(number, (_, status))| Mark { number, status: *status }).collect();
            let whole = [&stream[..], &rest[..]].concat();
            let mut frames = Frames::new(Pieces { stream: &whole, sizes: sizes.iter().cycle() }, "B");
            for (mark, (output, _)) in expected.iter().zip(&outputs) {
                let mut copied = Vec::new();
                prop_assert_eq!(frames.copy_next(&mut copied).unwrap(), Some(*mark));
                prop_assert_eq!(&copied, output);
            }
            let mut copied = Vec::new();
            prop_assert_eq!(frames.copy_next(&mut copied).unwrap(), None);
            prop_assert_eq!(copied, rest);
        }

        #[test]
        fn nothing_is_lost_of_any_stream(stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'B'), Just(b' '), Just(b'1'), any::<u8>()], 0..200)) {
            let mut frames = Frames::new(&stream[..], "B");
            let mut again = Vec::new();
            while let Some(mark) = frames.copy_next(&mut again).unwrap() {
                again.extend_from_slice(format!("\nB {} {}\n", mark.number, mark.status).as_bytes());
            }
            // Numbers may have been written with leading zeros or a plus sign.
            let digits = |bytes: &[u8]| bytes.iter().filter(|b| !b"0+".contains(b)).copied().collect::<Vec<u8>>();
            prop_assert_eq!(digits(&again), digits(&stream));
        }
    }

    #[test]
    fn a_long_output_takes_little_memory() {
        let long = vec![b'x'; 5 * CHUNK];
        let stream = [&long[..], b"\nB 0 0\n"].concat();
        let mut frames = Frames::new(&stream[..], "B");
        let mut copied = Vec::new();
        assert_eq!(frames.copy_next(&mut copied).unwrap(), Some(Mark { number: 0, status: 0 }));
        assert_eq!(copied, long);
        assert!(frames.buffer.capacity() <= 4 * CHUNK, "{}", frames.buffer.capacity());
    }
}
