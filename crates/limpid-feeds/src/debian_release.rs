//! Debian's code names and release numbers, and which feed speaks of which release.
//!
//! Source of truth: the Debian project's list of releases. A release leaves the Security Tracker's JSON when
//! its long-term support ends; from then on the DSA, DLA and ELA lists are all there is.

/// Code name and `VERSION_ID`, newest first.
const RELEASES: &[(&str, &str)] = &[
    ("duke", "15"),
    ("forky", "14"),
    ("trixie", "13"),
    ("bookworm", "12"),
    ("bullseye", "11"),
    ("buster", "10"),
    ("stretch", "9"),
    ("jessie", "8"),
    ("wheezy", "7"),
    ("squeeze", "6"),
    ("lenny", "5"),
    ("etch", "4"),
    ("sarge", "3.1"),
    ("woody", "3.0"),
    ("potato", "2.2"),
    ("sid", "sid"),
];

/// The oldest release that the tracker's JSON still carries.
const TRACKED_MIN: u32 = 11;

/// `debian:12` for `bookworm`.
pub(crate) fn release_of_code_name(code_name: &str) -> Option<String> {
    let (_, version) = RELEASES.iter().find(|(name, _)| *name == code_name)?;
    Some(format!("debian:{version}"))
}

/// Whether the Security Tracker's JSON carries that release.
pub(crate) fn is_tracked(release: &str) -> bool {
    let Some(version) = release.strip_prefix("debian:") else { return false };
    version == "sid" || version.parse::<u32>().is_ok_and(|version| version >= TRACKED_MIN)
}

/// Whether it is a release, not older than `oldest`, of which notices are all there is.
pub(crate) fn has_notices_alone(release: &str, oldest: u32) -> bool {
    let version = release.strip_prefix("debian:").and_then(|version| version.parse::<u32>().ok());
    version.is_some_and(|version| (oldest..TRACKED_MIN).contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_names_have_releases_and_the_newer_ones_are_tracked() {
        assert_eq!(release_of_code_name("wheezy").as_deref(), Some("debian:7"));
        assert_eq!(release_of_code_name("nobody"), None);
        assert!(is_tracked("debian:sid") && is_tracked("debian:12") && !is_tracked("debian:7"));
        assert!(has_notices_alone("debian:10", 7) && has_notices_alone("debian:7", 7));
        assert!(!has_notices_alone("debian:11", 7) && !has_notices_alone("debian:6", 7));
        for other in ["debian", "debian:", "debian:x", "ubuntu:22.04", ""] {
            assert!(!is_tracked(other), "{other}");
        }
    }
}
