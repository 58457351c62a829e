//! The kernel's neighbour table: which hardware address answers for an address on a network of this machine
//! (rtnetlink(7), `RTM_GETNEIGH`).

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::facts::mac_of;

/// How long a table is good for. Reading one of a thousand machines takes a millisecond.
const FRESH: Duration = Duration::from_secs(1);
/// Who is not in the table may be by now.
const NEARLY_FRESH: Duration = Duration::from_millis(50);

/// The table, read again when it is too old.
#[derive(Debug, Default)]
pub(super) struct Neighbours(Mutex<Option<(Instant, HashMap<IpAddr, String>)>>);

impl Neighbours {
    /// The hardware address of a machine that has just called. `None` if it is not on a network of this machine.
    pub(super) fn mac_of(&self, address: IpAddr) -> Option<String> {
        if address.is_loopback() {
            return None;
        }
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, rows)) = table.as_ref() {
            match rows.get(&address) {
                Some(mac) if read.elapsed() < FRESH => return Some(mac.clone()),
                None if read.elapsed() < NEARLY_FRESH => return None,
                _ => {}
            }
        }
        match read() {
            Ok(rows) => {
                let found = rows.get(&address).cloned();
                *table = Some((Instant::now(), rows));
                found
            }
            Err(error) => {
                tracing::debug!("reading the neighbour table: {error}");
                None
            }
        }
    }
}

/// Reads the whole table. The kernel answers at once.
fn read() -> io::Result<HashMap<IpAddr, String>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    let mut rows = HashMap::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        if rest.is_empty() {
            return Ok(rows);
        }
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(rows),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(row)) => {
                    rows.extend(entry(&row));
                }
                _ => {}
            }
            // Messages are padded to four bytes.
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
        }
    }
}

fn entry(row: &NeighbourMessage) -> Option<(IpAddr, String)> {
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
    Some((address?, mac?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read() {
        // What is in it depends on the machine; that it is understood does not.
        let rows = read().unwrap();
        assert!(rows.values().all(|mac| mac.len() >= 17), "{rows:?}");
        assert_eq!(Neighbours::default().mac_of([127, 0, 0, 1].into()), None);
    }
}
