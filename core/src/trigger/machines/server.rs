//! The HTTP server that machines call. It knows connections, headers and bodies; what they mean is
//! [`protocol`]'s business.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Body,
    header::{self, HeaderValue},
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{broadcast, watch},
    time::sleep,
};

use super::protocol::{self, Reply, Wish};
use crate::{
    net::{
        accept::{accept, stopped},
        connections::Connections,
        http,
        neighbours::Neighbours,
    },
    token::Token,
    trigger::{
        address::TargetAddress,
        dispatcher::Dispatcher,
        facts::Facts,
        job::{JobId, JobKind, JobState},
        ledger::{Answer, Call},
    },
};

/// Headers that browsers send, and programs that call do not.
const BROWSERS: [&str; 4] = ["origin", "sec-fetch-mode", "sec-fetch-site", "accept-language"];

/// What the server is told at its start.
#[derive(Debug, Default)]
pub struct Access {
    /// Networks whose machines may call; all if there are none.
    pub allow: Vec<IpNet>,
    /// What machines have to know.
    pub token: Option<Token>,
    /// What `/file/` does.
    pub files: Option<Files>,
}

/// The files of `/file/present/` and `/file/absent/`.
#[derive(Clone, Debug)]
pub struct Files {
    /// Where they are made; each is called like the address of a machine.
    pub dir: PathBuf,
    /// What is in them.
    pub source: PathBuf,
}

/// Answers machines.
#[derive(Debug)]
pub struct Server {
    dispatcher: Dispatcher,
    /// Of all listeners.
    connections: Connections,
    access: Access,
    neighbours: Neighbours,
    stop: watch::Receiver<bool>,
    /// Answers peers that have closed their half of the connection, too. A machine that does so has gone; but a test sends
    /// all it has and reads to the end.
    half_closed: bool,
}

impl Server {
    /// A server that ends when `stop` becomes true.
    pub fn new(
        dispatcher: Dispatcher,
        access: Access,
        connections: Connections,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Self::answering(dispatcher, access, connections, stop, false)
    }

    /// Like [`new`](Self::new); `half_closed` is for [`testing`](crate::trigger::testing).
    pub(in crate::trigger) fn answering(
        dispatcher: Dispatcher,
        access: Access,
        connections: Connections,
        stop: watch::Receiver<bool>,
        half_closed: bool,
    ) -> Arc<Self> {
        let neighbours = Neighbours::default();
        Arc::new(Self { dispatcher, connections, access, neighbours, stop, half_closed })
    }

