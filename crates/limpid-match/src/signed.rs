//! Signed kernels. Debian and Ubuntu build a kernel from one source, sign it, and package it from another, which holds
//! the signatures alone: `linux-signed-amd64` of `linux`, `linux-signed-6.12-amd64` of `linux-6.12`, Ubuntu's
//! `linux-signed-hwe` of `linux-hwe`. Advisories name the source with the code.
//!
//! The signed package has the version of that code. Its own source has not: Debian's holds the version with `+` where
//! its revision begins, to be a native one, so `linux-image-6.1.0-18-amd64` is `6.1.76-1` from `linux-signed-amd64`
//! `6.1.76+1`, `Built-Using: linux (= 6.1.76-1)`.
//!
//! The same sources build metapackages (`linux-image-amd64`, `linux-image-6.12-amd64`, `linux-headers-amd64`). They hold
//! no code but a dependency, and the kernel that they bring is a package with findings of its own: nothing is said of
//! them. A kernel has its release in its name, beyond the series that a source may have in its own.
//!
//! Source: the kernel team's `debian/signing_templates`, <https://salsa.debian.org/kernel-team/linux>, and the packages'
//! control fields.

use limpid_model::Package;

/// What stands in a signed source's name after `linux`.
const SIGNED: &str = "linux-signed";

/// What the code's source is called, of Debian's source of signatures with this name.
pub(crate) fn debian(source: &str) -> Option<String> {
    // The last word is the architecture.
    let (series, _) = source.strip_prefix(SIGNED)?.rsplit_once('-')?;
    (series.is_empty() || series.starts_with('-')).then(|| format!("linux{series}"))
}

/// What the code's source is called, of Ubuntu's source of signatures with this name.
pub(crate) fn ubuntu(source: &str) -> Option<String> {
    let variant = source.strip_prefix(SIGNED)?;
    (variant.is_empty() || variant.starts_with('-')).then(|| format!("linux{variant}"))
}

