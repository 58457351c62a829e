//! The output of a batch, cut by [`Frames`] and by a model of it that sees all at once.

use std::io::{self, Read};

use super::frames::{Frames, Mark};

/// Hands out a stream in pieces, as a pipe does.
struct Pieces<'a> {
    stream: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().map_or(1, |size| usize::from(*size) + 1);
        let (piece, rest) = self.stream.split_at(size.min(self.stream.len()).min(buffer.len()));
        let (place, _) = buffer.split_at_mut(piece.len());
        place.copy_from_slice(piece);
        self.stream = rest;
        Ok(piece.len())
    }
}

/// What the target has printed. `data` is sizes of pieces, a byte 255, and the stream, whose boundary is `B`.
pub fn framed_stream(data: &[u8]) {
    let mut parts = data.splitn(2, |&b| b == 0xff);
    let sizes = parts.next().unwrap_or_default();
    let stream = parts.next().unwrap_or_default();
    let sizes = if sizes.is_empty() { &[7] } else { sizes };
    let expected = cut(stream);
    for sizes in [sizes, &[0xff]] {
        let mut frames = Frames::new(Pieces { stream, sizes: sizes.iter().cycle() }, "B");
        let mut found = Vec::new();
        loop {
            let mut output = Vec::new();
            let mark = frames.copy_next(&mut output).expect("neither reading nor writing fails");
            found.push((output, mark));
            if mark.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "in pieces of {sizes:?}");
        let mut rest = Vec::new();
        assert_eq!(frames.copy_next(&mut rest).expect("nothing fails"), None);
        assert!(rest.is_empty(), "there is more after the end");
    }
}

/// Outputs and their marks; the last one has none.
fn cut(stream: &[u8]) -> Vec<(Vec<u8>, Option<Mark>)> {
    let mut all = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < stream.len() {
        match stream.get(at..).and_then(mark_at_start) {
            Some((mark, length)) => {
                all.push((stream.get(begin..at).unwrap_or_default().to_vec(), Some(mark)));
                at += length;
                begin = at;
            }
            None => at += 1,
        }
    }
    all.push((stream.get(begin..).unwrap_or_default().to_vec(), None));
    all
}

/// A mark with its length, if `bytes` begin with one: at most 63 bytes between boundary and end of line.
fn mark_at_start(bytes: &[u8]) -> Option<(Mark, usize)> {
    let rest = bytes.strip_prefix(b"\nB ")?;
    let end = rest.iter().take(64).position(|&b| b == b'\n')?;
    let (number, status) = std::str::from_utf8(rest.get(..end)?).ok()?.split_once(' ')?;
    let mark = Mark { number: number.parse().ok()?, status: status.parse().ok()? };
    Some((mark, 3 + end + 1))
}
