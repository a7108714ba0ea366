//! What a store does, in plain domain types.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, Context, Digest, Distribution, ImageMetadata, LayerFindings,
    LayerProblem, Occurrence, PackageDiff, Severity, Verdict,
};

use crate::{Channels, Events, Fleet, Queue, Result, Transfer, Upkeep};

/// A package set node in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i64);

/// An occurrence in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct OccurrenceId(pub i64);

/// An image in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub i64);

/// What is kept of a layer, under its verified digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRecord {
    /// Verified digest of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size_bytes: u64,
    /// Bytes of the archive in it.
    pub uncompressed_bytes: u64,
    /// What it says.
    pub findings: LayerFindings,
    /// Files that were looked for whatever extractors want, because a link of some image leads there:
    /// findings have those that are in the layer.
    pub searched: BTreeSet<SearchedFile>,
}

impl LayerRecord {
    /// Whether the same extractors made it and searched for more.
    pub(crate) fn says_more_than(&self, other: &Self) -> bool {
        self.findings.extractors == other.findings.extractors
            && self.searched != other.searched
            && self.searched.is_superset(&other.searched)
    }
}

/// A file that was looked for in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct SearchedFile {
    /// Its path in the layer; one that ends in `/` stands for everything below.
    pub path: String,
    /// The extractor that reads it.
    pub extractor: String,
}

/// What is kept of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its own description.
    pub metadata: ImageMetadata,
    /// The node after each layer, base first, in the order of `metadata.layers`.
    pub nodes: Vec<NodeId>,
    /// The distribution of the image as it stands.
    pub distribution: Option<Distribution>,
    /// The release that its packages are judged by, as [`Context::release`] has it; empty if that is unknown or
    /// the image has no packages, so that nothing can be said of it.
    pub release: String,
    /// What could not be read, by layer.
    pub problems: Vec<LayerProblem>,
    /// The state of the indexer that made the record: of extractors and composer. Another state's is stale.
    pub indexer_state: String,
}

/// An image that is to be kept, with what may be new of it.
#[derive(Debug, Clone, Copy)]
pub struct NewImage<'a> {
    /// The image. Its nodes are found or made; those that stand here do not count.
    pub record: &'a ImageRecord,
    /// What each of its layers says, in the order of `record.metadata.layers`.
    pub layers: &'a [&'a LayerRecord],
    /// The chain up to each layer, and what the layer did.
    pub steps: &'a [(Digest, PackageDiff)],
    /// The reference it was seen under, empty for none.
    pub reference: &'a str,
}

/// An occurrence in a node's diff, by ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedId {
    /// The occurrence.
    pub occurrence: OccurrenceId,
    /// Path of the database file.
    pub path: String,
}

/// What one layer of an image did, by ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerContents {
    /// See [`PackageDiff::installed`].
    pub installed: Vec<PlacedId>,
    /// See [`PackageDiff::upgraded`].
    pub upgraded: Vec<(OccurrenceId, PlacedId)>,
    /// See [`PackageDiff::removed`].
    pub removed: Vec<OccurrenceId>,
    /// See [`PackageDiff::reassigned`].
    pub reassigned: Vec<(OccurrenceId, PlacedId)>,
}

/// Everything that a report of an image needs beside advisories.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageContents {
    /// The image.
    pub record: ImageRecord,
    /// What each layer did, base first.
    pub layers: Vec<LayerContents>,
    /// Every occurrence that `layers` names.
    pub occurrences: BTreeMap<OccurrenceId, Occurrence>,
}

/// A feed's document: the unit of fetching and of revisions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey {
    /// The feed's name.
    pub feed: String,
    /// The document's name in the feed.
    pub document: String,
}

/// HTTP's validators of a document, for conditional requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`, as sent.
    pub etag: String,
    /// `Last-Modified`, as sent.
    pub last_modified: String,
}

