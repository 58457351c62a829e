//! The place of a connection.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    io::{Errno, Result},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
        sockopt::set_tcp_nodelay,
    },
};

/// No answer is longer than that by far; what is longer is read in parts.
const READ: usize = 4096;

/// How many machines there are: 127.1.0.0 up to 127.254.255.255.
const MACHINES: u64 = 254 << 16;

/// The address of a machine. All of 127.0.0.0/8 is there without any preparation.
pub(crate) fn address(machine: u64) -> Ipv4Addr {
    let [.., a, b, c] = (machine % MACHINES).to_be_bytes();
    Ipv4Addr::new(127, a + 1, b, c)
}

/// The hardware address of a machine.
pub(crate) fn hardware_address(machine: u64) -> String {
    let [.., a, b, c] = (machine % MACHINES).to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// A connection, or the place of one.
#[derive(Default)]
pub(crate) struct Slot {
    socket: Option<OwnedFd>,
    /// When each of the requests without an answer was due.
    pub(crate) due: VecDeque<Instant>,
    /// What goes out as soon as there is a connection.
    unsent: Vec<u8>,
    pub(crate) input: Vec<u8>,
}

impl Slot {
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Begins a connection; events of it will have the number `key`.
    pub(crate) fn open(
        &mut self,
        epoll: &OwnedFd,
        key: usize,
        source: Ipv4Addr,
        server: SocketAddr,
    ) -> Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddr::from((source, 0)))?;
        set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        epoll::add(epoll, &socket, EventData::new_u64(key as u64), EventFlags::IN)?;
        self.socket = Some(socket);
        Ok(())
    }

    /// Sends `request`, now or when the connection takes it.
    pub(crate) fn send(&mut self, epoll: &OwnedFd, key: usize, request: &[u8]) -> Result<()> {
        let Some(socket) = &self.socket else { return Err(Errno::NOTCONN) };
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(request);
            return Ok(());
        }
        let sent = match send(socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            // On the loopback, the other end has answered before connect(2) comes back; unless its queue is full.
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(error),
        };
        if sent < request.len() {
            self.unsent.extend_from_slice(&request[sent..]);
            epoll::modify(epoll, socket, EventData::new_u64(key as u64), EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Sends what could not be sent before.
    pub(crate) fn resume(&mut self, epoll: &OwnedFd, key: usize) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let sent = send(socket, &self.unsent, SendFlags::NOSIGNAL)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            epoll::modify(epoll, socket, EventData::new_u64(key as u64), EventFlags::IN)?;
        }
        Ok(())
    }

    /// Reads once; true if it was the end.
    pub(crate) fn receive(&mut self) -> Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        self.input.reserve(READ);
        match recv(socket, spare_capacity(&mut self.input), RecvFlags::empty()) {
            Ok((_, count)) => Ok(count == 0),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Closes the connection. How many requests on it have no answer?
    pub(crate) fn close(&mut self) -> usize {
        self.socket = None;
        self.unsent.clear();
        self.input.clear();
        std::mem::take(&mut self.due).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_addresses_of_their_own() {
        let ends = [0, 255, 256, MACHINES - 1, MACHINES].map(|machine| address(machine).to_string());
        assert_eq!(ends, ["127.1.0.0", "127.1.0.255", "127.1.1.0", "127.254.255.255", "127.1.0.0"]);
        assert_eq!(hardware_address(0x01_02_ff), "52:54:00:01:02:ff");
    }
}
