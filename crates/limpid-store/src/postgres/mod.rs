//! The engine for many machines: a PostgreSQL database.
//!
//! Any number of processes on any number of machines may use one database. Everything of Limpid's lies in a schema of its
//! own. The SQL keeps to what PostgreSQL's distributed relatives have too: tables with primary keys, no triggers, no
//! stored procedures, no extensions. How writers stay out of each other's way is said in `ids.rs`, what happens when
//! a connection breaks in `pool.rs`.

mod address;
mod advisories;
mod changes;
mod channels;
mod check;
mod check_images;
mod collection;
mod connection;
mod descriptions;
mod events;
mod exposures;
mod failure;
mod feeds;
mod fleet;
mod ids;
mod images;
mod layers;
mod nodes;
mod occurrences;
mod open;
mod pool;
mod queue;
mod references;
mod repositories;
mod said;
mod scores;
mod segments;
mod texts;
mod tls;
mod transfer;
mod update;
mod upkeep;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Context, Digest, Occurrence, PackageDiff, Verdict};

use self::address::Address;
pub use self::address::{Credentials, is_address};
use self::pool::Pool;
use self::segments::Snapshot;
use crate::layer_body::Packed;
use crate::segment_plan::Sizes;
use crate::store::{
    AdvisoryRecord, ChangeSink, FeedKey, FeedOutcome, FeedState, FeedUpdate, ImageId, ImageRecord, Knowledge,
    LayerContents, LayerRecord, Lease, NewImage, NodeId, OccurrenceId, ScoreDay, ScoreUpdate, Store,
    StoredAffected, UpdateStats, VulnerabilityScore,
};
use crate::{
    Error, Fleet, ImageFilter, ImageSet, ImageSummary, OccurrenceSet, Result, SharedNode, segment_query,
};

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    pool: Pool,
    sizes: Sizes,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("PostgresStore").field(self.pool.address()).finish()
    }
}

impl PostgresStore {
    /// Opens the store at `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?PARAMETERS]`; makes its tables if there are
    /// none.
    pub fn open(address: &str, credentials: &Credentials) -> Result<Self> {
        let address = Address::parse(address, credentials)?;
        let first = open::open(&address)?;
        Ok(Self { pool: Pool::new(address, first), sizes: Sizes::default() })
    }
}

impl Store for PostgresStore {
    fn layer(&self, digest: &Digest) -> Result<Option<LayerRecord>> {
        self.pool.read(|connection| layers::layer(connection, digest))
    }

    fn put_layer(&self, layer: &LayerRecord) -> Result<()> {
        let packed = Packed::of(layer)?;
        self.pool.derive(|connection| layers::put_layer(connection, layer, &packed))
    }

    fn readings(&self, digest: &Digest) -> Result<u64> {
        self.pool.read(|connection| layers::readings(connection, digest))
    }

    fn lease(&self, task: &str, lease: &Lease, is_over: &dyn Fn(&Lease) -> bool) -> Result<Option<Lease>> {
        // Those who wait ask often: only who has a chance writes.
        let held = self.pool.read(|connection| layers::held(connection, task, lease, is_over, ""))?;
        if held.is_some() {
            return Ok(held);
        }
        self.pool.derive(|connection| layers::lease(connection, task, lease, is_over))
    }

    fn release(&self, task: &str, owner: &str) -> Result<()> {
        self.pool.derive(|connection| layers::release(connection, task, owner))
    }

    fn node(&self, chain_key: &Digest) -> Result<Option<NodeId>> {
        self.pool.read(|connection| nodes::node(connection, chain_key))
    }

    fn put_node(&self, chain_key: &Digest, parent: Option<NodeId>, diff: &PackageDiff) -> Result<NodeId> {
        self.pool.derive(|connection| nodes::put_node(connection, chain_key, parent, diff))
    }

    fn contents(&self, nodes: &[NodeId]) -> Result<(Vec<LayerContents>, BTreeMap<OccurrenceId, Occurrence>)> {
        self.pool.snapshot(|connection| nodes::contents(connection, nodes))
    }

