//! Debian. The tracker, the DSA and DLA lists and the extended notices all speak of *source* packages and
//! their versions: a binary rebuilt as `1.2-3+b1` from source `1.2-3` is judged as `1.2-3`.
//!
//! Where the tracker carries a release (Debian 11 and newer), its word alone counts: it takes the notices in and
//! knows what is open besides. Of older releases the notices are all there is: DSAs for the release's own
//! support, DLAs for the channel `lts`, ELAs for `elts`. A package that has any of their fixes has the fix.
//! A vulnerability that no notice names may be open all the same, so reports say that they have that hole.
//!
//! A signed kernel has a source of its own (`linux-signed-amd64`), which the tracker does not name: it is judged as the
//! source `linux` at the version of its code, see [`signed`](crate::signed). Metapackages of kernels get no verdict.
//!
//! Source: the Security Tracker's documentation, <https://security-team.debian.org/security_tracker.html>.

use limpid_model::{Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Rules, signed};

pub(crate) struct Debian;

impl Rules for Debian {
    fn distribution(&self) -> &'static str {
        "debian"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Deb
    }

    fn scheme(&self) -> Scheme {
        Scheme::Dpkg
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["debian-tracker", "debian-dsa", "debian-dla", "debian-elts"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        vec![(PackageKind::Source, &package.source_name)]
    }

    fn signed_source(&self, source: &str) -> Option<String> {
        signed::debian(source)
    }

    fn blind_spot(&self, release: &str) -> Option<&'static str> {
        let version = release.strip_prefix("debian:").and_then(|version| version.parse::<u32>().ok());
        version.filter(|version| *version < TRACKED_MIN).map(|_| {
            "only notices of fixes are left, so a vulnerability that was never fixed, or not announced, is not found"
        })
    }
}

/// The oldest release that the Security Tracker carries.
const TRACKED_MIN: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_past_the_tracker_have_a_blind_spot() {
        assert!(Debian.blind_spot("debian:7").is_some() && Debian.blind_spot("debian:10").is_some());
        assert!(Debian.blind_spot("debian:11").is_none() && Debian.blind_spot("debian:sid").is_none());
    }
}
