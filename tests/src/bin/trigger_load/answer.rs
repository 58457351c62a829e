//! Finds the end of an answer in the bytes of a connection, and checks it on the way.

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not yet an answer.
    Part,
    Answer(Answer),
    /// Nothing that an HTTP server says.
    Nonsense,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The request has joined a job that waits already, as the text tells.
    pub(crate) joined: bool,
    /// The server closes after it.
    pub(crate) last: bool,
    /// How many bytes it has.
    pub(crate) length: usize,
}

/// Looks at `bytes`; `ended` says that no more of them will come.
pub(crate) fn find(bytes: &[u8], ended: bool) -> Found {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Found::Part };
    let mut lines =
        bytes[..head].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some((old, status)) = lines.next().and_then(status_line) else { return Found::Nonsense };
    let (mut length, mut last) = (None, old);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return Found::Nonsense };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = str::from_utf8(value).ok().and_then(|value| value.parse::<usize>().ok());
            let Some(number) = number else { return Found::Nonsense };
            length = Some(number);
        } else if name.eq_ignore_ascii_case(b"connection") {
            last = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Found::Nonsense;
        }
    }
    let body = &bytes[head + 4..];
    let length = match length {
        Some(length) if length <= body.len() => length,
        Some(_) => return Found::Part,
        // Only a server that closes may leave it out.
        None if !last => return Found::Nonsense,
        None if ended => body.len(),
        None => return Found::Part,
    };
    let joined = status == 202 && body[..length].windows(6).any(|word| word == b"joined");
    Found::Answer(Answer { status, joined, last, length: head + 4 + length })
}

/// `HTTP/1.0` or not, and the status.
fn status_line(line: &[u8]) -> Option<(bool, u16)> {
    let (old, rest) = match line.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix(b"HTTP/1.0 ")?),
    };
    let status = str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    ((200..600).contains(&status) && matches!(rest.get(3), None | Some(b' '))).then_some((old, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, joined: bool, last: bool, length: usize) -> Found {
        Found::Answer(Answer { status, joined, last, length })
    }

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let one = b"HTTP/1.1 202 Accepted\r\ncontent-length: 7\r\n\r\njoined\n";
        let two = [&one[..], b"HTTP/1.1 202"].concat();
        assert_eq!(find(&two, false), answer(202, true, false, one.len()));
        for end in 0..one.len() {
            assert_eq!(find(&one[..end], false), Found::Part);
        }
        let full = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(find(full, false), answer(503, false, true, full.len()));
    }

    #[test]
    fn without_a_length_it_ends_with_the_connection() {
        let old = b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nab";
        assert_eq!(find(old, false), Found::Part);
        assert_eq!(find(old, true), answer(200, false, true, old.len()));
    }

    #[test]
    fn what_is_no_answer_is_nonsense() {
        for text in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        ] {
            assert_eq!(find(text.as_bytes(), true), Found::Nonsense, "{text:?}");
        }
    }
}