    /// Serves until it is to stop, and then until the last answers are out.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        accept(listener, self.connections.clone(), self.stop.clone(), |stream, peer| {
            let server = Arc::clone(&self);
            async move {
                let connections = &server.dispatcher.counters().connections;
                connections.fetch_add(1, Relaxed);
                Arc::clone(&server).connection(stream, peer).await;
                connections.fetch_sub(1, Relaxed);
            }
        })
        .await;
    }

    /// Serves one connection of `peer` to its end.
    pub async fn connection(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
    ) {
        let stop = self.stop.clone();
        let result = http::connection(stream, stop, self.half_closed, |request| {
            let server = Arc::clone(&self);
            async move { server.answer(request, peer).await }
        })
        .await;
        if let Err(error) = result {
            tracing::debug!("connection of {peer}: {error}");
        }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let as_json = wants_json(request.headers());
        let reply = match self.decide(request, peer).await {
            Ok(reply) => reply,
            Err(reply) => {
                self.count(&reply);
                reply
            }
        };
        response(&reply, as_json)
    }

    /// The answer; an error is one that was found early.
    async fn decide<B>(&self, request: Request<B>, peer: SocketAddr) -> Result<Reply, Reply>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let wish = protocol::parse(head.uri.path(), head.uri.query())?;
        let reads = matches!(wish, Wish::Health | Wish::Look(_));
        match head.method {
            Method::GET | Method::POST => {}
            // HEAD asks what would be answered, and does nothing.
            Method::HEAD if reads => {}
            _ => return Err(Reply::new(405, "only GET and POST do something here")),
        }
        if wish == Wish::Health {
            return Ok(match self.dispatcher.counters().complaint() {
                None => Reply::new(200, "ok"),
                Some(why) => Reply::new(503, why),
            });
        }
        let address = peer.ip().to_canonical();
        self.admit(&head.headers, address)?;
        let target = TargetAddress::of_peer(peer);
        match wish {
            Wish::Job { kind, path, wait } => {
                let body =
                    if head.method == Method::POST { http::read(body).await } else { Ok(Bytes::new()) };
                let body = body.map_err(|error| Reply::new(error.status().as_u16(), error.to_string()))?;
                let facts = Facts::parse(&body).map_err(|error| {
                    Reply::new(400, format!("{kind} of {target} not queued: {}", crate::chain(&error)))
                })?;
                self.job(kind, path, wait, facts, peer, target).await
            }
            Wish::File(present) => self.file(present, target).await,
            Wish::Look(id) => self.look(id, &target).await,
            Wish::Health => Ok(Reply::new(200, "ok")),
        }
    }

    /// Who may ask at all.
    fn admit(&self, headers: &HeaderMap, address: IpAddr) -> Result<(), Reply> {
        let allow = &self.access.allow;
        if !allow.is_empty() && !allow.iter().any(|net| net.contains(&address)) {
            return Err(Reply::new(403, format!("{address} is not in a network that --allow names")));
        }
        // A page in a browser must not start anything. None of these is said in every request of every browser.
        let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        if agent.starts_with(b"Mozilla/") || BROWSERS.iter().any(|name| headers.contains_key(*name)) {
            return Err(Reply::new(403, "this is for machines, not for browsers"));
        }
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if self.access.token.as_ref().is_some_and(|token| !token.is_in(given)) {
            return Err(Reply::new(
                401,
                "the token is missing or wrong; send it as `Authorization: Bearer TOKEN`",
            ));
        }
        Ok(())
    }

    async fn job(
        &self,
        kind: JobKind,
        path: String,
        wait: Option<u64>,
        facts: Facts,
        peer: SocketAddr,
        target: TargetAddress,
    ) -> Result<Reply, Reply> {
        // Before the call, or the end could be missed.
        let events = wait.map(|_| self.dispatcher.events());
        let neighbour = self.neighbours.mac_of(peer);
        let call = Call { kind, address: target.clone(), neighbour, facts, path };
        let answer = self.dispatcher.call(call).await;
        let answer = answer.map_err(|error| protocol::unavailable(&error, kind, &target))?;
        let counters = self.dispatcher.counters();
        let (counter, waited_for) = match answer {
            Answer::Queued(job) => (&counters.accepted, Some((job, JobState::Queued))),
            Answer::Joined(job) => (&counters.joined, Some((job, JobState::Queued))),
            Answer::Running(job) => (&counters.joined, Some((job, JobState::Running))),
            Answer::Refused(..) | Answer::Elsewhere(_) | Answer::Astray(_) => (&counters.refused, None),
            Answer::Rebooted(_)
            | Answer::Moved(_)
            | Answer::Taken(_)
            | Answer::QueueFull
            | Answer::MachinesFull => (&counters.unavailable, None),
        };
        counter.fetch_add(1, Relaxed);
        match (waited_for, wait, events) {
            (Some((job, state)), Some(seconds), Some(events)) => {
                let limit = Duration::from_secs(seconds);
                let (state, gives_way) = self.wait(job, state, limit, events, peer.ip().to_canonical()).await;
                Ok(Reply { closes: gives_way, ..protocol::standing(job, kind, state, &target, true) })
            }
            _ => Ok(protocol::called(answer, kind, &target)),
        }
    }

    /// Waits for the end of a job, but not longer than `limit`, and not when the server ends or others need the connection,
    /// which the second value tells. The state is the last known.
    async fn wait(
        &self,
        job: JobId,
        mut state: JobState,
        limit: Duration,
        mut events: broadcast::Receiver<crate::trigger::dispatcher::JobEvent>,
        peer: IpAddr,
    ) -> (JobState, bool) {
        let end = async {
            while !state.is_final() {
                match events.recv().await {
                    Ok(event) if event.job == job => state = event.state,
                    Ok(_) => {}
                    // Too much has happened: what is stored tells.
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let stored = self.dispatcher.job(job).await;
                        state = stored.ok().flatten().map_or(state, |job| job.state);
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        let mut stop = self.stop.clone();
        let mut wait = self.connections.wait(peer);
        let gives_way = tokio::select! {
            () = end => false,
            () = sleep(limit) => false,
            () = stopped(&mut stop) => false,
            () = wait.is_in_the_way() => true,
        };
        (state, gives_way)
    }

    async fn look(&self, id: JobId, target: &TargetAddress) -> Result<Reply, Reply> {
        let job = self.dispatcher.job(id).await.map_err(|_| Reply::new(500, "jobs cannot be read"))?;
        match job.filter(|job| job.address == *target) {
            Some(job) => Ok(protocol::standing(id, job.kind, job.state, target, false)),
            // The same answer for jobs of other addresses and for jobs that do not exist.
            None => Err(Reply::new(404, format!("{target} has no job {id}"))),
        }
    }

    async fn file(&self, present: bool, target: TargetAddress) -> Result<Reply, Reply> {
        let Some(files) = self.access.files.clone() else {
            return Err(Reply::new(404, "no files here: the server was started without -D and --source"));
        };
        let path = files.dir.join(target.as_str());
        let work = move || {
            if present {
                let content = std::fs::read(&files.source)?;
                return crate::host::atomic::write_atomic(&path, 0o644, &content);
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => Ok(Reply::new(
                200,
                format!("file of {target} {}", if present { "present" } else { "absent" }),
            )),
            Ok(Err(error)) => {
                tracing::error!("the file of {target}: {error}");
                Err(Reply::new(
                    500,
                    format!("the file of {target} could not be changed; the server's log says why"),
                ))
            }
            Err(_) => Err(Reply::new(500, "the server failed inside")),
        }
    }

    /// Counts what was answered before anything was decided.
    fn count(&self, reply: &Reply) {
        let counters = self.dispatcher.counters();
        let counter = match reply.status {
            401 | 403 => &counters.forbidden,
            503 => &counters.unavailable,
            500 => &counters.failed,
            _ => &counters.bad,
        };
        counter.fetch_add(1, Relaxed);
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("application/json")))
}

fn response(reply: &Reply, as_json: bool) -> Response<Full<Bytes>> {
    let (kind, text) = if as_json {
        ("application/json", serde_json::to_string(reply).unwrap_or_default() + "\n")
    } else {
        ("text/plain; charset=utf-8", format!("{}\n", reply.message))
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(job) = reply.job
        && let Ok(location) = HeaderValue::from_str(&format!("/jobs/{job}"))
    {
        headers.insert(header::LOCATION, location);
    }
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    match reply.status {
        401 => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        405 => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"))),
        // What comes after a body that was not read cannot be told from it.
        400 | 408 | 413 => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
        _ if reply.closes => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
        _ => {}
    }
    response
}
