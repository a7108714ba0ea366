//! Whether a host is reached through a proxy, by the rules that Go's programs share: names with and without a
//! leading dot, `*`, ports, addresses and networks.

use std::net::IpAddr;

use ureq::Proxy;

use super::{Proxies, RegistryError};

/// The proxy for an address; loopback is never reached through one.
pub(crate) fn proxy_for(
    proxies: &Proxies,
    is_https: bool,
    host: &str,
    port: u16,
) -> Result<Option<Proxy>, RegistryError> {
    let (chosen, name) = match is_https {
        true => (&proxies.https, "HTTPS_PROXY"),
        false => (&proxies.http, "HTTP_PROXY"),
    };
    let Some(address) = chosen.as_ref().filter(|address| !address.expose().is_empty()) else {
        return Ok(None);
    };
    if is_loopback(host) || is_exception(&proxies.exceptions, host, port) {
        return Ok(None);
    }
    // The address may hold a password: it is not repeated.
    let error = |_| RegistryError::Configuration {
        path: name.to_owned(),
        reason: "it is not the address of a proxy".to_owned(),
    };
    Proxy::new(address.expose()).map(Some).map_err(error)
}

/// Whether the host is this machine, by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_exception(exceptions: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    exceptions.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let entry = entry.to_ascii_lowercase();
        if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
            return network.parse().is_ok_and(|network| contains(network, bits, address));
        }
        let (name, of_port) = match entry.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') => (name.to_owned(), digits.parse::<u16>().ok()),
            _ => (entry, None),
        };
        if of_port.is_some_and(|of_port| of_port != port) {
            return false;
        }
        let name = name.trim_start_matches('*');
        let bare = name.trim_start_matches('.');
        let below = host.strip_suffix(bare).is_some_and(|rest| rest.ends_with('.'));
        // `.example.org` means what is below it, `example.org` itself too.
        below || (host == bare && !name.starts_with('.'))
    })
}

/// Whether a network of so many bits has the address.
pub(crate) fn contains(network: IpAddr, bits: &str, address: IpAddr) -> bool {
    let Ok(bits) = bits.parse::<u32>() else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::registry::Secret;

    #[test]
    fn exceptions_are_those_of_go() {
        for (entry, host, expected) in [
            ("example.org", "example.org", true),
            ("example.org", "a.example.org", true),
            ("example.org", "badexample.org", false),
            (".example.org", "a.example.org", true),
            (".example.org", "example.org", false),
            ("*.example.org", "a.example.org", true),
            ("*", "x", true),
            ("example.org:443", "example.org", true),
            ("example.org:80", "example.org", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("fd00::/8", "[fd00::1]", true),
            ("a, EXAMPLE.org", "example.ORG", true),
            ("", "x", false),
        ] {
            assert_eq!(is_exception(entry, host, 443), expected, "{entry} {host}");
        }
    }

    #[test]
    fn loopback_needs_no_proxy_and_passwords_are_not_repeated() {
        let secret = |text: &str| Some(Secret::new(text));
        let proxies = Proxies {
            https: secret("http://u:hidden@p:1"),
            http: secret("hidden ://"),
            ..Proxies::default()
        };
        assert!(proxy_for(&proxies, true, "registry.example", 443).unwrap().is_some());
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(proxy_for(&proxies, true, host, 443).unwrap().is_none(), "{host}");
        }
        let error = proxy_for(&proxies, false, "registry.example", 80).unwrap_err();
        assert!(!format!("{error} {error:?} {proxies:?}").contains("hidden"));
    }
}
