//! What errata of rpm distributions have in common, and how one becomes advisories.
//!
//! An erratum names packages with the versions that fix, and the vulnerabilities that they fix. Each of those
//! becomes an advisory under its CVE id, with the erratum as the notice of what it says: so that what two
//! distributions, or two errata, say of one vulnerability meets under one id. An erratum that names none becomes
//! an advisory under its own id. Its id is no alias of a CVE, since it would join all that it fixes.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Cvss, PackageKind, Severity};

use crate::error::FeedError;
use crate::feed::Emitter;

/// An erratum, whatever its format was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Erratum {
    pub(crate) id: String,
    /// The vulnerabilities that it fixes, each with a CVSS vector if the erratum gives one.
    pub(crate) cves: BTreeMap<String, String>,
    /// The source's word.
    pub(crate) severity: String,
    pub(crate) description: String,
    pub(crate) links: Vec<String>,
    pub(crate) published: String,
    pub(crate) modified: String,
    pub(crate) packages: Vec<FixedPackage>,
}

/// A build that fixes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct FixedPackage {
    pub(crate) name: String,
    /// `[epoch:]version-release`.
    pub(crate) version: String,
    /// Empty for all.
    pub(crate) arch: String,
    /// `nodejs:18`, empty for none.
    pub(crate) module: String,
    pub(crate) release: String,
    /// See [`Affected::channel`].
    pub(crate) channel: String,
}

/// `[epoch:]version-release`; an epoch of 0 is left out.
pub(crate) fn evr(epoch: &str, version: &str, release: &str) -> String {
    let epoch = if epoch.is_empty() || epoch == "0" { String::new() } else { format!("{epoch}:") };
    if release.is_empty() { format!("{epoch}{version}") } else { format!("{epoch}{version}-{release}") }
}

/// The words of Red Hat and of those who follow it (Amazon says `medium` and `important`).
pub(crate) fn severity(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "critical" => Some(Severity::Critical),
        "important" | "high" => Some(Severity::High),
        "moderate" | "medium" => Some(Severity::Medium),
        "low" => Some(Severity::Low),
        _ => None,
    }
}

/// Whether it is the id of a vulnerability.
pub(crate) fn is_cve(id: &str) -> bool {
    let Some((year, number)) = id.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    year.len() == 4 && digits(year) && digits(number)
}

/// Every CVE id in a text.
pub(crate) fn cves_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("CVE-") {
        let rest = &text[at..];
        let end = rest.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'-')).unwrap_or(rest.len());
        let id = rest[..end].trim_end_matches('-');
        if is_cve(id) {
            found.insert(id.to_owned());
        }
    }
    found
}

impl Erratum {
    /// Hands over what the erratum says of each vulnerability.
    pub(crate) fn emit(self, emitter: &mut Emitter<'_, '_>) -> Result<(), FeedError> {
        let affected = self.affected();
        if affected.is_empty() {
            emitter.skip("erratum names no package");
            return Ok(());
        }
        let details = AdvisoryDetails {
            description: self.description,
            severity: severity(&self.severity).unwrap_or_default(),
            severity_word: self.severity,
            links: self.links,
            published: self.published,
            modified: self.modified,
            ..AdvisoryDetails::default()
        };
        if self.cves.is_empty() {
            return emitter.emit(Advisory { id: self.id, details, affected });
        }
        for (id, vector) in self.cves {
            let cvss = if vector.is_empty() { Vec::new() } else { vec![Cvss::own(&vector)] };
            let details = AdvisoryDetails { cvss, ..details.clone() };
            emitter.emit(Advisory { id, details, affected: affected.clone() })?;
        }
        Ok(())
    }

    /// A row for each package and version, over its architectures.
    fn affected(&self) -> Vec<Affected> {
        let mut rows: BTreeMap<FixedPackage, BTreeSet<&str>> = BTreeMap::new();
        for package in &self.packages {
            let row = FixedPackage { arch: String::new(), ..package.clone() };
            let arches = rows.entry(row).or_default();
            if !package.arch.is_empty() {
                arches.insert(&package.arch);
            }
        }
        let rows = rows.into_iter().map(|(package, arches)| Affected {
            package: package.name,
            package_kind: PackageKind::Binary,
            release: package.release,
            channel: package.channel,
            state: AffectedState::Fixed,
            fixed: package.version,
            arches: arches.into_iter().map(str::to_owned).collect(),
            module: package.module,
            notice: self.id.clone(),
            state_word: "fixed".to_owned(),
            severity: severity(&self.severity),
            severity_word: self.severity.clone(),
            ..Affected::default()
        });
        rows.collect()
    }
}
