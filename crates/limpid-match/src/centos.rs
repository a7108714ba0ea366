//! CentOS Linux and CentOS Stream, by Red Hat's VEX. They are built from Red Hat's sources and have no advisories of
//! their own: an approximation, which every explanation says. CentOS Stream runs ahead of Red Hat's release, so a
//! build of it may have a fix under another version.

use limpid_model::{Explanation, Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Products, Rules, Statement, Subject, redhat, rpm};

pub(crate) struct CentOs;

impl Rules for CentOs {
    fn distribution(&self) -> &'static str {
        "centos"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        redhat::FEEDS
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        rpm::names(package)
    }

    fn releases(&self, release: &str) -> Vec<String> {
        let mut releases = redhat::releases(release.strip_prefix("centos:").unwrap_or_default());
        // A user's own advisories may name it.
        releases.push(release.to_owned());
        releases
    }

    fn blind_spot(&self, _: &str) -> Option<&'static str> {
        Some(
            "they are judged by Red Hat's data, which is an approximation: CentOS has no advisories of its own",
        )
    }

    fn judge_all(&self, subject: &Subject<'_>, statements: &[Statement<'_>]) -> Vec<Explanation> {
        let major = subject.context.release.strip_prefix("centos:").unwrap_or_default();
        let basis = |_: &str| "by Red Hat's data, an approximation".to_owned();
        redhat::judge_all("centos", major, subject.package, &Products::default(), &basis, statements)
    }
}
