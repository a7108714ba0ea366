//! Answers about all images at once: the models that formats are pure functions of.

use crate::{Digest, Exploited, Package, Rated, Verdict};

/// What every answer about the fleet rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Basis {
    /// The revision of the advisories.
    pub revision: u64,
    /// The moment that it speaks of (RFC 3339), if that is not the present; empty for the present.
    pub as_of: String,
    /// Images that were asked about and of which a feed speaks, so that there is an answer.
    pub answerable: u64,
    /// Images that were asked about and for which there is none.
    pub unanswerable: u64,
}

/// An image in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetImage {
    /// Its manifest's digest.
    pub digest: Digest,
    /// References that it was seen under, sorted.
    pub references: Vec<String>,
    /// The release that its packages are judged by (`debian:12`), empty for unknown.
    pub release: String,
}

/// A layer and the command that made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetLayer {
    /// The blob.
    pub digest: Digest,
    /// The command, empty if the history does not say.
    pub command: String,
}

/// Who is affected by a vulnerability: all but the images themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedFleet {
    /// The id that was asked for.
    pub id: String,
    /// Whether a feed in the store knows it.
    pub is_known: bool,
    /// What it rests on.
    pub basis: Basis,
    /// How many of the answerable images have it.
    pub affected: u64,
    /// The package versions that make them so, the most widespread first.
    pub packages: Vec<AffectedVersion>,
    /// How many more there are.
    pub packages_left_out: u64,
}

/// A package version that is affected, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedVersion {
    /// The package version.
    pub package: Package,
    /// The release that it is judged by.
    pub release: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The severity that counts.
    pub rated: Rated,
    /// How many of the affected images have it.
    pub images: u64,
}

/// An image that is affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedImage {
    /// The image.
    pub image: FleetImage,
    /// The packages that make it so, sorted.
    pub packages: Vec<AffectedPackage>,
}

/// A package that makes an image affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AffectedPackage {
    /// The package version.
    pub package: Package,
    /// The verdict.
    pub verdict: Verdict,
    /// The severity that counts.
    pub rated: Rated,
    /// The layer that brought it.
    pub layer: FleetLayer,
}

/// Which images have a package: all but the images themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// The name that was asked for.
    pub name: String,
    /// The range of versions, as it was asked for; empty for any.
    pub range: String,
    /// What it rests on.
    pub basis: Basis,
    /// How many images have it.
    pub images: u64,
    /// The versions that they have, the most widespread first.
    pub versions: Vec<HeldVersion>,
    /// How many more versions there are.
    pub versions_left_out: u64,
    /// Package versions of that name that cannot be compared with the range: their ecosystem has no order here.
    pub incomparable: u64,
}

/// A package version, and how many images have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldVersion {
    /// The package version.
    pub package: Package,
    /// How many images.
    pub images: u64,
}

/// An image that has a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The image.
    pub image: FleetImage,
    /// What of it is in the range, with the layer that brought it, sorted.
    pub packages: Vec<(Package, FleetLayer)>,
}

/// What layers are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerRank {
    /// Vulnerabilities of packages that they introduced, in all images together.
    Vulnerabilities,
    /// Packages that they brought, in all images together.
    Packages,
}

/// The layers that introduce most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetLayers {
    /// What it rests on.
    pub basis: Basis,
    /// What they are ranked by.
    pub rank: LayerRank,
    /// The layers, first those that introduce most.
    pub layers: Vec<LayerShare>,
    /// How many layers were looked at: those that the most images share.
    pub examined: u64,
    /// How many were not.
    pub not_examined: u64,
}

/// What one layer did to how many images. Layers that did the same to the same packages count as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShare {
    /// The layer, as the first of the images has it.
    pub layer: FleetLayer,
    /// That image.
    pub example: FleetImage,
    /// Images that have it.
    pub images: u64,
    /// Packages that it installed or changed to another version.
    pub packages: u64,
    /// (package, vulnerability) pairs that it introduced.
    pub introduced: u64,
    /// (package, vulnerability) pairs that it ended.
    pub fixed: u64,
}

