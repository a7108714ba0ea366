//! Alpine. The secdb speaks of *origin* packages and lists only what was fixed: a vulnerability that is open
//! is not in it. A fix in version `0` says that the package never was affected.
//!
//! Source: <https://secdb.alpinelinux.org/>.

use limpid_model::{Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::Rules;

pub(crate) struct Alpine;

impl Rules for Alpine {
    fn distribution(&self) -> &'static str {
        "alpine"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Apk
    }

    fn scheme(&self) -> Scheme {
        Scheme::Apk
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["alpine-secdb"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        vec![(PackageKind::Source, &package.source_name)]
    }
}
