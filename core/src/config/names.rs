//! Host names as scripts find them in `$__target_hostname` and `$__target_fqdn`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// What a host is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// The name that the host's first address leads to, or nothing.
    pub hostname: String,
    /// The full name, or the host as the user wrote it.
    pub fqdn: String,
}

/// Which addresses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// All.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The names of a host that is not looked up.
pub fn unresolved(host: &str) -> HostNames {
    HostNames { hostname: String::new(), fqdn: host.to_owned() }
}

/// Asks the system's resolver; this may take seconds. A host that it does not know is no error.
pub fn resolve(host: &str, family: Family) -> HostNames {
    // A path is a directory that somebody configures with chroot; no name server knows it.
    if host.contains('/') {
        return unresolved(host);
    }
    let addresses: Vec<IpAddr> =
        (host, 0).to_socket_addrs().map(|all| all.map(|a: SocketAddr| a.ip()).collect()).unwrap_or_default();
    let wanted = |a: &&IpAddr| match family {
        Family::Any => true,
        Family::V4 => a.is_ipv4(),
        Family::V6 => a.is_ipv6(),
    };
    let name = |address: Option<&IpAddr>| address.and_then(reverse).unwrap_or_default();
    let hostname = name(addresses.iter().find(wanted));
    let first = addresses.first();
    let fqdn = if family == Family::Any { hostname.clone() } else { name(first) };
    HostNames { hostname, fqdn: if fqdn.is_empty() { host.to_owned() } else { fqdn } }
}

fn reverse(address: &IpAddr) -> Option<String> {
    // Without a name the resolver gives back the address.
    dns_lookup::lookup_addr(address).ok().filter(|name| name.parse::<IpAddr>().is_err())
}
