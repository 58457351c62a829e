//! Where the server listens.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::host::Family;

/// How long answers may lie unread before a connection is given up (`TCP_USER_TIMEOUT`, tcp(7)).
const UNREAD: Duration = Duration::from_secs(30);
/// Machines that are switched on together knock together.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl ListenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program has port {0}; `ss -ltnp 'sport = :{0}'` shows which, -H takes another port",
                self.address.port()
            ),
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 are for root; -H takes another port".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; `ip address` shows which it has".to_owned()
            }
            _ => "choose another address or port".to_owned(),
        }
    }
}

/// Listens on all addresses of this machine.
///
/// # Errors
///
/// The port is in use.
pub fn everywhere(port: u16, family: Family) -> Result<TcpListener, ListenError> {
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    match family {
        Family::V4 => bind(v4, false),
        Family::V6 => bind(v6, true),
        // One socket for both, unless the kernel has no IPv6.
        Family::Any => match bind(v6, false) {
            Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => bind(v4, false),
            listener => listener,
        },
    }
}

/// Listens on one address.
///
/// # Errors
///
/// The port is in use, or this machine does not have the address.
pub fn at(address: IpAddr, port: u16) -> Result<TcpListener, ListenError> {
    bind(SocketAddr::new(address, port), true)
}

fn bind(address: SocketAddr, only_v6: bool) -> Result<TcpListener, ListenError> {
    let make = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        // After a restart the port is free at once.
        socket.set_reuse_address(true)?;
        // Connections inherit it: answers are short, and nothing follows them.
        socket.set_tcp_nodelay(true)?;
        // A peer that does not read its answers is disconnected after that.
        socket.set_tcp_user_timeout(Some(UNREAD))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    make().map_err(|source| ListenError { address, source })
}
