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
    /// CVSS vectors, as written.
    pub cvss: Vec<String>,
    /// Where to read more.
    pub links: Vec<String>,
    /// RFC 3339, empty for none.
    pub published: String,
    /// RFC 3339, empty for none.
    pub modified: String,
    /// RFC 3339; not empty if the source took the advisory back.
    pub withdrawn: String,
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
