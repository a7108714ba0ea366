//! Which addresses may be asked on behalf of somebody else.
//!
//! A service fetches what its callers name. Without a rule they could have it ask what only it can reach: the machine
//! itself, the network behind it, the cloud's metadata service. So whatever is not public is refused unless it was
//! named. The address that a name resolves to is checked when it is about to be connected to, for redirects too: a name
//! that means something else the next moment gains nothing.
//!
//! Source: IANA's registries of special-purpose addresses (RFC 6890 and its updates); RFC 6052 and 3056 for addresses of
//! IPv4 inside those of IPv6. Behind a proxy names are resolved by the proxy: there only addresses written out are seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::RegistryError;
use super::proxy::contains;

/// What may be asked beside public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    hosts: Vec<Host>,
    networks: Vec<(IpAddr, String)>,
}

/// A host as an operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// In lower case; what is below it if it begins with a dot.
    name: String,
    port: Option<u16>,
}

/// The text names neither a host nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither a host (registry.example, *.example, registry.example:5000) nor a network (10.0.0.0/8)"
)]
pub struct OutboundEntryError(String);

impl OutboundPolicy {
    /// A policy that allows what is named too: hosts with or without a port, `*.` and a domain for all below it, addresses
    /// and networks.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OutboundEntryError> {
        let mut policy = Self::default();
        for entry in entries {
            policy.add(entry.trim()).ok_or_else(|| OutboundEntryError(entry.chars().take(100).collect()))?;
        }
        Ok(policy)
    }

    fn add(&mut self, entry: &str) -> Option<()> {
        let bare = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if let Some((network, bits)) = entry.split_once('/') {
            let network = bare(network)?;
            let bits_max = if network.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= bits_max)?;
            self.networks.push((network, bits.to_string()));
            return Some(());
        }
        if let Some(address) = bare(entry) {
            self.networks.push((address, if address.is_ipv4() { "32" } else { "128" }.to_owned()));
            return Some(());
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        let named = name.len() > usize::from(name.starts_with('.'));
        (named && name.bytes().all(is_name)).then(|| self.hosts.push(Host { name, port }))
    }

    /// Whether the host is named, whatever it resolves to.
    pub fn names(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        let literal = literal(&host);
        let by_name = self.hosts.iter().any(|named| {
            let fits = match named.name.starts_with('.') {
                true => host.ends_with(&named.name),
                false => host == named.name,
            };
            fits && named.port.is_none_or(|named| named == port)
        });
        by_name || literal.is_some_and(|address| self.has_network_of(address))
    }

    fn has_network_of(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|(network, bits)| contains(*network, bits, address))
    }

    /// Refuses to ask `host` at an address that it resolves to.
    pub fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), RegistryError> {
        match special(address) {
            Some(kind) if !self.names(host, port) && !self.has_network_of(address) => {
                Err(RegistryError::NotAllowed {
                    host: host.to_owned(),
                    reason: format!("it is at {address}, {kind}"),
                })
            }
            _ => Ok(()),
        }
    }

    /// The same for a host that is itself an address.
    pub(crate) fn check_literal(&self, host: &str, port: u16) -> Result<(), RegistryError> {
        literal(host).map_or(Ok(()), |address| self.check(host, port, address))
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// What an address is, if it is not one of the public network.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [127, ..] | [0, ..] => "an address of this machine",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "an address of a private network",
        // Here are the metadata services of most clouds; Alibaba's and Oracle's are in the two ranges below.
        [169, 254, ..] => "a link-local address",
        [100, 64..=127, ..] => "an address of a carrier's network",
        [192, 0, 0, _] | [192, 0, 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            "a reserved address"
        }
        // Multicast, and what is above it, is no host.
        [192, 88, 99, _] | [224..=255, ..] => "a reserved address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some("an address of this machine"),
        // IPv4 in other clothes: mapped, compatible, translated (both prefixes), 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            special_v4(v4(high, low))
        }
        [0x64, 0xff9b, 1, ..] => Some("a translated address"),
        [0x2002, high, low, ..] => special_v4(v4(high, low)),
        [0xfc00..=0xfdff, ..] => Some("an address of a private network"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("an address of a private network"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Teredo carries an IPv4 address in disguise; documentation, benchmarks and ORCHID are no hosts.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x100, 0, 0, 0, ..] => Some("a reserved address"),
        _ => None,
    }
}

/// Resolves names, and refuses addresses that may not be asked.
#[derive(Debug)]
pub(crate) struct Resolving {
    pub(crate) policy: OutboundPolicy,
    pub(crate) names: DefaultResolver,
}

impl Resolver for Resolving {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.names.resolve(uri, config, timeout)?;
        for address in addresses.iter() {
            // One that may not be asked spoils them all: whoever mixes them means no good.
            let host = uri.host().unwrap_or_default();
            self.policy
                .check(host, address.port(), address.ip())
                .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        }
        Ok(addresses)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn allows(policy: &OutboundPolicy, host: &str, address: &str) -> bool {
        policy.check(host, 443, address.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_public_addresses_are_asked() {
        let policy = OutboundPolicy::default();
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:0:1::1",
            "2001:db8::1",
            "64:ff9b:1::1",
        ] {
            assert!(!allows(&policy, "registry.example", address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(allows(&policy, "registry.example", address), "{address}");
        }
    }

    #[test]
    fn what_is_named_is_asked() {
        let policy = OutboundPolicy::new([
            "registry.internal",
            "*.corp.example",
            "Host.example:443",
            "10.2.0.0/16",
            "fd00::/8",
            "[::1]:443",
            "127.0.0.1:443",
        ]);
        let policy = policy.unwrap();
        for (host, address, expected) in [
            ("registry.internal", "10.0.0.1", true),
            ("other.internal", "10.0.0.1", false),
            ("a.corp.example", "192.168.0.1", true),
            ("corp.example", "192.168.0.1", false),
            ("badcorp.example", "192.168.0.1", false),
            ("host.example", "127.0.0.1", true),
            ("any.example", "10.2.3.4", true),
            ("any.example", "10.3.3.4", false),
            ("any.example", "fd12::1", true),
            ("[::1]", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.2", false),
        ] {
            assert_eq!(allows(&policy, host, address), expected, "{host} {address}");
        }
        assert!(policy.check("host.example", 444, "127.0.0.1".parse().unwrap()).is_err(), "another port");
    }

    #[test]
    fn an_entry_that_means_nothing_is_refused() {
        for entry in ["", "*", "*.", "10.0.0.0/33", "a/b", "https://a", "a:b", "a b"] {
            assert!(OutboundPolicy::new([entry]).is_err(), "{entry}");
        }
    }
}
