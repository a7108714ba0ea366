//! The feeds as other tools call them, and the pages where a person reads more.

/// How other tools name a source of advisories.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Our feed.
    feed: &'static str,
    /// Trivy's id of the source.
    pub(crate) id: &'static str,
    /// Its title.
    pub(crate) title: &'static str,
    /// Where it is published.
    pub(crate) url: &'static str,
    /// Where its page on a vulnerability is, with `{}` for the id; empty for none.
    page: &'static str,
}

const SOURCES: &[Source] = &[
    Source {
        feed: "debian-tracker",
        id: "debian",
        title: "Debian Security Tracker",
        url: "https://salsa.debian.org/security-tracker-team/security-tracker",
        page: "https://security-tracker.debian.org/tracker/{}",
    },
    Source {
        feed: "debian-",
        id: "debian",
        title: "Debian security notices",
        url: "https://salsa.debian.org/security-tracker-team/security-tracker",
        page: "https://security-tracker.debian.org/tracker/{}",
    },
    Source {
        feed: "ubuntu",
        id: "ubuntu",
        title: "Ubuntu CVE Tracker",
        url: "https://git.launchpad.net/ubuntu-cve-tracker",
        page: "https://ubuntu.com/security/{}",
    },
    Source {
        feed: "alpine-secdb",
        id: "alpine",
        title: "Alpine Secdb",
        url: "https://secdb.alpinelinux.org/",
        page: "https://security.alpinelinux.org/vuln/{}",
    },
    Source {
        feed: "redhat-vex",
        id: "redhat",
        title: "Red Hat CSAF VEX",
        url: "https://security.access.redhat.com/data/csaf/v2/vex/",
        page: "https://access.redhat.com/security/cve/{}",
    },
    Source {
        feed: "almalinux",
        id: "alma",
        title: "AlmaLinux Product Errata",
        url: "https://errata.almalinux.org/",
        page: "",
    },
    Source {
        feed: "rocky",
        id: "rocky",
        title: "Rocky Linux updateinfo",
        url: "https://download.rockylinux.org/pub/rocky/",
        page: "",
    },
    Source {
        feed: "oracle",
        id: "oracle-oval",
        title: "Oracle Linux OVAL definitions",
        url: "https://linux.oracle.com/security/oval/",
        page: "https://linux.oracle.com/cve/{}.html",
    },
    Source {
        feed: "amazon",
        id: "amazon",
        title: "Amazon Linux Security Center",
        url: "https://alas.aws.amazon.com/",
        page: "https://explore.alas.aws.amazon.com/{}.html",
    },
    Source {
        feed: "nvd",
        id: "nvd",
        title: "National Vulnerability Database",
        url: "https://nvd.nist.gov/",
        page: "https://nvd.nist.gov/vuln/detail/{}",
    },
];

/// What is known of a feed by its name. Of one that is not here, such as the user's own advisories, nothing is.
pub(crate) fn source(feed: &str) -> Option<Source> {
    SOURCES.iter().copied().find(|source| feed.starts_with(source.feed))
}

/// The best page on a vulnerability: that of the feed that speaks for the package, else that of whoever gives the id.
pub(crate) fn page(feed: &str, id: &str) -> Option<String> {
    if !is_id(id) {
        return None;
    }
    if id.starts_with("GHSA-") {
        return Some(format!("https://github.com/advisories/{id}"));
    }
    if !id.starts_with("CVE-") {
        return notice_page(id);
    }
    let own = source(feed).map(|source| source.page).filter(|page| !page.is_empty());
    Some(own.unwrap_or("https://nvd.nist.gov/vuln/detail/{}").replace("{}", id))
}

/// The page of a notice or an erratum, by the form of its id.
pub(crate) fn notice_page(id: &str) -> Option<String> {
    if !is_id(id) {
        return None;
    }
    let family = id.split('-').next().unwrap_or_default();
    Some(match family {
        "DSA" | "DLA" | "TEMP" => format!("https://security-tracker.debian.org/tracker/{id}"),
        "ELA" => "https://www.freexian.com/lts/extended/updates/".to_owned() + &id.to_lowercase() + "/",
        "USN" => format!("https://ubuntu.com/security/notices/{id}"),
        "RHSA" | "RHBA" | "RHEA" => format!("https://access.redhat.com/errata/{id}"),
        "ELSA" => format!("https://linux.oracle.com/errata/{id}.html"),
        "GHSA" => format!("https://github.com/advisories/{id}"),
        "CVE" => format!("https://nvd.nist.gov/vuln/detail/{id}"),
        _ => return None,
    })
}

/// A link that may stand in a document as one: to the web, with nothing in it that ends it.
pub(crate) fn is_link(link: &str) -> bool {
    /// Longer than browsers and schemas take.
    const BYTES_MAX: usize = 2000;
    let schemes = ["https://", "http://", "ftp://"];
    let rest = schemes.iter().find_map(|scheme| link.strip_prefix(scheme)).unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let is_web = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && port.parse::<u16>().is_ok();
    // What RFC 3986 lets stand in an address, brackets aside: they stand in addresses of IPv6 alone.
    let may_stand = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&b);
    let is_encoded = |(at, _)| {
        link.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    is_web
        && link.len() <= BYTES_MAX
        && link.bytes().all(may_stand)
        && link.match_indices('%').all(is_encoded)
        && link.matches('#').count() < 2
}

/// Whether an id has the form of one, so that it may stand in an address.
fn is_id(id: &str) -> bool {
    /// Longer than any id.
    const BYTES_MAX: usize = 64;
    let may_stand = |b: u8| b.is_ascii_alphanumeric() || b"-.:_".contains(&b);
    !id.is_empty() && id.len() <= BYTES_MAX && id.bytes().all(may_stand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_of_ids_alone() {
        assert_eq!(
            page("debian-tracker", "CVE-1"),
            Some("https://security-tracker.debian.org/tracker/CVE-1".into())
        );
        assert_eq!(page("own", "CVE-1"), Some("https://nvd.nist.gov/vuln/detail/CVE-1".into()));
        assert_eq!(page("ubuntu", "USN-1-1"), Some("https://ubuntu.com/security/notices/USN-1-1".into()));
        for id in ["", "CVE-1\" onclick=x", "OWN-1", "CVE-1/../x", &"CVE-1".repeat(20)] {
            assert_eq!(page("nvd", id), None, "{id}");
        }
    }

    #[test]
    fn links_lead_to_the_web() {
        for link in ["https://a.example/b?c=d#e", "http://a/%20"] {
            assert!(is_link(link), "{link}");
        }
        for link in [
            "javascript:alert(1)",
            "https:// x",
            "https://a\"b",
            "http://a/%2",
            "data:x",
            "https://",
            "http://a#b#c",
            "https://javascript:alert(1)//",
        ] {
            assert!(!is_link(link), "{link}");
        }
    }
}