/// The most widespread vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widespread {
    /// What it rests on.
    pub basis: Basis,
    /// The vulnerabilities, the most widespread first.
    pub vulnerabilities: Vec<VulnerabilityShare>,
}

/// A vulnerability, and how many images have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VulnerabilityShare {
    /// Its id.
    pub id: String,
    /// How many images have it.
    pub images: u64,
    /// How many of them have it in a package for which there is a fix.
    pub fixable: u64,
    /// The worst severity that counts for any of the packages.
    pub rated: Rated,
    /// That it is known to be exploited.
    pub exploited: Option<Exploited>,
    /// How likely it is to be exploited, in hundred-thousandths.
    pub epss_e5: Option<u32>,
    /// Names of the packages that have it, by their source, sorted.
    pub packages: Vec<String>,
    /// How many more names there are.
    pub packages_left_out: u64,
}

/// The fleet in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetStatus {
    /// What it rests on.
    pub basis: Basis,
    /// Images by release; empty for unknown.
    pub releases: Vec<ReleaseShare>,
    /// Answerable images by the worst severity that was found, lowest severity first.
    pub by_worst_severity: [u64; 7],
    /// Answerable images in which nothing was found.
    pub without_findings: u64,
    /// Images with a vulnerability that is known to be exploited.
    pub exploited: u64,
    /// Images with a vulnerability for which there is a fix.
    pub fixable: u64,
    /// Vulnerabilities that some image has.
    pub vulnerabilities: u64,
}

/// How many images have a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseShare {
    /// The release, empty for unknown.
    pub release: String,
    /// How many images.
    pub images: u64,
    /// Whether a feed in the store speaks for it.
    pub is_answerable: bool,
}

/// The difference between two images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageDifference {
    /// Packages that only the second has.
    pub added: Vec<Package>,
    /// Packages that only the first has.
    pub removed: Vec<Package>,
    /// Packages that both have in other versions: what the first has, what the second has.
    pub changed: Vec<VersionChange>,
    /// What only the second is affected by.
    pub introduced: Vec<Exposure>,
    /// What only the first is affected by.
    pub fixed: Vec<Exposure>,
    /// What both are affected by.
    pub remaining: Vec<Exposure>,
}

/// A package whose version is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionChange {
    /// What the first has.
    pub from: Package,
    /// What the second has.
    pub to: Package,
    /// Whether the second's is older, by the ecosystem's order.
    pub is_downgrade: bool,
}

/// A vulnerability of a package by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The package version.
    pub package: Package,
    /// The verdict on it.
    pub verdict: Verdict,
    /// The severity that counts.
    pub rated: Rated,
}

/// Two images, and what is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The revision of the advisories.
    pub revision: u64,
    /// The moment, if it is not the present; empty for the present.
    pub as_of: String,
    /// The first image.
    pub before: FleetImage,
    /// The second.
    pub after: FleetImage,
    /// Whether findings say anything about both.
    pub is_answerable: bool,
    /// The difference.
    pub difference: ImageDifference,
}

/// How the base of an image was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseEvidence {
    /// All layers of the base are the first layers of the image.
    Layers,
    /// The image stands on no other that is known: it is looked at as a base itself.
    Itself,
}

/// What moving to a newer known build of the same base would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebase {
    /// The revision of the advisories.
    pub revision: u64,
    /// The moment, if it is not the present; empty for the present.
    pub as_of: String,
    /// The image.
    pub image: FleetImage,
    /// Its base.
    pub base: FleetImage,
    /// How many of the image's layers are the base's.
    pub base_layers: u64,
    /// How the base was told.
    pub evidence: BaseEvidence,
    /// Whether there may be a better base that was not looked at, because too many images end in the same packages.
    pub is_bounded: bool,
    /// The newer build, and how it was told; `None` if none is known.
    pub newer: Option<NewerBuild>,
}

/// A newer build of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerBuild {
    /// The build.
    pub image: FleetImage,
    /// The reference that names it now and named the base before; empty if only the repository is the same.
    pub reference: String,
    /// The repository of both.
    pub repository: String,
    /// Whether findings say anything about both.
    pub is_answerable: bool,
    /// The image as it is against the image on the newer build.
    pub difference: ImageDifference,
}
