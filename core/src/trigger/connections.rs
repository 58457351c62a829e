//! How many connections there are, in all and from one peer: no peer can take them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections.
#[derive(Clone, Debug)]
pub struct Connections {
    all: Arc<Semaphore>,
    per_peer: usize,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection; dropping it makes room for another.
#[derive(Debug)]
pub struct Connection {
    _permit: OwnedSemaphorePermit,
    peer: IpAddr,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Connections {
    /// At most `all` of them; one peer has a sixteenth of them at most. A network of IPv6 with 64 bits is one peer: that is
    /// what one machine can have addresses of.
    pub fn new(all: usize) -> Self {
        let per_peer = (all / 16).max(1);
        Self { all: Arc::new(Semaphore::new(all)), per_peer, peers: Arc::default() }
    }

    /// At most `all` of them, whoever has them.
    pub fn of_anybody(all: usize) -> Self {
        Self { per_peer: all, ..Self::new(all) }
    }

    /// Waits until there is room for one more.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// Counts a connection of `peer`. `None` if it has too many.
    pub fn count(&self, permit: OwnedSemaphorePermit, peer: IpAddr) -> Option<Connection> {
        let peer = network(peer);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer).or_default();
        if *count >= self.per_peer {
            return None;
        }
        *count += 1;
        Some(Connection { _permit: permit, peer, peers: Arc::clone(&self.peers) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_peer_does_not_get_all() {
        let connections = Connections::new(32);
        let peers: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let mut open = Vec::new();
        for _ in 0..2 {
            let permit = connections.room().await.unwrap();
            open.push(connections.count(permit, peers[0]).unwrap());
        }
        let permit = connections.room().await.unwrap();
        assert!(connections.count(permit, peers[0]).is_none());
        let permit = connections.room().await.unwrap();
        assert!(connections.count(permit, peers[1]).is_some());
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(v6("2001:db8::1")), network(v6("2001:db8::ffff:1")));
        assert_ne!(network(v6("2001:db8::1")), network(v6("2001:db8:0:1::1")));
        open.clear();
        assert!(connections.peers.lock().unwrap().is_empty());
        assert_eq!(connections.all.available_permits(), 32);
    }
}