/// What is known of a feed's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// Which one.
    pub key: FeedKey,
    /// Where it came from.
    pub url: String,
    /// The parser that read it.
    pub parser_version: u32,
    /// For the next conditional request.
    pub validators: Validators,
    /// The newest revision that changed something; 0 for none yet.
    pub revision: u64,
    /// Seconds since the epoch of the newest attempt to update it.
    pub attempted_at: i64,
    /// Seconds since the epoch of the newest successful one, 0 for never.
    pub succeeded_at: i64,
    /// Why the newest attempt failed, empty if it did not.
    pub error: String,
    /// What the source says of its data's date (RFC 3339), empty if nothing.
    pub date: String,
    /// Affected ranges that are current.
    pub records: u64,
    /// Bytes of the document, as fetched.
    pub size_bytes: u64,
}

/// How an update of a feed's document ended well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedOutcome {
    /// Where it came from.
    pub url: String,
    /// The parser that read it.
    pub parser_version: u32,
    /// For the next conditional request.
    pub validators: Validators,
    /// What the source says of its data's date.
    pub date: String,
    /// Bytes of the document.
    pub size_bytes: u64,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What an update changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpdateStats {
    /// The revision that it made; the one before if nothing changed.
    pub revision: u64,
    /// Affected ranges that are new.
    pub added: u64,
    /// Affected ranges that are no longer said.
    pub removed: u64,
    /// Affected ranges that stayed as they were.
    pub unchanged: u64,
    /// Advisories whose details changed.
    pub details_changed: u64,
}

/// An update of one document in progress. Dropping it leaves the store as it was.
pub trait FeedUpdate {
    /// Takes in an advisory. The same id may come several times; what it affects adds up.
    fn add(&mut self, advisory: Advisory) -> Result<()>;
    /// From here on the update speaks only of the advisories that it [adds](Self::add) or
    /// [drops](Self::drop_id): all others stay as they are. Without this call what is not added is gone.
    fn keep_others(&mut self);
    /// Says that the source has nothing more on this id than what the update adds.
    fn drop_id(&mut self, id: &str) -> Result<()>;
    /// Makes the update durable and visible, all at once.
    fn commit(self: Box<Self>, outcome: &FeedOutcome) -> Result<UpdateStats>;
}

/// The newest revision, whatever its number: the present.
pub const NEWEST: u64 = u64::MAX;

/// How likely a vulnerability is to be exploited, in hundred-thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VulnerabilityScore {
    /// Probability.
    pub probability_e5: u32,
    /// Share of vulnerabilities with the same or a lower probability, if the source says it.
    pub percentile_e5: Option<u32>,
}

/// The day that scores hold for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreDay {
    /// As the source writes it, empty if it does not say.
    pub date: String,
    /// The model that made them, empty if the source does not say.
    pub model_version: String,
    /// How many there are.
    pub scores: u64,
}

/// A new day's scores in the making. Dropping it leaves the store as it was.
pub trait ScoreUpdate {
    /// Takes in the score of one CVE.
    fn add(&mut self, id: &str, score: VulnerabilityScore) -> Result<()>;
    /// Puts the scores in the place of those before, all at once, and says how many they are. There is no
    /// new revision.
    fn commit(self: Box<Self>, outcome: &FeedOutcome, model_version: &str) -> Result<u64>;
}

/// What an advisory says of a package, with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAffected {
    /// The vulnerability that the advisory is about; see [`limpid_model::vulnerability_id`].
    pub vulnerability: String,
    /// The feed.
    pub feed: String,
    /// The advisory's id.
    pub advisory: String,
    /// The severity of the advisory as a whole.
    pub severity: Severity,
    /// The source's own word for it.
    pub severity_word: String,
    /// What it says.
    pub affected: Affected,
}

/// An advisory with its feed and everything that it currently says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisoryRecord {
    /// The feed.
    pub key: FeedKey,
    /// The revision since which it has been so.
    pub since_revision: u64,
    /// The advisory.
    pub advisory: Advisory,
}

/// What one feed says of a vulnerability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knowledge {
    /// The feed.
    pub feed: String,
    /// The advisory's id.
    pub advisory: String,
    /// What it says.
    pub details: AdvisoryDetails,
}

