//! The report of one image: the one model that every output format is a pure function of.

use serde::{Deserialize, Serialize};

use crate::{
    Context, Cvss, Digest, Distribution, Exploited, ExtractorVersion, ImageMetadata, Package, PackageClass,
    Problem, Rated, Severity, Verdict,
};

/// Everything that is known of one image at one revision of the feeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the user asked for.
    pub reference: String,
    /// The image.
    pub image: ImageMetadata,
    /// Its layers, base first, in the order of `image.layers`.
    pub layers: Vec<LayerChange>,
    /// The packages of the image as it stands, sorted.
    pub packages: Vec<InstalledPackage>,
    /// What is vulnerable or undetermined, sorted by severity (worst first), package, vulnerability.
    pub findings: Vec<Finding>,
    /// What is not among `findings` though it was found, by the class of its packages.
    pub hidden: Vec<Hidden>,
    /// What is known of the vulnerabilities that `findings` names, sorted by id.
    pub vulnerabilities: Vec<Vulnerability>,
    /// The revision of the advisories that it is based on.
    pub revision: u64,
    /// The moment that it speaks of (RFC 3339), if that is not the present; empty for the present.
    pub as_of: String,
    /// The moment that documents are dated with (RFC 3339): `as_of`, else when the report was made.
    pub moment: String,
    /// What the answer rests on and where it has holes.
    pub coverage: Coverage,
}

/// What one layer did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerChange {
    /// Packages that were not there before.
    pub installed: u64,
    /// Packages whose version changed, either way.
    pub upgraded: u64,
    /// Packages that are gone.
    pub removed: u64,
    /// (package, vulnerability) pairs that were not there before.
    pub introduced: u64,
    /// (package, vulnerability) pairs that are gone.
    pub fixed: u64,
}

/// A package in the image, with the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// The package version.
    pub package: Package,
    /// What kind of thing it is.
    pub class: PackageClass,
    /// Its context.
    pub context: Context,
    /// Index into `Report::image.layers`: the layer that brought this version.
    pub layer: usize,
    /// The package database file that lists it.
    pub path: String,
}

/// What was found in packages of a class and left out of the findings, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// The class.
    pub class: PackageClass,
    /// How many packages it concerns.
    pub packages: u64,
    /// How many (package, vulnerability) pairs count as vulnerable.
    pub vulnerabilities: u64,
    /// How many are not determined.
    pub undetermined: u64,
}

/// One vulnerability of one package of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Index into `Report::packages`.
    pub package: usize,
    /// Index into `Report::vulnerabilities`.
    pub vulnerability: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The severity that counts, and who says so.
    pub rated: Rated,
}

/// What all feeds together say of a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vulnerability {
    /// Its id: a CVE's where there is one.
    pub id: String,
    /// Other ids of it, sorted.
    pub aliases: Vec<String>,
    /// The first description that is not empty, in the order of feeds.
    pub description: String,
    /// Where to read more, sorted.
    pub links: Vec<String>,
    /// The earliest date that a source gives (RFC 3339), empty for none.
    pub published: String,
    /// The latest date of a change that a source gives (RFC 3339), empty for none.
    pub modified: String,
    /// Kinds of weakness (`CWE-787`), sorted.
    pub weaknesses: Vec<String>,
    /// Every CVSS vector, with who gave it.
    pub cvss: Vec<Cvss>,
    /// Every severity that a source gives, in the order in which they count where the package's own source says
    /// nothing.
    pub ratings: Vec<Rated>,
    /// That it is known to be exploited.
    pub exploited: Option<Exploited>,
    /// How likely it is to be exploited.
    pub epss: Option<Epss>,
}

/// FIRST's estimate that a vulnerability will be exploited within 30 days, in units of 0.00001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Epss {
    /// The probability.
    pub score: u32,
    /// The share of all vulnerabilities that score no higher.
    pub percentile: u32,
}

/// What a report rests on. A report whose coverage has holes is never called clean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The distribution, if one was recognised.
    pub distribution: Option<Distribution>,
    /// Whether its publisher still fixes vulnerabilities in it.
    pub support: Support,
    /// Whether the findings say anything at all about the operating system's packages.
    pub standing: Standing,
    /// The feeds that answered.
    pub feeds: Vec<FeedUse>,
    /// The extractors that ran.
    pub extractors: Vec<ExtractorVersion>,
    /// Packages that no feed speaks for, with the reason, counted.
    pub unmatched: Vec<Unmatched>,
    /// Everything that could not be read.
    pub problems: Vec<LayerProblem>,
}

/// Why some packages have no verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unmatched {
    /// One sentence.
    pub reason: String,
    /// How many packages it concerns.
    pub packages: u64,
}

/// A problem, and the layer that it was met in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerProblem {
    /// Index into `Report::image.layers`; `None` if it concerns the image as a whole.
    pub layer: Option<usize>,
    /// What it is.
    pub problem: Problem,
}

/// Whether a distribution's publisher still supports the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Support {
    /// Regular support until the date (`YYYY-MM-DD`, inclusive), or without a known end.
    Supported {
        /// Last day of support, if it is known.
        until: Option<String>,
    },
    /// Only an extended programme speaks for it.
    Extended {
        /// The programme (`Debian LTS`, `Ubuntu Pro`).
        programme: String,
        /// Last day, if it is known.
        until: Option<String>,
    },
    /// Support ended on the date.
    EndOfLife {
        /// The last day.
        since: String,
    },
    /// Limpid has no dates for it.
    Unknown,
}

/// How far a report can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Every package that was found is spoken for by a feed with data, and everything was read.
    Complete,
    /// There is an answer, and holes in it that coverage names.
    Partial,
    /// No statement is possible: nothing was recognised, or no feed speaks for what was.
    None,
}

impl Standing {
    /// The word in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// A feed that was used, and how fresh it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeedUse {
    /// The feed's name.
    pub name: String,
    /// Its revision in the store.
    pub revision: u64,
    /// When the source made the data, as it says (RFC 3339), else when it was fetched.
    pub date: String,
    /// Why the newest attempt to update it failed, empty if it did not.
    pub error: String,
}

impl Report {
    /// How many findings count as vulnerable, by severity, lowest severity first.
    pub fn count_by_severity(&self) -> [u64; 7] {
        let mut counts = [0; 7];
        for finding in self.findings.iter().filter(|finding| finding.verdict.state.is_affected()) {
            counts[finding.rated.severity as usize] += 1;
        }
        counts
    }

    /// The worst severity among what counts as vulnerable.
    pub fn worst_severity(&self) -> Option<Severity> {
        let affected = self.findings.iter().filter(|finding| finding.verdict.state.is_affected());
        affected.map(|finding| finding.rated.severity).max()
    }

    /// The digest of the layer at `index`, if there is one.
    pub fn layer_digest(&self, index: usize) -> Option<Digest> {
        self.image.layers.get(index).map(|layer| layer.digest)
    }
}
