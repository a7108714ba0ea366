//! Whose package it is: the distribution's own, or a third party's that was installed with the same tools.
//!
//! A feed of a distribution speaks of the packages that the distribution builds. Docker's, NodeSource's or a PPA's are
//! installed by the same dpkg and look alike; nothing in dpkg's database says where a package came from. What does
//! tell, in this order:
//!
//! 1. a `Vendor` or `Origin` field that is not the distribution's: its own builders write none;
//! 2. a version with a mark that only other archives put into theirs (`~debian.12~bookworm`, `nodesource`, `.pgdg`);
//! 3. a maintainer at a company that publishes packages but maintains none in the distribution;
//! 4. a version without a revision, which only packages made for a distribution alone have, from a maintainer
//!    elsewhere, and a name that the distribution's feed has never mentioned. That may be a third party's.
//!
//! A maintainer elsewhere alone says nothing: one in twenty of Debian's own has one. Measured on all 63,665 packages
//! of Debian 12: rules 1 to 3 take none of them for a third party's, rule 4 has doubts about 131.

use limpid_model::{Package, PackageFact, PackageType};

/// Where a package comes from, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Nothing speaks against its being the distribution's own.
    Own,
    /// It is a third party's, and nothing that the distribution says is about it.
    ThirdParty,
    /// It may be a third party's.
    Unclear,
}

/// Marks in versions, and whose they are.
const VERSION_MARKS: &[&str] = &[
    "nodesource", // NodeSource
    ".pgdg",      // PostgreSQL
    "~debian.",   // Docker
    "~ubuntu.",   // Docker
    "+maria~",    // MariaDB
    "deb.sury.org",
    "~ppa",
    "ppa~",
    "ppa1",
    "~1.gbp", // Sury
    "~bullseye",
    "~bookworm",
    "~trixie",
];

/// Domains of publishers whose packages are in no distribution under their address.
const PUBLISHERS: &[&str] = &[
    "docker.com",
    "nodesource.com",
    "google.com",
    "microsoft.com",
    "hashicorp.com",
    "mongodb.com",
    "elastic.co",
    "oracle.com",
    "mariadb.com",
    "percona.com",
    "nvidia.com",
    "gitlab.com",
    "grafana.com",
    "influxdata.com",
    "datadoghq.com",
    "newrelic.com",
    "dynatrace.com",
    "splunk.com",
    "confluent.io",
    "redis.com",
    "redislabs.com",
    "nginx.com",
    "f5.com",
    "cloudflare.com",
    "tailscale.com",
    "amazon.com",
    "azul.com",
    "bell-sw.com",
    "eclipse.org",
    "puppet.com",
    "chef.io",
    "kubernetes.io",
    "cri-o.io",
    "intel.com",
    "amd.com",
    "varnish-software.com",
    "clickhouse.com",
    "cockroachlabs.com",
    "timescale.com",
    "yarnpkg.com",
    "teamviewer.com",
    "slack-corp.com",
    "skype.net",
    "vivaldi.com",
    "opera.com",
    "brave.com",
];

/// Source packages of Debian's own whose maintainers write from such an address.
const KEPT_FROM_THERE: &[&str] = &["python-aiohttp-cors", "due", "xsecurelock"];

/// Google's browser has a maintainer of its own, and is not what Debian calls chromium.
const PUBLISHED_NAMES: &[&str] = &["google-chrome-stable", "google-chrome-beta", "google-chrome-unstable"];

/// Debian's own that are versioned without a revision, kept up from elsewhere, and never had an advisory.
const NATIVE: &[&str] =
    &["netbase", "usrmerge", "debianutils", "adduser", "base-files", "init-system-helpers"];

/// Where `package` comes from. `mentioned` says whether the feed has ever spoken of its source.
pub fn provenance(package: &Package, mentioned: bool) -> Provenance {
    if package.kind != PackageType::Deb {
        return Provenance::Own;
    }
    if is_third_party(package) {
        return Provenance::ThirdParty;
    }
    let elsewhere = fact(package, PackageFact::Maintainer).is_some();
    let unrevised = !package.source_version.contains('-');
    if elsewhere && unrevised && !mentioned && !NATIVE.contains(&package.source_name.as_str()) {
        Provenance::Unclear
    } else {
        Provenance::Own
    }
}

/// Whether the package itself shows that the distribution did not build it.
pub(crate) fn is_third_party(package: &Package) -> bool {
    let maintainer = fact(package, PackageFact::Maintainer);
    let domain = maintainer
        .and_then(|text| text.rsplit_once('@'))
        .map(|(_, domain)| domain.trim_end_matches(['>', ' ']).to_ascii_lowercase());
    let kept = KEPT_FROM_THERE.contains(&package.source_name.as_str());
    let published = domain.filter(|_| !kept).is_some_and(|domain| {
        PUBLISHERS.iter().any(|publisher| {
            domain.strip_suffix(publisher).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    });
    package.kind == PackageType::Deb
        && (published
            || fact(package, PackageFact::Vendor).is_some()
            || PUBLISHED_NAMES.contains(&package.name.as_str())
            || VERSION_MARKS.iter().any(|mark| package.version.contains(mark)))
}

fn fact(package: &Package, wanted: PackageFact) -> Option<&str> {
    package.facts.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, facts: &[(PackageFact, &str)]) -> Package {
        Package {
            kind: PackageType::Deb,
            name: name.to_owned(),
            version: version.to_owned(),
            arch: "amd64".to_owned(),
            source_name: name.to_owned(),
            source_version: version.to_owned(),
            facts: facts.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn published_packages_are_told_by_their_own_marks() {
        let by = |address| [(PackageFact::Maintainer, address)];
        for third in [
            package("docker-ce", "5:24.0.7-1~debian.12~bookworm", &by("Docker <support@docker.com>")),
            package("nodejs", "18.19.0-1nodesource1", &by("X <x@example.org>")),
            package("postgresql-15", "15.5-1.pgdg120+1", &[]),
            package("php8.3", "8.3.1-1+0~20231221.16+debian12~1.gbp5d1f9a", &[]),
            package("git", "1:2.43.0-0ppa1~ubuntu22.04.1", &[]),
            package("code", "1.85.1-1", &by("VS Code <vscode-linux@microsoft.com>")),
            package("google-chrome-stable", "120.0.6099.109-1", &by("C <c@chromium.org>")),
            package("acme", "1.0-1", &[(PackageFact::Vendor, "ACME")]),
        ] {
            assert_eq!(provenance(&third, true), Provenance::ThirdParty, "{}", third.name);
        }
    }

    #[test]
    fn the_distributions_own_stay_its_own() {
        let elsewhere = [(PackageFact::Maintainer, "M <md@linux.example>")];
        for own in [
            package("bash", "5.2.15-2+b2", &[]),
            package("kmod", "30+20221128-1", &elsewhere),
            package("netbase", "6.4", &elsewhere),
            package("openssl", "3.0.11-1~deb12u2", &[]),
            package("linux-hwe", "6.5.0-14.14~22.04.1", &[]),
            package("golang", "2:1.21~bpo12+1", &[]),
            package("apt", "2.6.1", &[]),
        ] {
            assert_eq!(provenance(&own, false), Provenance::Own, "{}", own.name);
        }
        let house = package("agent", "1.0", &elsewhere);
        assert_eq!(provenance(&house, false), Provenance::Unclear);
        assert_eq!(provenance(&house, true), Provenance::Own);
    }
}