/// What changed of an advisory between two revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvisoryChange {
    /// The feed's document.
    pub key: FeedKey,
    /// The advisory's id.
    pub advisory: String,
    /// Its details before and after, if they changed; `None` for one that was not there.
    pub details: Option<(Option<AdvisoryDetails>, Option<AdvisoryDetails>)>,
    /// What it said and no longer says, and what it says now, of the same package, release and channel.
    pub affected: Vec<(Option<Affected>, Option<Affected>)>,
}

/// Takes changes, one at a time.
pub type ChangeSink<'a> = dyn FnMut(AdvisoryChange) -> Result<()> + 'a;

/// Leases that ran out so long ago are of no use to anybody.
pub(crate) const ABANDONED_SECONDS: i64 = 24 * 3600;

/// Permission to do a task, which other processes respect while it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub owner: String,
    /// Seconds since the epoch until which it holds unless renewed.
    pub until: i64,
}

/// The store.
pub trait Store: Channels + Events + Fleet + Queue + Transfer + Upkeep + Send + Sync {
    /// What a layer says, by its verified digest.
    fn layer(&self, digest: &Digest) -> Result<Option<LayerRecord>>;
    /// Keeps what a layer says and counts the reading. Findings of the same layer are replaced, unless those
    /// that are there were made by the same extractors and searched for more.
    fn put_layer(&self, layer: &LayerRecord) -> Result<()>;
    /// How often the layer's bytes were read to the end, by everybody who uses this store; 0 if it is unknown.
    fn readings(&self, digest: &Digest) -> Result<u64>;
    /// Asks for the right to do `lease.task`; its owner asking again extends it. Somebody else's lease is
    /// taken over if `is_over` says that it counts no longer. `None` if the right was granted, else who has
    /// it.
    fn lease(&self, task: &str, lease: &Lease, is_over: &dyn Fn(&Lease) -> bool) -> Result<Option<Lease>>;
    /// Gives the right back; nothing happens if `owner` has it no longer.
    fn release(&self, task: &str, owner: &str) -> Result<()>;

    /// The node that a chain of layers leads to.
    fn node(&self, chain_key: &Digest) -> Result<Option<NodeId>>;
    /// Keeps a node: what the last layer of the chain did, against its parent. A layer that did nothing
    /// leads to its parent's node. [`Error::Gone`](crate::Error::Gone) if the parent was freed meanwhile.
    fn put_node(&self, chain_key: &Digest, parent: Option<NodeId>, diff: &PackageDiff) -> Result<NodeId>;
    /// What a layer chain's nodes did, base first, for a node after each layer.
    fn contents(&self, nodes: &[NodeId]) -> Result<(Vec<LayerContents>, BTreeMap<OccurrenceId, Occurrence>)>;

