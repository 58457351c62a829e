//! How many connections there are, in all and from one peer: no peer can take them all, and those that only wait for the
//! end of a job give way when there is no room for others.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// How long a connection that was asked to give way may take before the next one is asked, too.
const GIVES_WAY: Duration = Duration::from_millis(200);

/// Whom a connection is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address, or what one machine can have addresses of.
    Address(IpAddr),
    /// A user of this machine, by number.
    User(u32),
}

/// Counts connections.
#[derive(Clone, Debug)]
pub struct Connections {
    all: Arc<Semaphore>,
    per_peer: usize,
    by_user: bool,
    peers: Arc<Mutex<HashMap<Peer, usize>>>,
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
    peer: Peer,
    peers: Arc<Mutex<HashMap<Peer, usize>>>,
}

impl Connections {
    /// At most `all` of them; one peer has a sixteenth of them at most. A network of IPv6 with 64 bits is one peer: that is
    /// what one machine can have addresses of.
    pub fn new(all: usize) -> Self {
        let per_peer = (all / 16).max(1);
        Self {
            all: Arc::new(Semaphore::new(all)),
            per_peer,
            by_user: false,
            peers: Arc::default(),
            waits: Arc::default(),
        }
    }

    /// At most `all` of them, on a loopback address, where all users of this machine have the same one. A user has a quarter of
    /// them at most; root, this process's user, and peers whose user is unknown have no limit of their own.
    pub fn of_users(all: usize) -> Self {
        Self { per_peer: (all / 4).max(1), by_user: true, ..Self::new(all) }
    }

    /// At most `all` of them, of all peers together.
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
        let is_meant =
            |(_, (of, _)): &(&u64, &(IpAddr, oneshot::Sender<()>))| peer.is_none_or(|peer| *of == peer);
        let oldest = waits.by_age.iter().find(is_meant).map(|(number, _)| *number);
        if let Some((_, told)) = oldest.and_then(|number| waits.by_age.remove(&number)) {
            // The receiver is gone if the wait has just ended otherwise.
            let _ = told.send(());
        }
    }

    /// Counts a connection of `peer`, which `user` tells the user of. `None` if it has too many; one of
    /// those that only wait then makes room for its next one.
    pub fn count(
        &self,
        permit: OwnedSemaphorePermit,
        peer: IpAddr,
        user: impl FnOnce() -> Option<u32>,
    ) -> Option<Connection> {
        let own = nix::unistd::geteuid().as_raw();
        let (counted, limit) = match self.by_user.then(user).flatten() {
            Some(user) if user != 0 && user != own => (Peer::User(user), self.per_peer),
            _ if self.by_user => (Peer::Address(peer), usize::MAX),
            _ => (Peer::Address(network(peer)), self.per_peer),
        };
        let mut peers = locked(&self.peers);
        let count = peers.entry(counted).or_default();
        if *count >= limit {
            drop(peers);
            self.give_way(Some(network(peer)));
            return None;
        }
        *count += 1;
        Some(Connection { _permit: permit, peer: counted, peers: Arc::clone(&self.peers) })
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

/// The user who has the socket `local` that is connected to `remote`, both on this machine, as proc(5) tells.
pub(crate) fn user_of(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().find_map(|table| find_user(table, local, remote))
}

fn find_user(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (own, other) = (parse_socket(words.next()?)?, parse_socket(words.next()?)?);
        let user = words.nth(4)?.parse().ok()?;
        (own == plain(local) && other == plain(remote)).then_some(user)
    })
}

/// An address and a port in hexadecimal digits. Each 32 bits of an address are a number in the order of this machine.
fn parse_socket(word: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let v6 = || <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|bytes| IpAddr::from(bytes).to_canonical());
    let address = <[u8; 4]>::try_from(bytes.as_slice()).ok().map(IpAddr::from).or_else(v6)?;
    Some((address, port))
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
            open.push(connections.count(permit, peers[0], || None).unwrap());
        }
        let permit = connections.room().await.unwrap();
        assert!(connections.count(permit, peers[0], || None).is_none());
        let permit = connections.room().await.unwrap();
        assert!(connections.count(permit, peers[1], || None).is_some());
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
            counted.push(connections.count(permits.pop().unwrap(), peers[1], || None).unwrap());
        }
        assert!(connections.count(permits.pop().unwrap(), peers[1], || None).is_none());
        waits[1].is_in_the_way().await;
        assert!(!gives_way(&mut waits[2]).await && !gives_way(&mut waits[3]).await);
        waits.clear();
        assert!(locked(&connections.waits).by_age.is_empty());
    }

    #[tokio::test]
    async fn one_user_of_this_machine_does_not_get_all() {
        let connections = Connections::of_users(16);
        let peer: IpAddr = [127, 0, 0, 1].into();
        let mut open = Vec::new();
        let mut count = async |user| {
            let permit = connections.room().await.unwrap();
            open.extend(connections.count(permit, peer, || user));
            open.len()
        };
        for expected in [1, 2, 3, 4, 4, 4] {
            assert_eq!(count(Some(1_234_567)).await, expected);
        }
        assert_eq!(count(Some(1_234_568)).await, 5);
        for expected in 6..=16 {
            assert_eq!(count([Some(0), None][expected % 2]).await, expected);
        }
    }

    #[test]
    fn the_user_of_a_socket_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert_eq!(user_of(local, remote), Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(user_of(local, local), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn tables_of_sockets_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:9C40 0100007F:0BB9 01 00000000:00000000 00:00000000 00000000  1234        0 5 1 0 20 4\n   \
                     1: 0000000000000000FFFF00000200007F:9C41 00000000000000000000000001000000:0BB9 01 0:0 0:0 0 77 0 6\n   \
                     2: x\n";
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(find_user(table, socket("127.0.0.1:40000"), socket("127.0.0.1:3001")), Some(1234));
        assert_eq!(find_user(table, socket("127.0.0.2:40001"), socket("[::1]:3001")), Some(77));
        assert_eq!(find_user(table, socket("127.0.0.1:40001"), socket("127.0.0.1:3001")), None);
    }
}
