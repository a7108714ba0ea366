//! Debian. The tracker, the DSA and DLA lists and the extended notices all speak of *source* packages and
//! their versions: a binary rebuilt as `1.2-3+b1` from source `1.2-3` is judged as `1.2-3`.
//!
//! Source: the Security Tracker's documentation, <https://security-team.debian.org/security_tracker.html>.

use limpid_model::{Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::Rules;

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
}
