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
    let canonical = if family == Family::Any { hostname.clone() } else { name(first) };
    let fqdn = match first {
        _ if canonical.is_empty() => host.to_owned(),
        Some(address) if !canonical.contains('.') => full_alias(*address).unwrap_or(canonical),
        _ => canonical,
    };
    HostNames { hostname, fqdn }
}

/// The first alias with a dot, for a hosts file such as `10.0.0.5 web1 web1.example.org`. The library call that
/// tells aliases is C with pointers; getent(1) makes it for us, where it exists.
fn full_alias(address: IpAddr) -> Option<String> {
    let output = std::process::Command::new("getent").arg("hosts").arg(address.to_string()).output().ok()?;
    alias_in(&String::from_utf8_lossy(&output.stdout))
}

/// Address, canonical name, aliases: the format of getent(1).
fn alias_in(line: &str) -> Option<String> {
    line.lines().next()?.split_whitespace().skip(2).find(|name| name.contains('.')).map(str::to_owned)
}

fn reverse(address: &IpAddr) -> Option<String> {
    // Without a name the resolver gives back the address.
    dns_lookup::lookup_addr(address).ok().filter(|name| name.parse::<IpAddr>().is_err())
}

#[cfg(test)]
mod tests {
    use super::alias_in;

    #[test]
    fn the_first_alias_with_a_dot_is_the_full_name() {
        assert_eq!(
            alias_in("10.0.0.5  web1 www web1.example.org x.y\n").as_deref(),
            Some("web1.example.org")
        );
        assert_eq!(alias_in("10.0.0.5  web1.example.org web1\n"), None);
        assert_eq!(alias_in(""), None);
    }
}