    fn image(&self, manifest_digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>> {
        self.pool.snapshot(|connection| images::image(connection, manifest_digest))
    }

    fn put_image(&self, image: &ImageRecord, reference: &str, now: i64) -> Result<ImageId> {
        self.pool.write(|connection| images::put_image(connection, image, reference, now))
    }

    fn put_images(&self, images: &[NewImage<'_>], now: i64) -> Result<Vec<Result<(ImageId, ImageRecord)>>> {
        self.pool.write(|connection| images::put_images(connection, images, now))
    }

    fn put_reference(&self, image: ImageId, reference: &str, now: i64) -> Result<()> {
        self.pool.write(|connection| references::put(connection, image, reference, now))
    }

    fn image_by_reference(&self, reference: &str) -> Result<Option<(ImageId, ImageRecord)>> {
        self.pool.snapshot(|connection| images::image_by_reference(connection, reference))
    }

    fn feeds(&self) -> Result<Vec<FeedState>> {
        self.pool.read(feeds::feeds)
    }

    fn feeds_for(&self, release: &str, at: u64) -> Result<Vec<FeedState>> {
        self.pool.snapshot(|connection| feeds::feeds_for(connection, release, at))
    }

    fn begin_update<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn FeedUpdate + 'a>> {
        Ok(Box::new(update::PostgresUpdate::begin(&self.pool, key)?))
    }

    fn feed_unchanged(&self, key: &FeedKey, now: i64) -> Result<()> {
        self.pool.write(|connection| feeds::unchanged(connection, key, now))
    }

    fn feed_failed(&self, key: &FeedKey, url: &str, error: &str, now: i64) -> Result<()> {
        self.pool.write(|connection| feeds::failed(connection, key, url, error, now))
    }

    fn severities(&self, key: &FeedKey) -> Result<BTreeMap<String, u64>> {
        self.pool.read(|connection| feeds::severities(connection, key))
    }

    fn revision(&self) -> Result<u64> {
        self.pool.read(feeds::revision)
    }

    fn revision_at(&self, time: i64) -> Result<u64> {
        self.pool.read(|connection| feeds::revision_at(connection, time))
    }

    fn last_image_at(&self, revision: u64) -> Result<ImageId> {
        self.pool.read(|connection| feeds::last_image_at(connection, revision))
    }

    fn revision_time(&self, revision: u64) -> Result<Option<i64>> {
        self.pool.read(|connection| feeds::revision_time(connection, revision))
    }

    fn affected(&self, release: &str, names: &[&str], at: u64) -> Result<Vec<StoredAffected>> {
        self.pool.snapshot(|connection| advisories::affected(connection, release, names, at))
    }

    fn advisories(&self, id: &str, at: u64) -> Result<Vec<AdvisoryRecord>> {
        self.pool.snapshot(|connection| advisories::advisories(connection, id, at))
    }

    fn changes(&self, after: u64, until: u64, sink: &mut ChangeSink<'_>) -> Result<()> {
        changes::changes(&self.pool, after, until, sink)
    }

    fn knowledge(&self, vulnerabilities: &[&str], at: u64) -> Result<BTreeMap<String, Vec<Knowledge>>> {
        self.pool.read(|connection| advisories::knowledge(connection, vulnerabilities, at))
    }

    fn put_repository_cpes(
        &self,
        key: &FeedKey,
        repositories: &BTreeMap<String, BTreeSet<String>>,
        outcome: &FeedOutcome,
    ) -> Result<UpdateStats> {
        self.pool.write(|connection| repositories::put(connection, key, repositories, outcome))
    }

    fn repository_cpes(&self, repositories: &[&str], at: u64) -> Result<BTreeMap<String, BTreeSet<String>>> {
        self.pool.read(|connection| repositories::cpes(connection, repositories, at))
    }

    fn begin_scores<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn ScoreUpdate + 'a>> {
        Ok(Box::new(scores::PostgresScores::begin(&self.pool, key)?))
    }

    fn scores(&self, feed: &str, ids: &[&str]) -> Result<BTreeMap<String, VulnerabilityScore>> {
        self.pool.read(|connection| scores::scores(connection, feed, ids))
    }

    fn score_day(&self, feed: &str) -> Result<Option<ScoreDay>> {
        self.pool.read(|connection| scores::score_day(connection, feed))
    }

    fn record_checks(&self, ids: &[&str]) -> Result<BTreeMap<String, i64>> {
        self.pool.read(|connection| scores::record_checks(connection, ids))
    }

    fn put_record_checks(&self, ids: &[&str], now: i64) -> Result<()> {
        self.pool.write(|connection| scores::put_record_checks(connection, ids, now))
    }

