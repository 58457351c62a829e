//! What the services of both listeners have in common: limits of a connection, bodies that may stream, answers.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
    time::timeout,
};

use super::accept::stopped;

/// Longest body.
const BODY_MAX: usize = 64 * 1024;
/// Longest head; the least that hyper takes is half of it.
const HEAD_MAX: usize = 16 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 64;
/// How long a head may take to come, and how long a connection may have nothing to say.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The body of an answer; logs come in pieces.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Which page has sent a request, as far as its headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// None, or an old browser does not say.
    Unknown,
    /// One that came from the same listener.
    Own,
    /// Another origin. Its requests must not change anything.
    Foreign,
}

/// A body whose pieces are still to come. When the client goes it is dropped, and the sender sees that.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A body that goes on until the sender of its pieces is dropped.
pub(crate) fn streamed(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    Pieces(pieces).boxed_unsync()
}

/// A whole body.
pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer that no cache keeps, and whose type no browser guesses.
pub fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Serves one connection to its end; when the server is to stop, to the end of the request that is being answered.
/// With `half_closed` also for a peer that has closed its side of the connection; usually that peer has gone.
pub(crate) async fn connection<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut stop: watch::Receiver<bool>,
    half_closed: bool,
    answer: impl Fn(Request<Incoming>) -> S,
) -> hyper::Result<()>
where
    S: Future<Output = Response<B>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_MAX)
            .max_headers(HEADERS_MAX)
            .half_close(half_closed)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Why a request has no body to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Too long.
    #[error("the body has more than 64 KiB")]
    TooLong,
    /// Too slow.
    #[error("the body did not come within 10 seconds")]
    TooSlow,
    /// It breaks off, or is no HTTP.
    #[error("the body cannot be read: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

impl BodyError {
    /// The status of HTTP for it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The body of a request.
///
/// # Errors
///
/// The body is too long, or does not come in time.
pub(crate) async fn read<B>(body: B) -> Result<Bytes, BodyError>
where
    B: hyper::body::Body + Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLong),
        Ok(Err(error)) => Err(BodyError::Broken(error)),
        Err(_) => Err(BodyError::TooSlow),
    }
}
