//! An answer of HTTP/1.1, read strictly: what is not one is an error.

use std::io::{self, BufRead, Read};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 202.
    pub status: u16,
    /// The words after it.
    pub reason: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without the framing.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one, the answer to a request with `method`.
    pub(super) fn read(reader: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let line = read_line(reader)?;
        let mut parts = line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default();
        let status = parts.next().filter(|status| status.len() == 3).and_then(|status| status.parse().ok());
        let Some(status) = status.filter(|_| matches!(version, "HTTP/1.1" | "HTTP/1.0")) else {
            return Err(broken(format!("no status line: {line:?}")));
        };
        let reason = parts.next().unwrap_or_default().to_owned();
        let mut response = Self { status, reason, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = read_line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(format!("no header: {line:?}")))?;
            response.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            response.body = read_chunks(reader)?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(|_| broken(format!("no length: {length:?}")))?;
            response.body = read_exactly(reader, length)?;
        } else {
            reader.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// The first header called `name`, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            u64::from_str_radix(size, 16).map_err(|_| broken(format!("no size of a chunk: {line:?}")))?;
        body.extend(read_exactly(reader, size)?);
        // After the last chunk there may be trailers; the servers here send none.
        if !read_line(reader)?.is_empty() {
            return Err(broken("a chunk is longer than its size".to_owned()));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(reader: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let found = reader.take(length).read_to_end(&mut bytes)?;
    if found as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A line without its end.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, method: &str) -> io::Result<Response> {
        Response::read(&mut text.as_bytes(), method)
    }

    #[test]
    fn bodies_end_by_length_by_chunks_and_by_closing() {
        for (text, method, body) in [
            ("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nabc", "GET", "ab"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
                "GET",
                "abc",
            ),
            ("HTTP/1.0 200\r\n\r\nabc", "GET", "abc"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", ""),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", "POST", ""),
        ] {
            assert_eq!(parse(text, method).unwrap().text(), body, "{text:?}");
        }
    }

    #[test]
    fn an_answer_that_is_broken_is_an_error() {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        for (text, kind) in [
            ("", UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nA: b", UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", UnexpectedEof),
            ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\na", InvalidData),
            ("HTTP/1.1 20 OK\r\n\r\n", InvalidData),
            ("SSH-2.0-x 200\r\n\r\n", InvalidData),
            ("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", InvalidData),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", InvalidData),
        ] {
            assert_eq!(parse(text, "GET").unwrap_err().kind(), kind, "{text:?}");
        }
    }
}
