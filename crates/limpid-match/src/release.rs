//! From what an image declares to the release that advisories are written for.

use limpid_model::{Context, Distribution, Package, PackageType};

/// The release of a distribution at the granularity of its advisories (`debian:12`, `ubuntu:22.04`,
/// `alpine:3.20`); just the id where there is no version.
pub fn release(distribution: &Distribution) -> String {
    let id = distribution.id.as_str();
    let version = distribution.version_id.as_str();
    let parts: Vec<&str> = version.split('.').collect();
    match id {
        "debian" if version.is_empty() => format!("debian:{}", debian_suite(&distribution.code_name)),
        "debian" => format!("debian:{}", parts[0]),
        // A development snapshot writes 3.21_alpha20240606 or 3.21.0_git…: edge's packages, not a release's.
        "alpine" if version.contains('_') || version == "edge" => "alpine:edge".to_owned(),
        "alpine" if parts.len() >= 2 => format!("alpine:{}.{}", parts[0], parts[1]),
        _ if version.is_empty() => id.to_owned(),
        "rhel" | "centos" | "almalinux" | "rocky" | "ol" => format!("{id}:{}", parts[0]),
        _ => format!("{id}:{version}"),
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

/// The context of a package in an image of `distribution`; empty for a package of another world.
pub fn context(distribution: Option<&Distribution>, package: &Package) -> Context {
    let Some(distribution) = distribution else { return Context::default() };
    match package.kind {
        PackageType::Deb | PackageType::Apk | PackageType::Rpm => {
            Context { release: release(distribution), ..Context::default() }
        }
        _ => Context::default(),
    }
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
            ("wolfi", "20230201", "", "wolfi:20230201"),
            ("arch", "", "", "arch"),
            ("rhel", "9.4", "", "rhel:9"),
            ("centos", "7", "", "centos:7"),
            ("ol", "8.10", "", "ol:8"),
            ("amzn", "2018.03", "", "amzn:2018.03"),
        ] {
            assert_eq!(release(&named(id, version, code_name)), expected);
        }
    }
}
