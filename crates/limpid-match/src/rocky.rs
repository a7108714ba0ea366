//! Rocky Linux, by the errata in its repositories: binary packages with the builds that fix. Modular builds are
//! listed without their module's stream, so that a modular package is compared with fixes of its major version. What
//! is not fixed is not in them.
//!
//! Source: <https://wiki.rockylinux.org/rocky/repo/>.

use limpid_model::{Explanation, Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Rules, Statement, rpm};

pub(crate) struct Rocky;

impl Rules for Rocky {
    fn distribution(&self) -> &'static str {
        "rocky"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["rocky-updateinfo"]
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
