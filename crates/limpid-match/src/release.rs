//! From what an image declares to the release that advisories are written for.

use limpid_model::{Context, Distribution, Package, PackageType};

use crate::distributions::{self, Granularity, known_distribution};

/// The release of a distribution at the granularity of its advisories (`debian:12`, `ubuntu:22.04`,
/// `alpine:3.20`, `rhel:9`); just the id where there is no version or where it rolls. A distribution that Limpid
/// does not know keeps its version whole.
pub fn release(distribution: &Distribution) -> String {
    let id = distributions::id(distribution);
    let version = distribution.version_id.as_str();
    match id {
        "debian" if version.is_empty() => {
            return format!("debian:{}", debian_suite(&distribution.code_name));
        }
        // A development snapshot writes 3.21_alpha20240606 or 3.21.0_git…: edge's packages, not a release's.
        "alpine" if version.contains('_') || version == "edge" => return "alpine:edge".to_owned(),
        // Each service pack has advisories of its own, and only the name for people tells it.
        "openeuler" => return format!("openeuler:{version}{}", service_pack(&distribution.pretty_name)),
        _ => {}
    }
    let granularity = known_distribution(id).map_or(Granularity::Whole, |known| known.granularity);
    let parts = match granularity {
        Granularity::Rolling => return id.to_owned(),
        Granularity::Major => 1,
        Granularity::Minor => 2,
        Granularity::Whole => usize::MAX,
    };
    let version: Vec<&str> = version.split('.').take(parts).collect();
    match version.join(".") {
        version if version.is_empty() => id.to_owned(),
        version => format!("{id}:{version}"),
    }
}

/// A Debian without a version is the suite it will become, by number, or sid.
fn debian_suite(code_name: &str) -> &str {
    match code_name {
        "trixie" => "13",
        "forky" => "14",
        "duke" => "15",
        _ => "sid",
    }
}

/// `openEuler 22.03 (LTS-SP3)`: `-LTS-SP3`; `openEuler 22.03 LTS`: `-LTS`.
fn service_pack(pretty_name: &str) -> String {
    let inside = pretty_name.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let inside = inside.map_or("", |(inside, _)| inside.trim());
    if inside.starts_with("LTS") && !inside.contains(char::is_whitespace) {
        format!("-{inside}")
    } else if pretty_name.split_whitespace().any(|word| word == "LTS") {
        "-LTS".to_owned()
    } else {
        String::new()
    }
}

