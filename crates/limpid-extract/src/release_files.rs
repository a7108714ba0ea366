//! The release files that came before os-release, and that old images have instead: one extractor a format.
//!
//! Sources of truth: what the packages `base-files`, `centos-release`, `system-release` and their kin put there;
//! the samples in the tests are theirs. A file that names nothing we know keeps its first line as the pretty
//! name, so that a report can show it.

use limpid_model::{Distribution, Record};

use crate::assignments;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};
use crate::releases;

/// Defines an extractor of small text files: its name, where they lie, what a text says.
macro_rules! release_file {
    ($(#[$doc:meta])* $type:ident, $name:literal, [$($path:literal),+ $(,)?], $read:path) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $type;

        impl Extractor for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn version(&self) -> u32 {
                1
            }

            /// A line or a few.
            fn limit(&self) -> u64 {
                64 << 10
            }

            fn reads(&self, path: &str) -> bool {
                matches!(path, $($path)|+)
            }

            fn anchors(&self) -> &'static [Anchor] {
                &[$(Anchor::File($path)),+]
            }

            fn extract(&self, _path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
                let text = String::from_utf8_lossy(content);
                Ok(Record::Distribution($read(&text)).into())
            }
        }
    };
}

release_file!(
    /// A bare version: `3.7.0`.
    AlpineRelease, "alpine-release", ["etc/alpine-release"], alpine_release
);
release_file!(
    /// A point release or `CODENAME/sid`; Debian's derivatives carry it too.
    DebianVersion, "debian-version", ["etc/debian_version"], debian_version
);
release_file!(
    /// `DISTRIB_ID=Ubuntu` and so on.
    LsbRelease, "lsb-release", ["etc/lsb-release"], lsb_release
);
release_file!(
    /// `NAME release VERSION (CODE NAME)`, or without the `release`.
    RedhatRelease, "redhat-release",
    [
        "etc/oracle-release", "etc/enterprise-release", "etc/rocky-release", "etc/almalinux-release",
        "etc/centos-release", "etc/fedora-release", "etc/mageia-release", "etc/openEuler-release",
        "etc/photon-release", "etc/mariner-release", "etc/azurelinux-release", "etc/gentoo-release",
        "etc/slackware-version", "etc/system-release", "etc/redhat-release",
    ],
    redhat_release
);
release_file!(
    /// A line as above, then `VERSION = 11` and `PATCHLEVEL = 4`.
    SuseRelease, "suse-release", ["etc/SuSE-release"], suse_release
);
release_file!(
    /// Empty: its presence says it all.
    ArchRelease, "arch-release", ["etc/arch-release"], arch_release
);

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn begins_with_digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn alpine_release(text: &str) -> Distribution {
    let version = first_line(text);
    if !begins_with_digit(&version) || version.contains(' ') {
        return Distribution { pretty_name: version, ..Distribution::default() };
    }
    let (id, pretty_name) = ("alpine".into(), format!("Alpine Linux {version}"));
    Distribution { id, pretty_name, version_id: version, ..Distribution::default() }
}

fn debian_version(text: &str) -> Distribution {
    let line = first_line(text).to_lowercase();
    let mut debian = Distribution { id: "debian".into(), ..Distribution::default() };
    debian.pretty_name = format!("Debian GNU/Linux {line}").trim_end().to_owned();
    if line.starts_with("kali") {
        debian.id = "kali".into();
        debian.pretty_name = "Kali GNU/Linux".into();
    } else if begins_with_digit(&line) {
        debian.version_id = releases::debian_release_of_point(&line).to_owned();
    } else if let Some(name) = line.split('/').next().filter(|name| releases::debian_version(name).is_some())
    {
        debian.code_name = name.to_owned();
    }
    debian
}