    /// The image with this manifest digest.
    fn image(&self, manifest_digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>>;
    /// Keeps an image and the reference it was seen under (none for an empty one). Refuses another list of
    /// layers under a known digest. [`Error::Gone`](crate::Error::Gone) if a layer or node was freed meanwhile.
    fn put_image(&self, image: &ImageRecord, reference: &str, now: i64) -> Result<ImageId>;
    /// Keeps images with their layers and nodes, so far as they are not there yet, all in one transaction: a layer that
    /// is new counts as read once. What is refused is refused for one image alone; an error of the store is one of all.
    fn put_images(&self, images: &[NewImage<'_>], now: i64) -> Result<Vec<Result<(ImageId, ImageRecord)>>>;
    /// Notes that a reference names an image now. [`Error::Gone`](crate::Error::Gone) if it was forgotten.
    fn put_reference(&self, image: ImageId, reference: &str, now: i64) -> Result<()>;
    /// The image that a reference named last.
    fn image_by_reference(&self, reference: &str) -> Result<Option<(ImageId, ImageRecord)>>;

    /// What is known of every feed document, sorted.
    fn feeds(&self) -> Result<Vec<FeedState>>;
    /// The greatest id that an image had when a revision came to be ([`NEWEST`]: has now); 0 for none. Images with greater
    /// ids were never judged by what held before it.
    fn last_image_at(&self, revision: u64) -> Result<ImageId>;
    /// The documents that had something to say of a release at a revision ([`NEWEST`]: now), as they were then.
    fn feeds_for(&self, release: &str, at: u64) -> Result<Vec<FeedState>>;
    /// Begins an update of a document.
    fn begin_update<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn FeedUpdate + 'a>>;
    /// Notes that a document was asked for and has not changed.
    fn feed_unchanged(&self, key: &FeedKey, now: i64) -> Result<()>;
    /// Notes that an update failed. What was there stays.
    fn feed_failed(&self, key: &FeedKey, url: &str, error: &str, now: i64) -> Result<()>;
    /// How many affected ranges are current, by normalised severity name; advisories, if they affect nothing.
    fn severities(&self, key: &FeedKey) -> Result<BTreeMap<String, u64>>;
    /// The newest revision over all feeds; 0 for none.
    fn revision(&self) -> Result<u64>;
    /// The newest revision that was there at a time, in seconds since the epoch; 0 for none.
    fn revision_at(&self, time: i64) -> Result<u64>;
    /// When a revision was made, in seconds since the epoch.
    fn revision_time(&self, revision: u64) -> Result<Option<i64>>;
    /// What advisories said of the named packages in the release at a revision; nothing of withdrawn ones.
    fn affected(&self, release: &str, names: &[&str], at: u64) -> Result<Vec<StoredAffected>>;
    /// The advisories with this id or alias at a revision, from every feed.
    fn advisories(&self, id: &str, at: u64) -> Result<Vec<AdvisoryRecord>>;
    /// What changed after a revision and up to another, sorted by document and advisory.
    fn changes(&self, after: u64, until: u64, sink: &mut ChangeSink<'_>) -> Result<()>;
    /// What every feed said of vulnerabilities at a revision, by [`vulnerability_id`]: sorted by feed and id.
    ///
    /// [`vulnerability_id`]: limpid_model::vulnerability_id
    fn knowledge(&self, vulnerabilities: &[&str], at: u64) -> Result<BTreeMap<String, Vec<Knowledge>>>;

    /// Replaces what is known of repositories and the products (CPEs) that they serve, by change: only what
    /// differs is written, and only verdicts in contexts that name a repository that differs are forgotten.
    fn put_repository_cpes(
        &self,
        key: &FeedKey,
        repositories: &BTreeMap<String, BTreeSet<String>>,
        outcome: &FeedOutcome,
    ) -> Result<UpdateStats>;
    /// The products that repositories serve, for those that are known.
    fn repository_cpes(&self, repositories: &[&str], at: u64) -> Result<BTreeMap<String, BTreeSet<String>>>;

    /// Begins a new day's scores of a feed.
    fn begin_scores<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn ScoreUpdate + 'a>>;
    /// The newest scores of a feed, by CVE; those that have none are missing.
    fn scores(&self, feed: &str, ids: &[&str]) -> Result<BTreeMap<String, VulnerabilityScore>>;
    /// The day that the scores of a feed hold for, if it has any.
    fn score_day(&self, feed: &str) -> Result<Option<ScoreDay>>;
    /// When the records of single CVEs were last asked for, in seconds since the epoch; those never asked
    /// for are missing.
    fn record_checks(&self, ids: &[&str]) -> Result<BTreeMap<String, i64>>;
    /// Notes that the records of single CVEs were asked for, whether there are any or not.
    fn put_record_checks(&self, ids: &[&str], now: i64) -> Result<()>;

    /// The verdicts kept for occurrences, by their package and context; those never computed are missing.
    fn verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>>;
    /// Keeps verdicts, if `revision` is still the newest; else they are stale already and nothing is kept. An update
    /// makes stale those of the packages that it names, by their source or themselves; `signed_sources` has the source
    /// by which it names signed packages besides.
    fn put_verdicts(
        &self,
        revision: u64,
        rules_version: u32,
        verdicts: &BTreeMap<OccurrenceId, Vec<Verdict>>,
        signed_sources: &[(OccurrenceId, String)],
    ) -> Result<()>;
    /// The contexts of all occurrences, sorted: which distributions the fleet has.
    fn contexts(&self) -> Result<Vec<Context>>;
}
