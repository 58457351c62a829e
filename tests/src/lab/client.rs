//! A small HTTP/1.1 client with a say in what its own address is, and in every byte that it sends.
//!
//! ```no_run
//! # use cdist_tests::lab::client::Client;
//! let machine = Client::new("127.0.0.1:3000".parse().unwrap()).from("127.0.3.7".parse().unwrap());
//! let answer = machine.post("/install/", r#"{"mac":"52:54:00:00:00:01"}"#);
//! assert_eq!(answer.status, 202, "{}", answer.text());
//!
//! let nonsense = machine.raw(b"GET\r\n\r\n");
//! assert!(nonsense.starts_with(b"HTTP/1.1 400 "));
//!
//! let mut connection = machine.open().unwrap();
//! for _ in 0..2 {
//!     assert_eq!(connection.ask("GET", "/healthz", &[], b"").unwrap().status, 200);
//! }
//! ```

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::response::Response;

const LIMIT: Duration = Duration::from_secs(10);

/// Where to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Client {
    server: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
}

impl Client {
    /// Asks `server`; the kernel chooses the source address.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        Self { server, source: None, limit: LIMIT }
    }

    /// Asks from `source`. All of 127.0.0.0/8 is there without any preparation.
    #[must_use]
    pub fn from(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// How long it takes at most to connect, to write, and until the next bytes come; 10 s if nothing is said.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// `GET` on a connection of its own.
    ///
    /// # Panics
    ///
    /// If there is no proper answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Response {
        self.expect("GET", path, &[], b"")
    }

    /// `POST` on a connection of its own.
    ///
    /// # Panics
    ///
    /// If there is no proper answer.
    #[must_use]
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.expect("POST", path, &[], body.as_ref())
    }

    /// Any request on a connection of its own.
    ///
    /// # Panics
    ///
    /// If there is no proper answer.
    #[must_use]
    pub fn expect(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let answer = self.ask(method, path, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {path} at {}: {error}", self.server))
    }

    /// Any request on a connection of its own. `Host`, `Connection: close` and, with a body, `Content-Length` are
    /// added unless `headers` has them.
    ///
    /// # Errors
    ///
    /// The connection is refused, nothing comes in time (`WouldBlock`), the answer ends early (`UnexpectedEof`), or it is
    /// not HTTP (`InvalidData`).
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let close = headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("connection"));
        let headers: Vec<_> =
            headers.iter().copied().chain(close.then_some(("Connection", "close"))).collect();
        self.open()?.ask(method, path, &headers, body)
    }

    /// Sends `bytes` as they are and gives back everything that comes until the server closes, or until nothing has
    /// come for the whole limit.
    ///
    /// # Panics
    ///
    /// If there is no connection.
    #[must_use]
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut connection =
            self.open().unwrap_or_else(|error| panic!("connecting to {}: {error}", self.server));
        // Who refuses the first bytes may close before it has read the last ones.
        let _ = connection.send(bytes);
        let mut answer = Vec::new();
        let _ = connection.reader.read_to_end(&mut answer);
        answer
    }

    /// A connection that stays open.
    ///
    /// # Errors
    ///
    /// The connection is refused, or is not made in time.
    pub fn open(&self) -> io::Result<Connection> {
        let family = if self.server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if let Some(source) = self.source {
            bind(&socket, &SocketAddr::new(source, 0))?;
        }
        // On Linux the first one is the limit of connecting, too.
        for timeout in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
            sockopt::set_socket_timeout(&socket, timeout, Some(self.limit))?;
        }
        connect(&socket, &self.server)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(Connection { server: self.server, reader: BufReader::new(stream) })
    }
}

/// One connection, for one request after the other; or for half of one.
#[derive(Debug)]
pub struct Connection {
    server: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// A request and its answer. `Host` and, with a body, `Content-Length` are added unless `headers` has them.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !has("host") {
            request += &format!("Host: {}\r\n", self.server);
        }
        if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        // The answer to a request that is not even read to its end is what such a test wants to see.
        let sent = self.send(&[request.as_bytes(), body].concat());
        match self.answer(method) {
            Err(error) => Err(sent.err().unwrap_or(error)),
            answer => answer,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The other end has closed, or does not read.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads the next answer, which is one to a request with `method`: one to `HEAD` has no body. An interim answer
    /// (1xx) counts as one.
    ///
    /// # Errors
    ///
    /// As [`Client::ask`].
    pub fn answer(&mut self, method: &str) -> io::Result<Response> {
        Response::read(&mut self.reader, method)
    }

    /// True if the server has closed, or does so within the limit, and nothing more was to be read.
    pub fn is_closed(&mut self) -> bool {
        match self.reader.fill_buf() {
            Ok(rest) => rest.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::lab::http::Recorder;

    fn client(recorder: &Recorder) -> Client {
        Client::new((Ipv4Addr::LOCALHOST, recorder.port()).into())
    }

    #[test]
    fn a_request_comes_from_the_chosen_address() {
        let recorder = Recorder::start();
        let machine = client(&recorder).from(Ipv4Addr::new(127, 3, 2, 1).into());
        assert_eq!(
            (machine.get("/config/a?b").status, machine.post("/install/", "{}").text()),
            (200, "ok\n".into())
        );
        let requests = recorder.requests();
        let told: Vec<_> =
            requests.iter().map(|it| (it.method.as_str(), it.target.as_str(), it.body.as_slice())).collect();
        assert_eq!(told, [("GET", "/config/a?b", &b""[..]), ("POST", "/install/", &b"{}"[..])]);
        for request in &requests {
            assert_eq!(request.from.ip().to_string(), "127.3.2.1");
            assert_eq!(request.header("connection"), Some("close"));
            assert_eq!(request.header("host"), Some(format!("127.0.0.1:{}", recorder.port()).as_str()));
        }
        assert_eq!(requests[0].header("content-length"), None);
    }

    #[test]
    fn headers_of_the_caller_come_first() {
        let recorder = Recorder::start();
        let headers = [("host", "me"), ("content-length", "1"), ("Connection", "keep-alive")];
        client(&recorder).ask("POST", "/", &headers, b"xy").unwrap();
        let [request] = recorder.requests().try_into().unwrap();
        assert_eq!(request.headers.len(), headers.len());
        assert_eq!(request.body, b"x");
    }

    #[test]
    fn raw_bytes_go_out_as_they_are() {
        let recorder = Recorder::start();
        assert_eq!(client(&recorder).raw(b"\r\n"), b"");
        assert!(client(&recorder).raw(b"A B\r\n\r\n").ends_with(b"\r\n\r\nok\n"));
        let mut connection = client(&recorder).open().unwrap();
        connection.send(b"HEAD / HTTP/1.1\r\n").unwrap();
        connection.send(b"\r\n").unwrap();
        let answer = connection.answer("HEAD").unwrap();
        assert_eq!(
            (answer.status, answer.reason.as_str(), answer.header("content-length")),
            (200, "Lab", Some("3"))
        );
        assert!(answer.body.is_empty() && connection.is_closed());
    }

    #[test]
    fn a_server_that_is_silent_or_absent_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(listener.local_addr().unwrap()).limit(Duration::from_millis(50));
        assert_eq!(client.ask("GET", "/", &[], b"").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(client.raw(b"x"), b"");
        drop(listener);
        assert_eq!(client.open().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
