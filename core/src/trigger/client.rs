//! Requests to a server through the socket in its state directory.

use std::{io, path::PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, runtime::Runtime};

use super::admin::{api::ProblemView, socket};

/// What stands for itself in a path (RFC 3986, `unreserved`), and the colons of addresses.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Why a server cannot be asked, or refuses.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    message: String,
    hint: Option<String>,
}

impl ClientError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What to try next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The way to the server of a state directory.
#[derive(Debug)]
pub struct Client {
    state_dir: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// To the server of this state directory.
    ///
    /// # Errors
    ///
    /// The runtime cannot be started.
    pub fn new(state_dir: PathBuf) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::new(format!("starting the runtime: {error}")))?;
        Ok(Self { state_dir, runtime })
    }

    /// The JSON at a path below `/api/v1`, as it comes.
    ///
    /// # Errors
    ///
    /// No server runs there, it hangs up, or it refuses.
    pub fn get(&self, path: &str) -> Result<String, ClientError> {
        self.ask(Method::GET, path, None)
    }

    /// Posts to a path below `/api/v1`.
    ///
    /// # Errors
    ///
    /// As of [`get`](Self::get), or the answer cannot be read.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ClientError> {
        read(&self.ask(Method::POST, path, body)?)
    }

    /// Deletes what is at a path below `/api/v1`.
    ///
    /// # Errors
    ///
    /// As of [`post`](Self::post).
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(&self.ask(Method::DELETE, path, None)?)
    }

    /// Hands a body over piece by piece, however long that takes.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), or an error of `take`, which ends the stream.
    pub fn stream<E: From<ClientError>>(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.runtime.block_on(async {
            let mut body = self.send(Method::GET, path, None).await?.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                if let Ok(piece) = frame.into_data() {
                    take(&piece)?;
                }
            }
            Ok(())
        })
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<String, ClientError> {
        self.runtime.block_on(async {
            let response = self.send(method, path, body).await?;
            let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        })
    }

    /// The response to a request, with a status of success.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect()?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(async move {
            // What goes wrong shows when the answer is read.
            let _ = connection.await;
        });
        let body = body.map(serde_json::Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| ClientError::new(format!("asking the trigger server: {error}")))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        let problem: Result<ProblemView, _> = serde_json::from_slice(&body);
        Err(match problem {
            Ok(ProblemView { error, hint }) => ClientError { message: error, hint },
            Err(_) => ClientError::new(format!("the trigger server answers with status {status}")),
        })
    }

    fn connect(&self) -> Result<UnixStream, ClientError> {
        let connected = socket::connect(&self.state_dir).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        let dir = self.state_dir.display();
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::new(format!(
                "no trigger server is running with the state directory {dir}"
            ))
            .with_hint(
                "start one with `cdist trigger`, or name the state directory of another one with --state-dir",
            ),
            io::ErrorKind::PermissionDenied => {
                ClientError::new(format!("the state directory {dir} is another user's"))
                    .with_hint("run this as the user who runs the trigger server")
            }
            _ => ClientError::new(format!("connecting to {dir}/{}: {error}", socket::NAME)),
        })
    }

    fn broken(&self, error: &hyper::Error) -> ClientError {
        let dir = self.state_dir.display();
        ClientError::new(format!("the trigger server with the state directory {dir} has hung up: {error}"))
            .with_hint("see whether it still runs, and what its log says")
    }
}

/// Reads the JSON of an answer.
///
/// # Errors
///
/// `text` is no JSON, or has not the form that this version expects.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| {
        ClientError::new(format!("the answer of the trigger server cannot be read: {error}"))
            .with_hint("is it of another version? `cdist trigger status --json` tells")
    })
}

/// The path for a machine.
pub fn machine(word: &str, rest: &str) -> String {
    format!("/machines/{}{rest}", utf8_percent_encode(word, PLAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_one_part_of_a_path() {
        assert_eq!(machine("52:54:00:ab:cd:01", "/arm"), "/machines/52:54:00:ab:cd:01/arm");
        assert_eq!(machine("fe80::1%eth0", ""), "/machines/fe80::1%25eth0");
        assert_eq!(machine("../a?b#c d\u{e9}", ""), "/machines/..%2Fa%3Fb%23c%20d%C3%A9");
    }
}
