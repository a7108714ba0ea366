//! Advisories: what feeds say, normalised so that nothing a verdict or a reader needs is lost.

use serde::{Deserialize, Serialize};

use crate::Severity;

/// One vulnerability as one feed describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Advisory {
    /// The feed's id for it (`CVE-2015-0235`, `DSA-3142-1`).
    pub id: String,
    /// What holds for every package it names.
    pub details: AdvisoryDetails,
    /// Whom it affects. Order is of no meaning.
    pub affected: Vec<Affected>,
}

impl Advisory {
    /// The id of the vulnerability that it is about; see [`vulnerability_id`].
    pub fn vulnerability(&self) -> &str {
        vulnerability_id(&self.id, &self.details.aliases)
    }
}

/// The id under which what several sources say of one vulnerability comes together: the advisory's own if that
/// is a CVE's, else the first CVE among its aliases, else its own.
pub fn vulnerability_id<'a>(id: &'a str, aliases: &'a [String]) -> &'a str {
    if id.starts_with("CVE-") {
        return id;
    }
    aliases.iter().map(String::as_str).filter(|alias| alias.starts_with("CVE-")).min().unwrap_or(id)
}

/// What an advisory says beside whom it affects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdvisoryDetails {
    /// Other ids of the same vulnerability (CVE, GHSA, the advisory that announced it), sorted.
    pub aliases: Vec<String>,
    /// The source's description, as plain text; may be empty.
    pub description: String,
    /// The severity that the source gives the vulnerability as a whole, normalised.
    pub severity: Severity,
    /// The source's own word for it, empty for none.
    pub severity_word: String,
    /// CVSS vectors, with who gave them, sorted.
    pub cvss: Vec<Cvss>,
    /// Kinds of weakness (`CWE-787`), sorted.
    pub weaknesses: Vec<String>,
    /// That it is known to be exploited, where the source says so.
    pub exploited: Option<Exploited>,
    /// Where to read more.
    pub links: Vec<String>,
    /// RFC 3339, empty for none.
    pub published: String,
    /// RFC 3339, empty for none.
    pub modified: String,
    /// RFC 3339; not empty if the source took the advisory back.
    pub withdrawn: String,
}

impl AdvisoryDetails {
    /// Adds what the same feed says of the same id in another place.
    ///
    /// Lists are united and sorted. Of single values the first that is not empty stays, except that the
    /// severity is the higher one, `published` the earliest, `modified` the latest: so the order of the parts
    /// matters for the description alone. It counts as withdrawn only if both are.
    pub fn merge(&mut self, other: Self) {
        unite(&mut self.aliases, other.aliases);
        unite(&mut self.cvss, other.cvss);
        unite(&mut self.weaknesses, other.weaknesses);
        unite(&mut self.links, other.links);
        if self.description.is_empty() {
            self.description = other.description;
        }
        if self.exploited.is_none() {
            self.exploited = other.exploited;
        }
        if other.severity > self.severity || self.severity_word.is_empty() {
            self.severity = other.severity;
            self.severity_word = other.severity_word;
        }
        if self.published.is_empty() || (!other.published.is_empty() && other.published < self.published) {
            self.published = other.published;
        }
        if other.modified > self.modified {
            self.modified = other.modified;
        }
        if other.withdrawn.is_empty() {
            self.withdrawn.clear();
        }
    }
}

fn unite<T: Ord>(into: &mut Vec<T>, other: Vec<T>) {
    if other.is_empty() {
        return;
    }
    into.extend(other);
    into.sort();
    into.dedup();
}

/// A CVSS vector and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Cvss {
    /// Who (`nvd`, `CISA-ADP`, the CVE numbering authority's short name); empty for the feed itself.
    pub source: String,
    /// The vector, as written (`CVSS:3.1/AV:N/…`; version 2 without a prefix).
    pub vector: String,
}

