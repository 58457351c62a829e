//! Host names as scripts find them in `$__target_hostname` and `$__target_fqdn`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

pub use crate::host::Family;

/// What a host is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    /// The name that the host's first address leads to, or nothing.
    pub hostname: String,
    /// The full name, or the host as the user wrote it.
    pub fqdn: String,
}

/// The names of a host that is not looked up.
pub fn unresolved(host: &str) -> HostNames {
    HostNames { hostname: String::new(), fqdn: host.to_owned() }
}

/// Asks the system's resolver; this may take seconds. A host that it does not know is no error.
pub fn resolve(host: &str, family: Family) -> HostNames {
    // A path is a directory that is configured by chroot; no name server knows it.
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

/// Why an address has no name that can be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconfirmed {
    /// Not an address, or one that means something on one link only.
    #[error("{0} is no address that has a name")]
    Address(String),
    /// No name server knows it.
    #[error("{0} has no name")]
    Nameless(IpAddr),
    /// What should be a name cannot be one.
    #[error("the name of {0} is {1:?}, which cannot be the name of a host")]
    Invalid(IpAddr, String),
    /// The name server of an address can claim any name, so the name has to lead back to the address.
    #[error("the name of {0} is {1}, but {1} does not have this address")]
    Elsewhere(IpAddr, String),
}

/// The name of an address, if that name leads back to it. Asks the system's resolver; this may take seconds.
///
/// # Errors
///
/// `address` is no address, has no name, or its name does not lead back to it.
pub fn confirmed(address: &str) -> Result<String, Unconfirmed> {
    let address: IpAddr = address.parse().map_err(|_| Unconfirmed::Address(address.to_owned()))?;
    let name = reverse(&address).ok_or(Unconfirmed::Nameless(address))?;
    let addresses = |name: &str| (name, 0).to_socket_addrs().into_iter().flatten().map(|a| a.ip()).collect();
    confirm(address, &name, addresses)
}

fn confirm(
    address: IpAddr,
    name: &str,
    addresses: impl FnOnce(&str) -> Vec<IpAddr>,
) -> Result<String, Unconfirmed> {
    // It comes from the name server of the address, and becomes a word of command lines and files.
    let name = name.trim_end_matches('.').to_owned();
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(Unconfirmed::Invalid(address, name));
    }
    let leads_back = addresses(&name).iter().any(|found| found.to_canonical() == address.to_canonical());
    if leads_back { Ok(name) } else { Err(Unconfirmed::Elsewhere(address, name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_leads_back_is_confirmed() {
        let address: IpAddr = "10.0.0.5".parse().unwrap();
        let mapped: IpAddr = "::ffff:10.0.0.5".parse().unwrap();
        let confirm = |name: &str, found: &[IpAddr]| confirm(address, name, |_| found.to_vec());
        assert_eq!(confirm("web1.example.org.", &[mapped]).unwrap(), "web1.example.org");
        let elsewhere = confirm("web1", &["10.0.0.6".parse().unwrap()]).unwrap_err();
        assert_eq!(
            elsewhere.to_string(),
            "the name of 10.0.0.5 is web1, but web1 does not have this address"
        );
        for name in ["-oProxyCommand=x", "a b", "", "*", "a/b", "x\ny"] {
            assert!(matches!(confirm(name, &[address]), Err(Unconfirmed::Invalid(..))), "{name}");
        }
        assert!(matches!(confirmed("fe80::1%eth0"), Err(Unconfirmed::Address(_))));
    }

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
