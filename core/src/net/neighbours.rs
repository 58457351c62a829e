//! The kernel's neighbour table: which hardware address answers for an address on a network of this machine
//! (rtnetlink(7), `RTM_GETNEIGH`), and on which interface that network is (`RTM_GETROUTE`).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAttribute, RouteMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

/// How long a table is good for. Reading one of a thousand machines takes a millisecond.
const FRESH: Duration = Duration::from_secs(1);
/// How long the kernel may look for a machine that is not in the table.
const PATIENCE: Duration = Duration::from_secs(1);
/// The port of the discard service (RFC 863): what is sent there asks for nothing.
const DISCARD: u16 = 9;

/// An address on a network: the same one may be another machine's on another interface.
type ScopedAddress = (u32, IpAddr);
type Table = HashMap<ScopedAddress, String>;

/// The table, read again when it is too old.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(Mutex<Option<(Instant, Table)>>);

impl Neighbours {
    /// The hardware address of a machine that has just called. `None` if it is not on a network of this machine.
    pub(crate) fn mac_of(&self, peer: SocketAddr) -> Option<String> {
        let place = logged("looking up a route", place_of(peer))?;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, rows)) = table.as_ref()
            && read.elapsed() < FRESH
            && let Some(mac) = rows.get(&place)
        {
            return Some(mac.clone());
        }
        // A machine that is not in it may be by now: it has called.
        let rows = logged("reading the neighbour table", read().map(Some))?;
        let found = rows.get(&place).cloned();
        *table = Some((Instant::now(), rows));
        found
    }
}

/// The hardware address that the table has now for the address of a job; `None` also if it is no address.
pub(crate) fn mac_now(target: &str) -> Option<String> {
    let place = logged("looking up a route", place_of(peer_of(target)?))?;
    logged("reading the neighbour table", read().map(|rows| rows.get(&place).cloned()))
}

/// The same, and the kernel looks for the machine first if it is not in the table. May take a second.
pub(crate) fn mac_found(target: &str) -> Option<String> {
    let peer = peer_of(target)?;
    logged("looking up a route", place_of(peer))?;
    let begin = Instant::now();
    loop {
        let found = mac_now(target);
        if found.is_some() || begin.elapsed() >= PATIENCE {
            return found;
        }
        let any: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // A datagram to it makes the kernel ask for its hardware address. Whether it arrives does not matter.
        let _ = UdpSocket::bind((any, 0)).and_then(|socket| socket.send_to(&[], peer));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn logged<T>(doing: &str, result: io::Result<Option<T>>) -> Option<T> {
    result.unwrap_or_else(|error| {
        tracing::debug!("{doing}: {error}");
        None
    })
}

/// The address of a job: bare, or with the interface as its zone.
fn peer_of(target: &str) -> Option<SocketAddr> {
    let (address, zone) =
        target.split_once('%').map_or((target, None), |(address, zone)| (address, Some(zone)));
    let address: IpAddr = address.parse().ok()?;
    Some(match (address, zone) {
        (IpAddr::V6(v6), Some(zone)) => {
            SocketAddrV6::new(v6, DISCARD, 0, nix::net::if_::if_nametoindex(zone).ok()?).into()
        }
        _ => (address, DISCARD).into(),
    })
}

/// The network that leads to a peer without a router in between: the kernel sends there, whatever else the table has.
fn place_of(peer: SocketAddr) -> io::Result<Option<ScopedAddress>> {
    let address = peer.ip().to_canonical();
    if address.is_loopback() {
        return Ok(None);
    }
    if let SocketAddr::V6(v6) = peer
        && v6.scope_id() != 0
        && address.is_ipv6()
    {
        return Ok(Some((v6.scope_id(), address)));
    }
    let mut route = RouteMessage::default();
    (route.header.address_family, route.header.destination_prefix_length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    route.attributes.push(RouteAttribute::Destination(address.into()));
    let mut found = None;
    ask(RouteNetlinkMessage::GetRoute(route), false, |message| {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            let has_router = |attribute: &RouteAttribute| {
                matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_))
            };
            let is_direct = !route.attributes.iter().any(has_router);
            let interface = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            found = interface.filter(|_| is_direct).map(|interface| (interface, address));
        }
    })?;
    Ok(found)
}

/// Reads the whole table. The kernel answers at once.
fn read() -> io::Result<Table> {
    let mut rows = Table::new();
    ask(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()), true, |message| {
        if let RouteNetlinkMessage::NewNeighbour(row) = message {
            rows.extend(entry(&row));
        }
    })?;
    Ok(rows)
}

/// Asks the kernel for one row, or for all of them.
fn ask(request: RouteNetlinkMessage, all: bool, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = if all { NLM_F_REQUEST | NLM_F_DUMP } else { NLM_F_REQUEST };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(message) => take(message),
                _ => {}
            }
            // Messages are padded to four bytes.
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
        }
        if !all {
            return Ok(());
        }
    }
}

fn entry(row: &NeighbourMessage) -> Option<(ScopedAddress, String)> {
    if matches!(row.header.state, NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::Noarp)
    {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &row.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_of(bytes),
            _ => {}
        }
    }
    Some(((row.header.ifindex, address?), mac?))
}

/// The text for the bytes of a hardware address.
pub(crate) fn mac_of(bytes: &[u8]) -> Option<String> {
    let is_ethernet_group = bytes.len() == 6 && bytes.first().is_some_and(|first| first & 1 == 1);
    let is_one_value = [0, 0xff].iter().any(|value| bytes.iter().all(|byte| byte == value));
    if ![6, 8, 20].contains(&bytes.len()) || is_one_value || is_ethernet_group {
        return None;
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        // What is in it depends on the machine; that it is understood does not.
        let rows = read().unwrap();
        assert!(rows.values().all(|mac| mac.len() >= 17), "{rows:?}");
        assert_eq!(Neighbours::default().mac_of(([127, 0, 0, 1], 1).into()), None);
        assert_eq!(Neighbours::default().mac_of(("::1".parse::<IpAddr>().unwrap(), 1).into()), None);
        // Whatever leads there does not end the program.
        for target in ["fe80::1%no-such", "fe80::1%", "a.name", "", "%"] {
            assert_eq!(mac_now(target), None, "{target}");
        }
    }
}
