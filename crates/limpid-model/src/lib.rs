//! Limpid's domain types and their serialisation.
//!
//! No I/O, no async, no SQL, no clock: every crate of the house may use it. The words are those of OCI for
//! images, of purl for packages, of OSV and CVE for vulnerabilities.
#![forbid(unsafe_code)]

mod advisory;
mod diff;
mod digest;
mod distribution;
mod findings;
mod fleet;
mod image;
mod package;
mod rating;
mod report;
mod severity;
mod verdict;

pub use advisory::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Cvss, Exploited, PackageKind, vulnerability_id,
};
pub use diff::{PackageDiff, PlacedOccurrence};
pub use digest::{Digest, DigestError, Hasher};
pub use distribution::{Context, Distribution, Occurrence, Owner};
pub use findings::{
    ExtractorVersion, FileOwner, FileRecord, LayerFindings, Problem, Record, TreeEntry, TreeEntryKind,
};
pub use fleet::{
    AffectedFleet, AffectedImage, AffectedPackage, AffectedVersion, BaseEvidence, Basis, Comparison,
    Exposure, FleetImage, FleetLayer, FleetLayers, FleetStatus, HeldVersion, Holder, Holders,
    ImageDifference, LayerRank, LayerShare, NewerBuild, Rebase, ReleaseShare, VersionChange,
    VulnerabilityShare, Widespread,
};
pub use image::{ImageMetadata, LayerMetadata, Platform, PlatformError};
pub use package::{Package, PackageClass, PackageFact, PackageType, UnknownPackageType};
pub use rating::{BaseScore, Rated};
pub use report::{
    Coverage, Epss, FeedUse, Finding, Hidden, InstalledPackage, LayerChange, LayerProblem, Report, Standing,
    Support, Unmatched, Vulnerability,
};
pub use severity::{Severity, UnknownSeverity};
pub use verdict::{Explanation, Verdict, VerdictState};
