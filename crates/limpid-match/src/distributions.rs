//! The distributions that Limpid knows by name: how their releases are told apart, and which packages are theirs.
//!
//! One table, [`DISTRIBUTIONS`]: what it does not name is not lost, its packages are listed and coverage says that no
//! feed speaks for them. The granularity is that of each publisher's advisories. Sources: the os-release files of the
//! distributions' own images, and what their advisories call a release.

use limpid_model::{Distribution, PackageType};

/// How much of a version tells a release from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// None: it rolls, and there is one stream of advisories.
    Rolling,
    /// The first number: `9.4` and `9` are one release.
    Major,
    /// Two numbers: `3.20.3` is of 3.20.
    Minor,
    /// The version as it is written: `2018.03`, `2023`.
    Whole,
}

/// A distribution that Limpid knows.
#[derive(Debug)]
pub struct KnownDistribution {
    /// The id at which its releases go: that of os-release, except where one id stands for two distributions.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The kinds of package that are its own.
    pub kinds: &'static [PackageType],
    /// How its releases are told apart.
    pub granularity: Granularity,
    /// The releases that are known, for people.
    pub releases: &'static str,
}

use Granularity::{Major, Minor, Rolling, Whole};
use PackageType::{Alpm, Apk, Deb, Ebuild, Opkg, Rpm};

const fn known(
    id: &'static str,
    name: &'static str,
    kinds: &'static [PackageType],
    granularity: Granularity,
    releases: &'static str,
) -> KnownDistribution {
    KnownDistribution { id, name, kinds, granularity, releases }
}

/// Every distribution that is known, families together. This is the one table.
pub static DISTRIBUTIONS: &[KnownDistribution] = &[
    known("debian", "Debian", &[Deb], Major, "7 to 13, testing, sid"),
    known("ubuntu", "Ubuntu", &[Deb], Minor, "12.04 to 25.10"),
    known("alpine", "Alpine Linux", &[Apk], Minor, "3.2 to 3.23, edge"),
    known("wolfi", "Wolfi", &[Apk], Rolling, "rolling"),
    known("chainguard", "Chainguard OS", &[Apk], Rolling, "rolling"),
    known("minimos", "MinimOS", &[Apk], Rolling, "rolling"),
    known("postmarketos", "postmarketOS", &[Apk], Minor, "v21.06 and later, edge"),
    known("openwrt", "OpenWrt", &[Opkg, Apk], Minor, "19.07 and later"),
    known("rhel", "Red Hat Enterprise Linux, UBI", &[Rpm], Major, "5 to 10"),
    known("centos", "CentOS Linux", &[Rpm], Major, "5 to 8"),
    known("centos-stream", "CentOS Stream", &[Rpm], Major, "8 to 10"),
    known("fedora", "Fedora Linux", &[Rpm], Major, "21 to 43"),
    known("rocky", "Rocky Linux", &[Rpm], Major, "8 to 10"),
    known("almalinux", "AlmaLinux OS", &[Rpm], Major, "8 to 10"),
    known("ol", "Oracle Linux", &[Rpm], Major, "5 to 10"),
    known("scientific", "Scientific Linux", &[Rpm], Major, "6, 7"),
    known("cloudlinux", "CloudLinux OS", &[Rpm], Major, "7 to 9"),
    known("amzn", "Amazon Linux", &[Rpm], Whole, "2018.03, 2, 2023"),
    known("sles", "SUSE Linux Enterprise Server", &[Rpm], Minor, "11.4 to 16.0"),
    known("sled", "SUSE Linux Enterprise Desktop", &[Rpm], Minor, "12 to 15.7"),
    known("sles_sap", "SUSE Linux Enterprise Server for SAP", &[Rpm], Minor, "12 to 16.0"),
    known("sle-micro", "SUSE Linux Enterprise Micro", &[Rpm], Minor, "5.1 to 5.5"),
    known("sl-micro", "SUSE Linux Micro", &[Rpm], Minor, "6.0 and later"),
    known("opensuse-leap", "openSUSE Leap", &[Rpm], Minor, "42.1 to 16.0"),
    known("opensuse-leap-micro", "openSUSE Leap Micro", &[Rpm], Minor, "5.2 and later"),
    known("opensuse-tumbleweed", "openSUSE Tumbleweed", &[Rpm], Rolling, "rolling"),
    known("opensuse-microos", "openSUSE MicroOS", &[Rpm], Rolling, "rolling"),
    known("opensuse-slowroll", "openSUSE Slowroll", &[Rpm], Rolling, "rolling"),
    known("opensuse", "openSUSE before Leap", &[Rpm], Minor, "11.0 to 13.2"),
    known("photon", "Photon OS", &[Rpm], Minor, "1.0 to 5.0"),
    known("azurelinux", "Azure Linux", &[Rpm], Minor, "3.0"),
    known("mariner", "CBL-Mariner", &[Rpm], Minor, "1.0, 2.0"),
    known("openeuler", "openEuler", &[Rpm], Whole, "20.03 and later, with their service packs"),
    known("mageia", "Mageia", &[Rpm], Major, "5 to 9"),
    known("bottlerocket", "Bottlerocket", &[], Rolling, "by name; an image of it holds no package database"),
    known("arch", "Arch Linux", &[Alpm], Rolling, "rolling"),
    known("gentoo", "Gentoo", &[Ebuild], Rolling, "rolling"),
    known("windows", "Windows", &[], Whole, "by name; no statement is possible"),
];

/// What is known of the distribution that goes by `id`.
pub fn known_distribution(id: &str) -> Option<&'static KnownDistribution> {
    DISTRIBUTIONS.iter().find(|known| known.id == id)
}

/// The id at which a distribution's releases go: CentOS Stream calls itself `centos` too.
pub(crate) fn id(distribution: &Distribution) -> &str {
    match distribution.id.as_str() {
        "centos" if distribution.pretty_name.contains("Stream") => "centos-stream",
        "archarm" => "arch",
        id => id,
    }
}

/// The distributions that one stands on, by its `ID_LIKE`, if it is none of those that are known.
pub fn parents(distribution: &Distribution) -> Vec<&'static str> {
    if known_distribution(id(distribution)).is_some() {
        return Vec::new();
    }
    let like = distribution.id_like.split_whitespace();
    like.filter_map(|parent| known_distribution(parent).map(|known| known.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        for (index, known) in DISTRIBUTIONS.iter().enumerate() {
            assert!(DISTRIBUTIONS.iter().skip(index + 1).all(|other| other.id != known.id), "{}", known.id);
        }
    }

    #[test]
    fn derivatives_name_their_parents_and_known_ones_none() {
        let named = |id: &str, id_like: &str| Distribution {
            id: id.to_owned(),
            id_like: id_like.to_owned(),
            ..Distribution::default()
        };
        assert_eq!(parents(&named("linuxmint", "ubuntu debian")), ["Ubuntu", "Debian"]);
        assert_eq!(parents(&named("kali", "debian")), ["Debian"]);
        assert_eq!(parents(&named("rocky", "rhel centos fedora")), [""; 0]);
        assert_eq!(parents(&named("plan9", "unix")), [""; 0]);
    }
}
