//! Accepting connections, so many in all and from one peer, until the server is to stop.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::connections::{Connections, user_of};

/// How long answers may take to go out when the server ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// A socket that connections come from.
pub(crate) trait Listen: Sync {
    /// A connection.
    type Stream: Send + 'static;
    /// Who is at its other end.
    type Peer: Copy + Send + 'static;

    /// Waits for the next connection.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;

    /// For whom it is counted.
    fn counted_for(peer: Self::Peer) -> IpAddr;

    /// The user of this machine at its other end, if that can be told.
    fn user(_stream: &Self::Stream, _peer: Self::Peer) -> Option<u32> {
        None
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn counted_for(peer: SocketAddr) -> IpAddr {
        peer.ip().to_canonical()
    }

    fn user(stream: &TcpStream, peer: SocketAddr) -> Option<u32> {
        user_of(peer, stream.local_addr().ok()?)
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;
    type Peer = ();

    async fn next(&self) -> io::Result<(UnixStream, ())> {
        Ok((self.accept().await?.0, ()))
    }

    fn counted_for((): ()) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// Hands connections to `serve` until the server is to stop, and then waits until the last answers are out.
pub(crate) async fn accept<L: Listen, F: Future<Output = ()> + Send + 'static>(
    listener: L,
    connections: Connections,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(L::Stream, L::Peer) -> F,
) {
    // Closed when the last connection has dropped its end.
    let (open, mut closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = async {
            let permit = connections.room().await?;
            Some((permit, listener.next().await))
        };
        let (permit, accepted) = tokio::select! {
            () = stopped(&mut stop) => break,
            Some(accepted) = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, or a peer that has closed the connection already.
                tracing::debug!("accepting a connection: {error}");
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let user = || L::user(&stream, peer);
        let Some(counted) = connections.count(permit, L::counted_for(peer), user) else {
            tracing::debug!("{} has too many connections", L::counted_for(peer));
            continue;
        };
        let (connection, open) = (serve(stream, peer), open.clone());
        tokio::spawn(async move {
            connection.await;
            drop((counted, open));
        });
    }
    drop((listener, open));
    let _ = timeout(LAST_ANSWERS, closed.recv()).await;
}

/// Waits until the server is to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender is gone, and the server with it.
    let _ = stop.wait_for(|stop| *stop).await;
}