fn lsb_release(text: &str) -> Distribution {
    let mut distribution = Distribution::default();
    let known = |value: &str| !value.is_empty() && !value.eq_ignore_ascii_case("n/a");
    for (name, value) in assignments::read(text.as_bytes()) {
        match name.as_str() {
            _ if !known(&value) => {}
            "DISTRIB_ID" => distribution.id = lsb_id(&value),
            "DISTRIB_RELEASE" => distribution.version_id = value,
            "DISTRIB_CODENAME" => distribution.code_name = value.to_lowercase(),
            "DISTRIB_DESCRIPTION" => distribution.pretty_name = value,
            _ => {}
        }
    }
    if distribution.id == "debian" {
        distribution.version_id = releases::debian_release_of_point(&distribution.version_id).to_owned();
    }
    distribution
}

/// lsb-release has names where os-release has ids.
fn lsb_id(name: &str) -> String {
    let name = name.to_lowercase();
    match named(&name) {
        Some(id) => id.to_owned(),
        None => name.split_whitespace().collect::<Vec<_>>().join("-"),
    }
}

/// What the first lines of release files begin with, lower case, and the id that os-release gives to it.
/// Of two that fit the longer stands first.
const NAMES: &[(&str, &str)] = &[
    ("red hat enterprise linux", "rhel"),
    ("redhatenterprise", "rhel"),
    ("enterprise linux enterprise linux server", "ol"),
    ("oracle", "ol"),
    ("centos", "centos"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("amazon", "amzn"),
    ("scientific", "scientific"),
    ("cloudlinux", "cloudlinux"),
    ("mageia", "mageia"),
    ("openeuler", "openeuler"),
    ("vmware photon", "photon"),
    ("photon", "photon"),
    ("cbl-mariner", "mariner"),
    ("mariner", "mariner"),
    ("microsoft azure linux", "azurelinux"),
    ("azure linux", "azurelinux"),
    ("gentoo", "gentoo"),
    ("slackware", "slackware"),
    ("suse linux enterprise desktop", "sled"),
    ("suse linux", "sles"),
    ("suse", "sles"),
    ("opensuse leap", "opensuse-leap"),
    ("opensuse tumbleweed", "opensuse-tumbleweed"),
    ("opensuse", "opensuse"),
];

fn named(line: &str) -> Option<&'static str> {
    NAMES.iter().find(|(prefix, _)| line.starts_with(prefix)).map(|(_, id)| *id)
}

fn redhat_release(text: &str) -> Distribution {
    let line = first_line(text);
    let lower = line.to_lowercase();
    let id = named(&lower).unwrap_or_default();
    let version = line.split_whitespace().find(|word| begins_with_digit(word)).unwrap_or_default();
    let mut parts = version.split('.');
    let version_id = match (id, parts.next(), parts.next(), parts.next()) {
        // `2023.3.20240131` is a state of 2023, and `2.0.20220122` one of 2.0.
        ("amzn", Some(year), Some(_), Some(_)) => year.to_owned(),
        ("mariner" | "azurelinux", Some(major), Some(minor), Some(_)) => format!("{major}.{minor}"),
        _ => version.to_owned(),
    };
    Distribution { id: id.to_owned(), version_id, pretty_name: line, ..Distribution::default() }
}

fn suse_release(text: &str) -> Distribution {
    let mut distribution = redhat_release(text);
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value: String = value.trim().chars().take(40).filter(|c| !c.is_control()).collect();
        match name.trim() {
            "VERSION" => distribution.version_id = value,
            "PATCHLEVEL" if !matches!(value.as_str(), "" | "0") && !distribution.version_id.contains('.') => {
                distribution.version_id = format!("{}.{value}", distribution.version_id);
            }
            _ => {}
        }
    }
    distribution
}