    fn verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
        self.pool.read(|connection| verdicts::verdicts(connection, occurrences, rules_version))
    }

    fn put_verdicts(
        &self,
        revision: u64,
        rules_version: u32,
        verdicts: &BTreeMap<OccurrenceId, Vec<Verdict>>,
        signed_sources: &[(OccurrenceId, String)],
    ) -> Result<()> {
        let encoded = verdicts::encoded(verdicts)?;
        let kept = self.pool.derive(|connection| {
            verdicts::put_verdicts(connection, revision, rules_version, &encoded, signed_sources)
        });
        match kept {
            // They are kept to save work; where they cannot be, the answer is the same.
            Err(Error::ReadOnly) => Ok(()),
            kept => kept,
        }
    }

    fn contexts(&self) -> Result<Vec<Context>> {
        self.pool.read(nodes::contexts)
    }
}

impl Fleet for PostgresStore {
    fn select(&self, filter: &ImageFilter) -> Result<ImageSet> {
        self.pool.snapshot(|connection| fleet::select(connection, filter))
    }

    fn releases(&self, images: &ImageSet) -> Result<BTreeMap<String, u64>> {
        self.pool.snapshot(|connection| segment_query::releases(&mut Snapshot(connection), images))
    }

    fn holding(&self, occurrences: &[OccurrenceId]) -> Result<ImageSet> {
        self.pool.snapshot(|connection| segment_query::holding(&mut Snapshot(connection), occurrences))
    }

    fn holding_at(&self, occurrences: &[OccurrenceId], revision: u64) -> Result<ImageSet> {
        self.pool.snapshot(|connection| fleet::holding_at(connection, occurrences, revision))
    }

    fn counts(&self, groups: &[Vec<OccurrenceId>], within: Option<&ImageSet>) -> Result<Vec<u64>> {
        self.pool.snapshot(|connection| segment_query::counts(&mut Snapshot(connection), groups, within))
    }

    fn exposures(&self, sink: &mut dyn FnMut(&str, OccurrenceSet) -> Result<()>) -> Result<()> {
        // A few at a time: what broke with a connection is read again without telling anything twice.
        let mut after = 0;
        loop {
            let (last, sets) = self.pool.snapshot(|connection| exposures::exposures(connection, after))?;
            for (vulnerability, set) in sets {
                sink(&vulnerability, set)?;
            }
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    fn unlisted(
        &self,
        rules_version: u32,
        after: Option<OccurrenceId>,
        limit: usize,
    ) -> Result<Vec<(OccurrenceId, Occurrence)>> {
        self.pool.snapshot(|connection| exposures::unlisted(connection, rules_version, after, limit))
    }

    fn list(&self, rules_version: u32, limit: usize) -> Result<bool> {
        match self.pool.derive(|connection| exposures::list(connection, rules_version, limit)) {
            // They are kept to save work; where they cannot be, the answer is the same.
            Err(Error::ReadOnly) => Ok(false),
            listed => listed,
        }
    }

    fn summaries(&self, images: &[ImageId]) -> Result<Vec<ImageSummary>> {
        self.pool.snapshot(|connection| fleet::summaries(connection, images))
    }

    fn image_by_id(&self, image: ImageId) -> Result<Option<ImageRecord>> {
        self.pool.snapshot(|connection| images::image_by_id(connection, image))
    }

    fn source_names(&self) -> Result<BTreeSet<String>> {
        self.pool.read(fleet::source_names)
    }

    fn occurrences_named(&self, name: &str) -> Result<Vec<(OccurrenceId, Occurrence)>> {
        self.pool.read(|connection| fleet::occurrences_named(connection, name))
    }

    fn occurrences(&self, ids: &[OccurrenceId]) -> Result<BTreeMap<OccurrenceId, Occurrence>> {
        self.pool.read(|connection| nodes::occurrences(connection, ids))
    }

    fn shared_nodes(&self, images: &ImageSet, limit: usize) -> Result<(Vec<SharedNode>, u64)> {
        self.pool.snapshot(|connection| fleet::shared_nodes(connection, images, limit))
    }

    fn images_at(&self, node: NodeId, limit: usize) -> Result<Vec<ImageId>> {
        self.pool.read(|connection| fleet::images_at(connection, node, limit))
    }

    fn needs_tending(&self) -> Result<bool> {
        segments::is_due(&self.pool, &self.sizes)
    }

    fn tend(&self) -> Result<bool> {
        segments::tend(&self.pool, &self.sizes)
    }
}
