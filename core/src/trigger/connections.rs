//! How many connections there are, in all and from one peer: no peer can take them all, and those that only wait for the
//! end of a job give way when there is no room for others.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// How long a connection that was asked to give way may take before the next one is asked, too.
const GIVES_WAY: Duration = Duration::from_millis(200);

/// Counts connections.
#[derive(Clone, Debug)]
pub struct Connections {
    all: Arc<Semaphore>,
    per_peer: usize,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    waits: Arc<Mutex<Waits>>,
}

/// Requests that only wait, the longest waiting first.
#[derive(Debug, Default)]
struct Waits {
    last: u64,
    by_age: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
}

/// A request that only waits.
#[derive(Debug)]
pub struct Wait {
    number: u64,
    waits: Arc<Mutex<Waits>>,
    gives_way: oneshot::Receiver<()>,
}

impl Wait {
    /// Returns when others need the connection more.
    pub async fn is_in_the_way(&mut self) {
        // The other end is kept until then.
        let _ = (&mut self.gives_way).await;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        locked(&self.waits).by_age.remove(&self.number);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self { all: Arc::new(Semaphore::new(all)), per_peer, peers: Arc::default(), waits: Arc::default() }
    }

    /// At most `all` of them, whoever has them.
    pub fn of_anybody(all: usize) -> Self {
        Self { per_peer: all, ..Self::new(all) }
    }

    /// Waits until there is room for one more. Those that only wait give way for it.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if self.all.available_permits() == 0 {
                self.give_way(None);
            }
            let permit = Arc::clone(&self.all).acquire_owned();
            if let Ok(permit) = timeout(GIVES_WAY, permit).await {
                return permit.ok();
            }
        }
    }

    /// A request of `peer` begins to wait for the end of a job.
    pub fn wait(&self, peer: IpAddr) -> Wait {
        let (sender, gives_way) = oneshot::channel();
        let mut waits = locked(&self.waits);
        waits.last += 1;
        let number = waits.last;
        waits.by_age.insert(number, (network(peer), sender));
        Wait { number, waits: Arc::clone(&self.waits), gives_way }
    }

    /// The request that has waited longest, of all or of one peer, waits no more.
    fn give_way(&self, peer: Option<IpAddr>) {
        let mut waits = locked(&self.waits);
        let is_meant = |(_, (of, _)): &(&u64, &(IpAddr, oneshot::Sender<()>))| peer.is_none_or(|peer| *of == peer);
        let oldest = waits.by_age.iter().find(is_meant).map(|(number, _)| *number);
        if let Some((_, told)) = oldest.and_then(|number| waits.by_age.remove(&number)) {
            // It has just ended otherwise.
            let _ = told.send(());
        }
    }

    /// Counts a connection of `peer`. `None` if it has too many; one of those that only wait then makes room for its next
    /// one.
    pub fn count(&self, permit: OwnedSemaphorePermit, peer: IpAddr) -> Option<Connection> {
        let peer = network(peer);
        let mut peers = locked(&self.peers);
        let count = peers.entry(peer).or_default();
        if *count >= self.per_peer {
            drop(peers);
            self.give_way(Some(peer));
            return None;
        }
        *count += 1;
        Some(Connection { _permit: permit, peer, peers: Arc::clone(&self.peers) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut peers = locked(&self.peers);
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

    /// True when `wait` has been asked to give way.
    async fn gives_way(wait: &mut Wait) -> bool {
        timeout(Duration::from_millis(1), wait.is_in_the_way()).await.is_ok()
    }

    #[tokio::test]
    async fn who_waits_longest_gives_way_when_there_is_no_room() {
        let connections = Connections::new(32);
        let peers: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let mut permits = Vec::new();
        for _ in 0..32 {
            permits.push(connections.room().await.unwrap());
        }
        let mut waits: Vec<Wait> =
            [0, 1, 1, 0].into_iter().map(|peer| connections.wait(peers[peer])).collect();
        for wait in &mut waits {
            assert!(!gives_way(wait).await);
        }
        let room = tokio::spawn({
            let connections = connections.clone();
            async move { connections.room().await }
        });
        waits[0].is_in_the_way().await;
        permits.pop();
        permits.push(room.await.unwrap().unwrap());
        // One peer has all that it may have: one of its own waits makes room for its next connection.
        let mut counted = Vec::new();
        for _ in 0..2 {
            counted.push(connections.count(permits.pop().unwrap(), peers[1]).unwrap());
        }
        assert!(connections.count(permits.pop().unwrap(), peers[1]).is_none());
        waits[1].is_in_the_way().await;
        assert!(!gives_way(&mut waits[2]).await && !gives_way(&mut waits[3]).await);
        waits.clear();
        assert!(locked(&connections.waits).by_age.is_empty());
    }
}
