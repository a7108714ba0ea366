//! Ubuntu. Canonical's data speaks of source packages; fixes of Ubuntu Pro come through channels of their own
//! (`esm-infra`, `esm-apps`), which [`join`](crate::join) keeps apart from the release's own.

use limpid_model::{Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::Rules;

pub(crate) struct Ubuntu;

impl Rules for Ubuntu {
    fn distribution(&self) -> &'static str {
        "ubuntu"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Deb
    }

    fn scheme(&self) -> Scheme {
        Scheme::Dpkg
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["ubuntu"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        vec![(PackageKind::Source, &package.source_name)]
    }
}
