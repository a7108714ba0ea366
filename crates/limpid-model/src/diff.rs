//! The improved diff: what a layer did to the packages of an image, against its parent (the second memo table).

use serde::{Deserialize, Serialize};

use crate::Occurrence;

/// An occurrence and the package database file that says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlacedOccurrence {
    /// The package version in its context.
    pub occurrence: Occurrence,
    /// Path of the database file, links resolved.
    pub path: String,
}

/// What a layer did to the packages. Every list is sorted, so that equal diffs have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageDiff {
    /// Not there before under this name and architecture.
    pub installed: Vec<PlacedOccurrence>,
    /// The same package (kind, name, architecture) with another version, newer or older: what it was and is.
    pub upgraded: Vec<(Occurrence, PlacedOccurrence)>,
    /// Gone.
    pub removed: Vec<Occurrence>,
    /// The same package version, whose context, owner or database changed (a distribution upgraded in place).
    /// It keeps the layer that brought it.
    pub reassigned: Vec<(Occurrence, PlacedOccurrence)>,
}

impl PackageDiff {
    /// Whether the layer did nothing to the packages.
    pub fn is_empty(&self) -> bool {
        self.installed.is_empty()
            && self.upgraded.is_empty()
            && self.removed.is_empty()
            && self.reassigned.is_empty()
    }
}
