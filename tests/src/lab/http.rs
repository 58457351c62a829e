//! Tiny HTTP servers: one remembers what it is asked, one gives out files.
//!
//! They speak just enough HTTP/1.1 for curl, apt and wget: one request per connection, body by `Content-Length`.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::process::wait_until;

/// One request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The target with its query, not decoded.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Empty without a `Content-Length`.
    pub body: Vec<u8>,
    /// Who asked.
    pub from: SocketAddr,
}

impl Request {
    /// The first header called `name`, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

type Answer = (u16, Box<dyn Read>, u64);

/// A server on a thread of its own; dropping it stops it.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(listener: TcpListener, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("reading the address of a listener");
        // Waking a blocked accept from outside would need a connection from the listener's own network namespace.
        listener.set_nonblocking(true).expect("making a listener non-blocking");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let answer = Arc::new(answer);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((stream, from)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let answer = Arc::clone(&answer);
                // A client that goes away in the middle is its own affair.
                thread::spawn(move || exchange(&stream, from, answer.as_ref()).ok());
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn exchange(stream: &TcpStream, from: SocketAddr, answer: &dyn Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let request = read_request(&mut BufReader::new(stream), from)?;
    let (status, mut body, length) = answer(&request);
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status} Lab\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    if request.method != "HEAD" {
        io::copy(&mut body, &mut stream)?;
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead, from: SocketAddr) -> io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request line"));
    };
    let mut request = Request { method, target, headers: Vec::new(), body: Vec::new(), from };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(request)
}

fn loopback() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).expect("binding a port of the loopback")
}

/// A server that remembers every request.
#[derive(Debug)]
pub struct Recorder {
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Recorder {
    /// Listens on the loopback and answers 200.
    ///
    /// # Panics
    ///
    /// If no port can be bound.
    #[must_use]
    pub fn start() -> Self {
        Self::answering(loopback(), &[])
    }

    /// Answers the first requests with `statuses`, one each, and 200 after that. A test of retries gives `[503, 500]`.
    ///
    /// # Panics
    ///
    /// If the listener is not usable.
    #[must_use]
    pub fn answering(listener: TcpListener, statuses: &[u16]) -> Self {
        let statuses = statuses.to_vec();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let server = Server::start(listener, move |request| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let status = statuses.get(seen.len()).copied().unwrap_or(200);
            seen.push(request.clone());
            (status, Box::new(io::Cursor::new("ok\n")), 3)
        });
        Self { server, requests }
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// Its base URL for a guest with a user network.
    #[must_use]
    pub fn guest_url(&self) -> String {
        format!("http://10.0.2.2:{}", self.port())
    }

    /// Its base URL in the network where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first request whose target begins with `prefix`.
    #[must_use]
    pub fn seen(&self, prefix: &str) -> Option<Request> {
        self.requests().into_iter().find(|request| request.target.starts_with(prefix))
    }

    /// Waits for [`seen`](Self::seen).
    ///
    /// # Panics
    ///
    /// If none comes within `limit`; the message lists what came.
    #[must_use]
    pub fn wait_for(&self, prefix: &str, limit: Duration) -> Request {
        wait_until(limit, || self.seen(prefix)).unwrap_or_else(|| {
            panic!("no request for {prefix} within {} s, but: {:?}", limit.as_secs(), self.requests())
        })
    }
}

/// A server of the files below a directory.
#[derive(Debug)]
pub struct FileServer(Server);

impl FileServer {
    /// Serves `root` on the loopback.
    ///
    /// # Panics
    ///
    /// If no port can be bound.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let root = root.to_owned();
        Self(Server::start(loopback(), move |request| {
            open_below(&root, &request.target).map_or_else(
                || (404, Box::new(io::empty()) as Box<dyn Read>, 0),
                |(file, size)| (200, Box::new(file), size),
            )
        }))
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }
}

fn open_below(root: &Path, target: &str) -> Option<(File, u64)> {
    let path = percent_decode(target.split('?').next()?)?;
    let relative: PathBuf =
        Path::new(&path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let file = File::open(root.join(relative)).ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    Some((file, metadata.len()))
}

/// apt asks for `%3a` and `%7e` where a file name has `:` and `~`.
fn percent_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, text: &str) -> String {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_recorder_remembers_and_answers_in_order() {
        let recorder = Recorder::answering(loopback(), &[503]);
        let post = "POST /install/?mac=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
        assert!(ask(&recorder.url(), post).starts_with("HTTP/1.1 503"));
        assert!(ask(&recorder.url(), "GET /config/ HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
        let request = recorder.wait_for("/install/", Duration::from_secs(1));
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", b"body".as_slice()));
        assert_eq!(request.header("host"), Some("x"));
        assert_eq!(recorder.requests().len(), 2);
    }

    #[test]
    fn a_file_server_stays_below_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("secret"), "no").unwrap();
        fs::write(dir.path().join("root/a:b"), "yes").unwrap();
        let server = FileServer::start(&dir.path().join("root"));
        assert!(ask(&server.url(), "GET /a%3ab HTTP/1.1\r\n\r\n").ends_with("\r\n\r\nyes"));
        for target in ["/../secret", "/%2e%2e/secret", "/", "/none", "/%f"] {
            let answer = ask(&server.url(), &format!("GET {target} HTTP/1.1\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
        }
    }
}
