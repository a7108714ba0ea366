//! AlmaLinux, by its errata: binary packages with the builds that fix, with their module where they have one. What
//! is not fixed is not in them.
//!
//! Source: <https://errata.almalinux.org/>.

use limpid_model::{Explanation, Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Rules, Statement, rpm};

pub(crate) struct AlmaLinux;

impl Rules for AlmaLinux {
    fn distribution(&self) -> &'static str {
        "almalinux"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["almalinux-errata"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        rpm::names(package)
    }

    fn judge(&self, package: &Package, statement: &Statement<'_>) -> Option<Explanation> {
        rpm::judge(self.distribution(), package, statement, "")
    }

    fn blind_spot(&self, _: &str) -> Option<&'static str> {
        Some(rpm::ERRATA_ONLY)
    }
}
