//! Oracle Linux, by its OVAL definitions: binary packages with the builds that fix, by architecture of the machine.
//!
//! Three kinds of build share names and do not order with each other: ordinary ones, those for live patching
//! (`2.28-225.0.4.ksplice1.el8`) and those of validated cryptography (`1.1.1k-12.el8_9_fips`). Each is compared with fixes
//! of its own kind alone. What is not fixed is not in the definitions.
//!
//! Source: <https://linux.oracle.com/security/>.

use limpid_model::{Explanation, Package, PackageKind, PackageType};
use limpid_version::Scheme;

use crate::{Rules, Statement, rpm};

pub(crate) struct Oracle;

impl Rules for Oracle {
    fn distribution(&self) -> &'static str {
        "ol"
    }

    fn package_type(&self) -> PackageType {
        PackageType::Rpm
    }

    fn scheme(&self) -> Scheme {
        Scheme::Rpm
    }

    fn feeds(&self) -> &'static [&'static str] {
        &["oracle-oval"]
    }

    fn names<'a>(&self, package: &'a Package) -> Vec<(PackageKind, &'a str)> {
        rpm::names(package)
    }

    fn judge(&self, package: &Package, statement: &Statement<'_>) -> Option<Explanation> {
        let build = Build::of(&package.version);
        let fixed = &statement.affected.fixed;
        if !fixed.is_empty() && Build::of(fixed) != build {
            return None;
        }
        let note = match build {
            Build::Ordinary => "",
            Build::Ksplice => "builds for Ksplice with each other",
            Build::Fips => "FIPS builds with each other",
        };
        rpm::judge(self.distribution(), package, statement, note)
    }

    fn blind_spot(&self, _: &str) -> Option<&'static str> {
        Some(rpm::ERRATA_ONLY)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    Ordinary,
    Ksplice,
    Fips,
}

impl Build {
    fn of(version: &str) -> Self {
        if version.contains(".ksplice") {
            Self::Ksplice
        } else if version.contains("_fips") || version.contains(".fips") {
            Self::Fips
        } else {
            Self::Ordinary
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpm::tests::{fixed, package, statement};
    use limpid_model::VerdictState;

    #[test]
    fn builds_of_different_kinds_are_never_compared() {
        let state = |installed: &str, fix: &str| {
            let package = package("glibc", installed, "x86_64", &[]);
            Oracle.judge(&package, &statement(&fixed("glibc", fix))).map(|e| e.verdict.state)
        };
        let (old, new) = ("2.28-224.0.1.el8", "2.28-225.0.4.el8_8.6");
        let (old_ksplice, new_ksplice) = ("2:2.28-225.0.4.ksplice1.el8", "2:2.28-225.0.4.ksplice2.el8_8.6");
        assert_eq!(state(old, new), Some(VerdictState::Fixable));
        assert_eq!(state(old, new_ksplice), None);
        assert_eq!(state(old_ksplice, new_ksplice), Some(VerdictState::Fixable));
        assert_eq!(state(new_ksplice, old_ksplice), Some(VerdictState::FixedAlready));
        assert_eq!(state(old_ksplice, new), None);
        assert_eq!(state("10:1.1.1k-9.el8_fips", "1:1.1.1k-12.el8_9"), None);
        assert_eq!(state("10:1.1.1k-9.el8_7_fips", "10:1.1.1k-12.el8_9_fips"), Some(VerdictState::Fixable));
    }
}