/// The context of a package in an image of `distribution`; empty for a package of another world. `repositories` are
/// those that the image names for its rpm packages.
///
/// A package of a kind that a known distribution does not have (a deb in an Alpine image) is of another world: what
/// is said of the distribution's release is not said of it.
pub fn context(distribution: Option<&Distribution>, package: &Package, repositories: &[String]) -> Context {
    let Some(distribution) = distribution else { return Context::default() };
    let known = known_distribution(distributions::id(distribution));
    if package.kind == PackageType::Generic || known.is_some_and(|known| !known.kinds.contains(&package.kind))
    {
        return Context::default();
    }
    let repositories = if package.kind == PackageType::Rpm { repositories.to_vec() } else { Vec::new() };
    Context { release: release(distribution), repositories, ..Context::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, version_id: &str, code_name: &str) -> Distribution {
        Distribution {
            id: id.to_owned(),
            version_id: version_id.to_owned(),
            code_name: code_name.to_owned(),
            ..Distribution::default()
        }
    }

    fn package(kind: PackageType) -> Package {
        let empty = String::new;
        Package {
            kind,
            name: empty(),
            version: empty(),
            arch: empty(),
            source_name: empty(),
            source_version: empty(),
            facts: Vec::new(),
        }
    }

    #[test]
    fn releases_have_the_granularity_of_advisories() {
        for (id, version, code_name, expected) in [
            ("debian", "12", "bookworm", "debian:12"),
            ("debian", "7.11", "wheezy", "debian:7"),
            ("debian", "", "forky", "debian:14"),
            ("debian", "", "sid", "debian:sid"),
            ("ubuntu", "22.04", "jammy", "ubuntu:22.04"),
            ("alpine", "3.20.3", "", "alpine:3.20"),
            ("alpine", "3.21_alpha20240606", "", "alpine:edge"),
            ("wolfi", "20230201", "", "wolfi"),
            ("chainguard", "20230214", "", "chainguard"),
            ("minimos", "20241031", "", "minimos"),
            ("postmarketos", "v23.12", "", "postmarketos:v23.12"),
            ("postmarketos", "edge", "", "postmarketos:edge"),
            ("rhel", "9.4", "plow", "rhel:9"),
            ("rhel", "6.10", "", "rhel:6"),
            ("centos", "7", "", "centos:7"),
            ("rocky", "8.9", "", "rocky:8"),
            ("almalinux", "9.3", "", "almalinux:9"),
            ("ol", "8.10", "", "ol:8"),
            ("fedora", "38", "", "fedora:38"),
            ("amzn", "2018.03", "", "amzn:2018.03"),
            ("amzn", "2", "", "amzn:2"),
            ("amzn", "2023", "", "amzn:2023"),
            ("sles", "15.5", "", "sles:15.5"),
            ("sles", "15", "", "sles:15"),
            ("opensuse-leap", "15.6", "", "opensuse-leap:15.6"),
            ("opensuse-tumbleweed", "20240101", "", "opensuse-tumbleweed"),
            ("photon", "5.0", "", "photon:5.0"),
            ("mariner", "2.0", "", "mariner:2.0"),
            ("mariner", "2.0.20240301", "", "mariner:2.0"),
            ("azurelinux", "3.0", "", "azurelinux:3.0"),
            ("openeuler", "24.09", "", "openeuler:24.09"),
            ("mageia", "9", "", "mageia:9"),
            ("bottlerocket", "1.19.2", "", "bottlerocket"),
            ("arch", "", "", "arch"),
            ("rhel", "9.4", "", "rhel:9"),
            ("centos", "7", "", "centos:7"),
            ("ol", "8.10", "", "ol:8"),
            ("amzn", "2018.03", "", "amzn:2018.03"),
            ("arch", "20231112.0.191179", "", "arch"),
            ("gentoo", "2.14", "", "gentoo"),
            ("kali", "2023.4", "kali-rolling", "kali:2023.4"),
        ] {
            assert_eq!(release(&named(id, version, code_name)), expected);
        }
        let stream = Distribution { pretty_name: "CentOS Stream 9".into(), ..named("centos", "9", "") };
        assert_eq!(release(&stream), "centos-stream:9");
        let pack =
            |pretty: &str| Distribution { pretty_name: pretty.into(), ..named("openeuler", "22.03", "") };
        assert_eq!(release(&pack("openEuler 22.03 (LTS-SP3)")), "openeuler:22.03-LTS-SP3");
        assert_eq!(release(&pack("openEuler 22.03 LTS")), "openeuler:22.03-LTS");
    }

    #[test]
    fn a_package_of_another_world_is_not_judged_with_the_distribution() {
        let alpine = named("alpine", "3.20.3", "");
        let release = |distribution: &Distribution, kind| {
            context(Some(distribution), &package(kind), &["repository".to_owned()]).release
        };
        assert_eq!(release(&alpine, PackageType::Apk), "alpine:3.20");
        assert_eq!(release(&alpine, PackageType::Deb), "");
        assert_eq!(release(&alpine, PackageType::Generic), "");
        // Of a distribution that is not known nobody can say which packages are its own.
        assert_eq!(release(&named("kali", "2023.4", ""), PackageType::Deb), "kali:2023.4");
        let rhel = named("rhel", "9.4", "");
        let context = context(Some(&rhel), &package(PackageType::Rpm), &["repository".to_owned()]);
        assert_eq!(context.repositories, ["repository"]);
    }
}