impl Cvss {
    /// A vector that a feed gives in its own name.
    pub fn own(vector: &str) -> Self {
        Self { source: String::new(), vector: vector.to_owned() }
    }
}

/// What a catalogue of exploited vulnerabilities says of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Exploited {
    /// The day it was added (`YYYY-MM-DD`).
    pub added: String,
    /// The day by which the catalogue wants it fixed (`YYYY-MM-DD`), empty for none.
    pub due: String,
    /// Whether ransomware is known to use it.
    pub by_ransomware: bool,
    /// What the catalogue tells people to do, empty for nothing.
    pub action: String,
}

/// What an advisory says of one package in one release: the unit that is stored, compared and matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Affected {
    /// The package's name in the feed's world.
    pub package: String,
    /// Whether `package` is a source or a binary package.
    pub package_kind: PackageKind,
    /// Release, as [`Context::release`](crate::Context) writes it (`debian:12`, `alpine:3.20`).
    pub release: String,
    /// Support channel that the fix comes through (`esm-infra`, `elts`), empty for the release's own.
    pub channel: String,
    /// What the source says of it.
    pub state: AffectedState,
    /// First version that is affected, in the ecosystem's order; empty for "from the beginning".
    pub introduced: String,
    /// The version that fixes it, for [`AffectedState::Fixed`]; else empty.
    pub fixed: String,
    /// Architectures it is limited to, empty for all.
    pub arches: Vec<String>,
    /// Module stream (`nodejs:18`), empty for none.
    pub module: String,
    /// CPE of the product, empty for none.
    pub cpe: String,
    /// The announcement that brought the fix (`DSA-3142-1`, `USN-2485-1`, `RHSA-2015:0090`), empty for none.
    pub notice: String,
    /// The source's own words for the state (`resolved`, `open; postponed: minor issue`).
    pub state_word: String,
    /// The severity that the source gives it for this package and release, normalised; `None` if it gives none.
    pub severity: Option<Severity>,
    /// The source's own word for that severity, empty for none.
    pub severity_word: String,
}

/// Which name of a package an advisory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum PackageKind {
    /// Source package: every binary package built from it.
    #[default]
    Source,
    /// Binary package.
    Binary,
}

/// What a source says of a package. Stored results hold the position in this list: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum AffectedState {
    /// Versions below `fixed` are affected.
    Fixed,
    /// Affected, and nothing fixes it yet.
    #[default]
    Open,
    /// Affected, and the source will not fix it.
    WillNotFix,
    /// Affected, and the source has put the fix off.
    Deferred,
    /// Affected or not, the package is past its support and nobody looks.
    EndOfLife,
    /// Never affected.
    NotAffected,
    /// The source does not know yet.
    Undetermined,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vulnerability_goes_by_its_cve() {
        let aliases = ["GHSA-jfh8-c2jp-5v3q".to_owned(), "CVE-2021-44228".to_owned()];
        assert_eq!(vulnerability_id("GHSA-jfh8-c2jp-5v3q", &aliases), "CVE-2021-44228");
        assert_eq!(vulnerability_id("CVE-2021-45046", &aliases), "CVE-2021-45046");
        assert_eq!(vulnerability_id("OWN-1", &[]), "OWN-1");
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let part = |alias: &str, date: &str, severity, word: &str| AdvisoryDetails {
            aliases: vec![alias.to_owned()],
            published: date.to_owned(),
            severity,
            severity_word: word.to_owned(),
            ..AdvisoryDetails::default()
        };
        let a = part("DSA-2896-1", "2014-04-07", Severity::Unknown, "");
        let b = part("DSA-2896-2", "2014-04-08", Severity::High, "high");
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(b);
        ba.merge(a);
        assert_eq!(ab, ba);
        assert_eq!(ab.aliases, ["DSA-2896-1", "DSA-2896-2"]);
        assert_eq!((ab.severity_word.as_str(), ab.published.as_str()), ("high", "2014-04-07"));
    }
}