fn arch_release(_: &str) -> Distribution {
    Distribution { id: "arch".into(), pretty_name: "Arch Linux".into(), ..Distribution::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(distribution: &Distribution) -> [&str; 3] {
        [&distribution.id, &distribution.version_id, &distribution.code_name]
    }

    #[test]
    fn one_line_files() {
        for (line, id, version) in [
            ("CentOS release 6.10 (Final)", "centos", "6.10"),
            ("CentOS Linux release 7.9.2009 (Core)", "centos", "7.9.2009"),
            ("CentOS Stream release 9", "centos", "9"),
            ("Red Hat Enterprise Linux Server release 5.11 (Tikanga)", "rhel", "5.11"),
            ("Red Hat Enterprise Linux release 8.8 (Ootpa)", "rhel", "8.8"),
            ("Fedora release 38 (Thirty Eight)", "fedora", "38"),
            ("Rocky Linux release 9.3 (Blue Onyx)", "rocky", "9.3"),
            ("AlmaLinux release 8.9 (Midnight Oncilla)", "almalinux", "8.9"),
            ("Oracle Linux Server release 7.9", "ol", "7.9"),
            ("Enterprise Linux Enterprise Linux Server release 5.5 (Carthage)", "ol", "5.5"),
            ("Amazon Linux AMI release 2018.03", "amzn", "2018.03"),
            ("Amazon Linux release 2 (Karoo)", "amzn", "2"),
            ("Amazon Linux release 2023.3.20240131 (Amazon Linux)", "amzn", "2023"),
            ("VMware Photon OS 4.0\nPHOTON_BUILD_NUMBER=c1a", "photon", "4.0"),
            ("VMware Photon Linux 1.0", "photon", "1.0"),
            ("CBL-Mariner 2.0.20220122\nMARINER_BUILD_NUMBER=x", "mariner", "2.0"),
            ("Gentoo Base System release 2.15", "gentoo", "2.15"),
            ("Slackware 14.2", "slackware", "14.2"),
            ("Mageia release 8 (Official) for x86_64", "mageia", "8"),
            ("openEuler release 20.03 (LTS-SP3)", "openeuler", "20.03"),
            ("House Linux release 1", "", "1"),
            ("", "", ""),
        ] {
            let distribution = redhat_release(line);
            assert_eq!(shown(&distribution), [id, version, ""], "{line}");
            assert_eq!(distribution.pretty_name, line.lines().next().unwrap_or_default());
        }
    }

    #[test]
    fn debian_alpine_suse() {
        assert_eq!(shown(&debian_version("7.11\n")), ["debian", "7", ""]);
        assert_eq!(shown(&debian_version("6.0.10\n")), ["debian", "6", ""]);
        assert_eq!(shown(&debian_version("3.1\n")), ["debian", "3.1", ""]);
        assert_eq!(shown(&debian_version("bookworm/sid\n")), ["debian", "", "bookworm"]);
        assert_eq!(shown(&debian_version("testing/unstable\n")), ["debian", "", ""]);
        assert_eq!(shown(&debian_version("kali-rolling\n")), ["kali", "", ""]);
        assert_eq!(debian_version("7.11\n").pretty_name, "Debian GNU/Linux 7.11");
        assert_eq!(shown(&alpine_release("3.7.0\n")), ["alpine", "3.7.0", ""]);
        assert_eq!(shown(&alpine_release("what\n")), ["", "", ""]);
        let sles = "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n";
        assert_eq!(shown(&suse_release(sles)), ["sles", "11.4", ""]);
        let opensuse = "openSUSE 13.1 (x86_64)\nVERSION = 13.1\nCODENAME = Bottle\n";
        assert_eq!(shown(&suse_release(opensuse)), ["opensuse", "13.1", ""]);
    }

    #[test]
    fn lsb() {
        let ubuntu = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=12.04\nDISTRIB_CODENAME=precise\n\
                      DISTRIB_DESCRIPTION=\"Ubuntu 12.04.5 LTS\"\n";
        let distribution = lsb_release(ubuntu);
        assert_eq!(shown(&distribution), ["ubuntu", "12.04", "precise"]);
        assert_eq!(distribution.pretty_name, "Ubuntu 12.04.5 LTS");
        assert_eq!(
            shown(&lsb_release("DISTRIB_ID=\"VMware Photon\"\nDISTRIB_RELEASE=3.0\n")),
            ["photon", "3.0", ""]
        );
        assert_eq!(
            shown(&lsb_release("DISTRIB_ID=\"House Linux\"\nDISTRIB_CODENAME=n/a\n")),
            ["house-linux", "", ""]
        );
        assert_eq!(shown(&lsb_release("LSB_VERSION=base-4.0-amd64\n")), ["", "", ""]);
    }
}