/// The package as one of the source `code`, or `None` for a metapackage.
pub(crate) fn as_code(package: &Package, code: String) -> Option<Package> {
    let series = code.strip_prefix("linux-").unwrap_or_default();
    let is_release = |word: &str| {
        word != series && word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())
    };
    let is_kernel = package.name.split('-').any(is_release);
    is_kernel.then(|| Package {
        source_name: code,
        source_version: package.version.clone(),
        ..package.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Products, Rules, Statement, Subject, debian::Debian, ubuntu::Ubuntu, verdicts_of};
    use limpid_model::{Affected, AffectedState, Context, PackageFact, PackageType, Severity, VerdictState};

    fn package(name: &str, version: &str, source: (&str, &str)) -> Package {
        Package {
            kind: PackageType::Deb,
            name: name.to_owned(),
            version: version.to_owned(),
            source_name: source.0.to_owned(),
            source_version: source.1.to_owned(),
            arch: "amd64".to_owned(),
            facts: Vec::new(),
        }
    }

    /// Packages as Debian 12's and Ubuntu 22.04's lists have them, and the source that `Built-Using` names.
    #[test]
    fn signed_kernels_are_of_the_source_that_they_are_built_using() {
        for (rules, name, version, source, built_using) in [
            (
                &Debian as &dyn Rules,
                "linux-image-6.1.0-56-cloud-amd64",
                "6.1.192-2",
                ("linux-signed-amd64", "6.1.192+2"),
                Some(("linux", "6.1.192-2")),
            ),
            (
                &Debian,
                "linux-image-6.12.115+deb12-rt-amd64",
                "6.12.115-2~deb12u1",
                ("linux-signed-6.12-amd64", "6.12.115+2~deb12u1"),
                Some(("linux-6.12", "6.12.115-2~deb12u1")),
            ),
            (
                &Debian,
                "linux-image-6.1.0-18-686-pae",
                "6.1.76-1",
                ("linux-signed-i386", "6.1.76+1"),
                Some(("linux", "6.1.76-1")),
            ),
            (&Debian, "linux-image-amd64", "6.1.192-2", ("linux-signed-amd64", "6.1.192+2"), None),
            (&Debian, "linux-headers-rt-amd64", "6.1.192-2", ("linux-signed-amd64", "6.1.192+2"), None),
            (&Debian, "linux-image-686-pae", "6.1.76-1", ("linux-signed-i386", "6.1.76+1"), None),
            (
                &Debian,
                "linux-image-6.12-cloud-amd64",
                "6.12.117-1~deb12u1",
                ("linux-signed-6.12-amd64", "6.12.117+1~deb12u1"),
                None,
            ),
            // A source with the code, and others that are signed.
            (&Debian, "linux-image-6.1.0-18-amd64-unsigned", "6.1.76-1", ("linux", "6.1.76-1"), None),
            (&Debian, "grub-efi-amd64-signed", "1+2.06", ("grub-efi-amd64-signed", "1+2.06"), None),
            (
                &Ubuntu,
                "linux-image-5.15.0-25-generic",
                "5.15.0-25.25",
                ("linux-signed", "5.15.0-25.25"),
                Some(("linux", "5.15.0-25.25")),
            ),
            (
                &Ubuntu,
                "linux-image-6.8.0-40-generic",
                "6.8.0-40.40~22.04.3",
                ("linux-signed-hwe-6.8", "6.8.0-40.40~22.04.3"),
                Some(("linux-hwe-6.8", "6.8.0-40.40~22.04.3")),
            ),
            (&Ubuntu, "linux-image-generic", "5.15.0.25.27", ("linux-meta", "5.15.0.25.27"), None),
        ] {
            let signed = rules.signed(&package(name, version, source));
            let said = signed.as_ref().map(|code| (code.source_name.as_str(), code.source_version.as_str()));
            assert_eq!(said, built_using, "{name}");
        }
        assert_eq!(Debian.signed_source("linux-signed"), None);
        assert_eq!(Debian.signed_source("linux-signedness-amd64"), None);
    }

    fn states(package: &Package, fixes: &[(&str, &str)]) -> Vec<(VerdictState, String)> {
        let affected: Vec<Affected> = fixes
            .iter()
            .map(|(source, fixed)| Affected {
                package: (*source).to_owned(),
                state: AffectedState::Fixed,
                fixed: (*fixed).to_owned(),
                ..Affected::default()
            })
            .collect();
        let statements: Vec<Statement<'_>> = affected
            .iter()
            .map(|affected| Statement {
                feed: "debian-tracker",
                advisory: "CVE-1",
                vulnerability: "CVE-1",
                severity: (Severity::Unknown, ""),
                affected,
            })
            .collect();
        let (context, products) = (Context::default(), Products::default());
        let subject = Subject { package, context: &context, products: &products };
        let explanations = verdicts_of(&Debian, &subject, &statements).into_iter();
        explanations.map(|e| (e.verdict.state, e.comparison)).collect()
    }

    #[test]
    fn each_name_is_compared_with_its_own_version() {
        let kernel = package("linux-image-6.1.0-18-amd64", "6.1.76-1", ("linux-signed-amd64", "6.1.76+1"));
        let fixable = |text: &str| vec![(VerdictState::Fixable, text.to_owned())];
        let fixed = |text: &str| vec![(VerdictState::FixedAlready, text.to_owned())];
        // By the signed source's own version all three would come out fixed: + sorts after -.
        assert_eq!(states(&kernel, &[("linux", "6.1.82-1")]), fixable("6.1.76-1 < 6.1.82-1, which fixes it"));
        assert_eq!(states(&kernel, &[("linux", "6.1.76-2")]), fixable("6.1.76-1 < 6.1.76-2, which fixes it"));
        assert_eq!(states(&kernel, &[("linux", "6.1.76-1")]), fixed("6.1.76-1 = 6.1.76-1, which fixes it"));
        let own = [("linux-signed-amd64", "6.1.76+2"), ("linux-6.12", "6.12.1-1")];
        assert_eq!(states(&kernel, &own), fixable("6.1.76+1 < 6.1.76+2, which fixes it"));
        let meta = package("linux-image-amd64", "6.1.76-1", ("linux-signed-amd64", "6.1.76+1"));
        assert_eq!(states(&meta, &[("linux", "6.1.82-1")]), []);
        let facts = vec![(PackageFact::Vendor, "Elsewhere".to_owned())];
        assert_eq!(states(&Package { facts, ..kernel }, &[("linux", "6.1.82-1")]), []);
    }
}
