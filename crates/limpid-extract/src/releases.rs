//! The releases of Debian and Ubuntu: version and code name, each from the other.
//!
//! Source of truth: the projects' lists of releases. A release that is missing here is not lost, it only goes
//! by the one name that its image gives.

/// Debian, oldest first. 14 and 15 are announced names.
const DEBIAN: &[(&str, &str)] = &[
    ("3.0", "woody"),
    ("3.1", "sarge"),
    ("4", "etch"),
    ("5", "lenny"),
    ("6", "squeeze"),
    ("7", "wheezy"),
    ("8", "jessie"),
    ("9", "stretch"),
    ("10", "buster"),
    ("11", "bullseye"),
    ("12", "bookworm"),
    ("13", "trixie"),
    ("14", "forky"),
    ("15", "duke"),
];

/// Ubuntu, oldest first.
const UBUNTU: &[(&str, &str)] = &[
    ("4.10", "warty"),
    ("5.04", "hoary"),
    ("5.10", "breezy"),
    ("6.06", "dapper"),
    ("6.10", "edgy"),
    ("7.04", "feisty"),
    ("7.10", "gutsy"),
    ("8.04", "hardy"),
    ("8.10", "intrepid"),
    ("9.04", "jaunty"),
    ("9.10", "karmic"),
    ("10.04", "lucid"),
    ("10.10", "maverick"),
    ("11.04", "natty"),
    ("11.10", "oneiric"),
    ("12.04", "precise"),
    ("12.10", "quantal"),
    ("13.04", "raring"),
    ("13.10", "saucy"),
    ("14.04", "trusty"),
    ("14.10", "utopic"),
    ("15.04", "vivid"),
    ("15.10", "wily"),
    ("16.04", "xenial"),
    ("16.10", "yakkety"),
    ("17.04", "zesty"),
    ("17.10", "artful"),
    ("18.04", "bionic"),
    ("18.10", "cosmic"),
    ("19.04", "disco"),
    ("19.10", "eoan"),
    ("20.04", "focal"),
    ("20.10", "groovy"),
    ("21.04", "hirsute"),
    ("21.10", "impish"),
    ("22.04", "jammy"),
    ("22.10", "kinetic"),
    ("23.04", "lunar"),
    ("23.10", "mantic"),
    ("24.04", "noble"),
    ("24.10", "oracular"),
    ("25.04", "plucky"),
    ("25.10", "questing"),
];

fn version_of(releases: &[(&'static str, &str)], code_name: &str) -> Option<&'static str> {
    releases.iter().find(|(_, name)| *name == code_name).map(|(version, _)| *version)
}

fn code_name_of(releases: &[(&str, &'static str)], version: &str) -> Option<&'static str> {
    releases.iter().find(|(known, _)| *known == version).map(|(_, name)| *name)
}

/// The version of a Debian code name.
pub(crate) fn debian_version(code_name: &str) -> Option<&'static str> {
    version_of(DEBIAN, code_name)
}

/// The version of an Ubuntu code name.
pub(crate) fn ubuntu_version(code_name: &str) -> Option<&'static str> {
    version_of(UBUNTU, code_name)
}

/// The version of a distribution's code name.
pub(crate) fn version(id: &str, code_name: &str) -> Option<&'static str> {
    match id {
        "debian" => debian_version(code_name),
        "ubuntu" => ubuntu_version(code_name),
        _ => None,
    }
}

/// The code name of a distribution's version.
pub(crate) fn code_name(id: &str, version_id: &str) -> Option<&'static str> {
    match id {
        "debian" => code_name_of(DEBIAN, version_id),
        "ubuntu" => code_name_of(UBUNTU, version_id),
        _ => None,
    }
}

/// The Debian release that a point release belongs to: `7.11` to 7, `6.0.10` to 6, but `3.1r8` to 3.1.
pub(crate) fn debian_release_of_point(version: &str) -> &str {
    let first = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    if first == "3" { version.get(..3).unwrap_or(first) } else { first }
}
