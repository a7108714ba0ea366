//! What keeps a store sound and small: what it holds, whether that fits together, forgetting, freeing, copies.

use std::path::Path;

use crate::Result;
use crate::store::ImageId;

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStatus {
    /// Images.
    pub images: u64,
    /// References that name images.
    pub references: u64,
    /// Layers whose findings are kept.
    pub layers: u64,
    /// Package set nodes.
    pub nodes: u64,
    /// Chains of layers that lead to nodes.
    pub chains: u64,
    /// Package versions.
    pub packages: u64,
    /// Contexts of packages.
    pub contexts: u64,
    /// Occurrences: package version, context and owner.
    pub occurrences: u64,
    /// Packages in a context whose verdicts are kept.
    pub verdicts: u64,
    /// Strings that rows share.
    pub texts: u64,
    /// Feed documents.
    pub documents: u64,
    /// Advisories that are current.
    pub advisories: u64,
    /// Affected ranges that are current.
    pub ranges: u64,
    /// Affected ranges of earlier revisions.
    pub earlier_ranges: u64,
    /// Revisions.
    pub revisions: u64,
    /// Bytes of the store's file.
    pub file_bytes: u64,
    /// Bytes in it that are free for new rows.
    pub free_bytes: u64,
    /// Bytes of the log beside it.
    pub log_bytes: u64,
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The table whose rows break it.
    pub table: &'static str,
    /// What is wrong with them.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// The first of them, as a person finds it again.
    pub example: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// What the store holds.
    pub status: StoreStatus,
    /// How many invariants were checked.
    pub invariants: u64,
    /// Those that do not hold.
    pub broken: Vec<Broken>,
}

impl CheckReport {
    /// Whether everything holds.
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty()
    }
}

/// What a collection freed, in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Layers.
    pub layers: u64,
    /// Package set nodes.
    pub nodes: u64,
    /// Chains of layers.
    pub chains: u64,
    /// Occurrences.
    pub occurrences: u64,
    /// Package versions.
    pub packages: u64,
    /// Contexts.
    pub contexts: u64,
    /// Packages in a context whose verdicts were kept.
    pub verdicts: u64,
    /// Strings.
    pub texts: u64,
    /// Events that were too old.
    pub events: u64,
    /// Layers and nodes that nothing uses, but not for long enough.
    pub waiting: u64,
}

/// Frees what nothing uses, in steps. Ending between two steps, whatever the reason, does no harm.
pub trait Collection {
    /// Does a bounded part of the work in at most one transaction. Whether there is more to do.
    fn step(&mut self) -> Result<bool>;
    /// What was freed so far.
    fn freed(&self) -> Freed;
}

/// Keeping a store sound and small.
pub trait Upkeep {
    /// How much the store holds.
    fn status(&self) -> Result<StoreStatus>;
    /// Verifies that everything in the store fits together. `now` is in seconds since the epoch.
    fn check(&self, now: i64) -> Result<CheckReport>;
    /// Forgets an image with its references; whether it was there. What only it used waits for a collection.
    fn forget(&self, image: ImageId, now: i64) -> Result<bool>;
    /// The images that nobody asked for since a time, sorted.
    fn images_unseen_since(&self, time: i64) -> Result<Vec<ImageId>>;
    /// Begins to free what nothing uses since `unused_since` or longer.
    fn begin_collection<'a>(&'a self, unused_since: i64, now: i64) -> Result<Box<dyn Collection + 'a>>;
    /// Writes all that the store holds at one moment to a new file.
    fn backup(&self, path: &Path) -> Result<()>;
}
