//! The address of a machine, from the connection by which it called to the ssh that works on it.

use std::{
    borrow::Borrow,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Longest name of a host (RFC 1035), and more than any address with its zone has.
const LENGTH_MAX: usize = 255;

/// The address of a machine as ssh takes it: an IPv4 address, an IPv6 address without brackets, one of a link with its
/// zone such as `fe80::1%eth0`, or a name.
///
/// It is one word that no program takes for an option, for a path, or for a user with a host. It is stored, and told as
/// JSON, as that word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TargetAddress(String);

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a machine")]
pub struct NoAddress(String);

impl TargetAddress {
    /// The other end of a connection. An IPv4-mapped address is an IPv4 one, a link-local one has the interface as its
    /// zone.
    pub fn of_peer(peer: SocketAddr) -> Self {
        let address = peer.ip().to_canonical();
        if let SocketAddr::V6(v6) = peer
            && v6.scope_id() != 0
            && let IpAddr::V6(plain) = address
            && plain.is_unicast_link_local()
            && let Ok(name) = nix::net::if_::if_indextoname(v6.scope_id())
            && let Ok(with_zone) = format!("{plain}%{}", name.to_string_lossy()).parse()
        {
            return with_zone;
        }
        address.into()
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Any text, to test what is done about one that should not be there.
    #[cfg(test)]
    pub(crate) fn unchecked(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<IpAddr> for TargetAddress {
    /// An IPv4-mapped address becomes an IPv4 one.
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string())
    }
}

impl TryFrom<String> for TargetAddress {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        let begins_well = text.starts_with(|c: char| c == ':' || c.is_ascii_alphanumeric());
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '@');
        if begins_well && text.len() <= LENGTH_MAX && !text.contains(is_odd) {
            return Ok(Self(text));
        }
        Err(NoAddress(text))
    }
}

impl FromStr for TargetAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        text.to_owned().try_into()
    }
}

impl Deref for TargetAddress {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that maps of addresses are asked by text.
impl Borrow<str> for TargetAddress {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for TargetAddress {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for TargetAddress {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_is_told_as_ssh_takes_it() {
        for (peer, address) in [
            ("192.0.2.5:1024", "192.0.2.5"),
            ("[::ffff:192.0.2.5]:1024", "192.0.2.5"),
            ("[2001:db8::7]:1024", "2001:db8::7"),
            ("[fe80::7%1]:1024", "fe80::7%lo"),
            ("[2001:db8::7%1]:1024", "2001:db8::7"),
        ] {
            assert_eq!(TargetAddress::of_peer(peer.parse().unwrap()), address, "{peer}");
        }
    }

    #[test]
    fn what_other_programs_take_for_something_else_is_no_address() {
        for text in [
            "",
            "-oProxyCommand=id",
            "/srv/root",
            "..",
            "10.0.0.1 10.0.0.2",
            "root@web1",
            "a/b",
            "a\n",
            "a\u{9b}b",
        ] {
            assert!(text.parse::<TargetAddress>().is_err(), "{text:?}");
            assert!(serde_json::from_value::<TargetAddress>(text.into()).is_err(), "{text:?}");
        }
        assert!("a".repeat(LENGTH_MAX + 1).parse::<TargetAddress>().is_err());
    }

    #[test]
    fn as_json_it_is_the_word() {
        for text in ["10.0.0.1", "::1", "fe80::1%eth0", "web-1.example.org"] {
            let address: TargetAddress = text.parse().unwrap();
            assert_eq!(serde_json::to_value(&address).unwrap(), text);
            assert_eq!(serde_json::from_value::<TargetAddress>(text.into()).unwrap(), address);
        }
    }

    proptest! {
        #[test]
        fn every_ip_address_is_one(address: IpAddr) {
            let target = TargetAddress::from(address);
            prop_assert_eq!(target.parse::<TargetAddress>(), Ok(target));
        }
    }
}
