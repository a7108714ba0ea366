//! The embedded engine: one SQLite file in WAL mode.
//!
//! Many processes may use one file: writers take turns in short transactions, readers never wait.

mod advisories;
mod changes;
mod channels;
mod check;
mod check_images;
mod collection;
mod copies;
mod descriptions;
mod events;
mod exposures;
mod feeds;
mod fleet;
mod ids;
mod images;
mod layers;
mod nodes;
mod open;
mod queue;
mod readers;
mod references;
mod repositories;
mod said;
mod scores;
mod segments;
#[cfg(test)]
mod segments_tests;
mod texts;
mod transfer;
mod unused;
mod update;
mod upkeep;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use limpid_model::{Context, Digest, Occurrence, PackageDiff, Verdict};
use rusqlite::{Connection, TransactionBehavior};

use self::open::Place;
use self::readers::Readers;
use self::segments::Snapshot;
use crate::column::{count, digest, integer};
use crate::segment_plan::Sizes;
use crate::store::{
    AdvisoryRecord, ChangeSink, FeedKey, FeedOutcome, FeedState, FeedUpdate, ImageId, ImageRecord, Knowledge,
    LayerContents, LayerRecord, Lease, NewImage, NodeId, OccurrenceId, ScoreDay, ScoreUpdate, Store,
    StoredAffected, UpdateStats, VulnerabilityScore,
};
use crate::{Fleet, ImageFilter, ImageSet, ImageSummary, OccurrenceSet, Result, SharedNode, segment_query};

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    place: Place,
    /// For writing.
    connection: Mutex<Connection>,
    readers: Readers,
    sizes: Sizes,
}

impl SqliteStore {
    /// Opens the store in `path`; makes it, and the folders above, if there is none. A file that may only be read
    /// answers what reading answers; `:memory:` is a store that ends with the process.
    pub fn open(path: &Path) -> Result<Self> {
        let place = Place::of(path)?;
        let connection = Mutex::new(place.open()?);
        Ok(Self { place, connection, readers: Readers::default(), sizes: Sizes::default() })
    }

    /// The connection that writes, for one operation. A thread that panicked in the middle left its transaction rolled
    /// back, so the connection is good.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads with a connection that no writer has. What is in memory has no log to read beside: there all share one.
    fn with_reader<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        match self.place {
            Place::Memory(_) => work(&mut self.connection()),
            Place::File(_) | Place::ReadOnly { .. } => self.readers.with(&self.place, work),
        }
    }

    /// Reads many rows by many statements: one snapshot for all of them, and one lock on the file.
    fn reading<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.with_reader(|connection| {
            let transaction = connection.transaction()?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }
}

impl Store for SqliteStore {
    fn layer(&self, digest: &Digest) -> Result<Option<LayerRecord>> {
        self.with_reader(|connection| layers::layer(connection, digest))
    }

    fn put_layer(&self, layer: &LayerRecord) -> Result<()> {
        layers::put_layer(&mut self.connection(), layer)
    }

    fn readings(&self, digest: &Digest) -> Result<u64> {
        self.with_reader(|connection| layers::readings(connection, digest))
    }

    fn lease(&self, task: &str, lease: &Lease, is_over: &dyn Fn(&Lease) -> bool) -> Result<Option<Lease>> {
        layers::lease(&mut self.connection(), task, lease, is_over)
    }

    fn release(&self, task: &str, owner: &str) -> Result<()> {
        layers::release(&self.connection(), task, owner)
    }

    fn node(&self, chain_key: &Digest) -> Result<Option<NodeId>> {
        self.with_reader(|connection| nodes::node(connection, chain_key))
    }

    fn put_node(&self, chain_key: &Digest, parent: Option<NodeId>, diff: &PackageDiff) -> Result<NodeId> {
        nodes::put_node(&mut self.connection(), chain_key, parent, diff)
    }

    fn contents(&self, nodes: &[NodeId]) -> Result<(Vec<LayerContents>, BTreeMap<OccurrenceId, Occurrence>)> {
        self.with_reader(|connection| nodes::contents(connection, nodes))
    }

    fn image(&self, manifest_digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>> {
        self.reading(|connection| images::image(connection, manifest_digest))
    }

    fn put_image(&self, image: &ImageRecord, reference: &str, now: i64) -> Result<ImageId> {
        images::put_image(&mut self.connection(), image, reference, now)
    }

    fn put_images(&self, images: &[NewImage<'_>], now: i64) -> Result<Vec<Result<(ImageId, ImageRecord)>>> {
        images::put_images(&mut self.connection(), images, now)
    }

    fn put_reference(&self, image: ImageId, reference: &str, now: i64) -> Result<()> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        references::put(&transaction, image, reference, now)?;
        Ok(transaction.commit()?)
    }

    fn image_by_reference(&self, reference: &str) -> Result<Option<(ImageId, ImageRecord)>> {
        self.reading(|connection| images::image_by_reference(connection, reference))
    }

    fn feeds(&self) -> Result<Vec<FeedState>> {
        self.with_reader(|connection| feeds::feeds(connection))
    }

    fn feeds_for(&self, release: &str, at: u64) -> Result<Vec<FeedState>> {
        self.reading(|connection| feeds::feeds_for(connection, release, at))
    }

    fn begin_update<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn FeedUpdate + 'a>> {
        Ok(Box::new(update::SqliteUpdate::begin(self.place.connect()?, key)?))
    }

    fn feed_unchanged(&self, key: &FeedKey, now: i64) -> Result<()> {
        feeds::unchanged(&self.connection(), key, now)
    }

    fn feed_failed(&self, key: &FeedKey, url: &str, error: &str, now: i64) -> Result<()> {
        feeds::failed(&self.connection(), key, url, error, now)
    }

    fn severities(&self, key: &FeedKey) -> Result<BTreeMap<String, u64>> {
        self.with_reader(|connection| feeds::severities(connection, key))
    }

    fn revision(&self) -> Result<u64> {
        self.with_reader(|connection| feeds::revision(connection))
    }

    fn revision_at(&self, time: i64) -> Result<u64> {
        self.with_reader(|connection| feeds::revision_at(connection, time))
    }

    fn last_image_at(&self, revision: u64) -> Result<ImageId> {
        feeds::last_image_at(&self.connection(), revision)
    }

    fn revision_time(&self, revision: u64) -> Result<Option<i64>> {
        self.with_reader(|connection| feeds::revision_time(connection, revision))
    }

    fn affected(&self, release: &str, names: &[&str], at: u64) -> Result<Vec<StoredAffected>> {
        self.reading(|connection| advisories::affected(connection, release, names, at))
    }

    fn advisories(&self, id: &str, at: u64) -> Result<Vec<AdvisoryRecord>> {
        self.reading(|connection| advisories::advisories(connection, id, at))
    }

    fn changes(&self, after: u64, until: u64, sink: &mut ChangeSink<'_>) -> Result<()> {
        // A connection of its own: the sink may ask the store.
        changes::changes(&mut self.place.connect()?, after, until, sink)
    }

    fn knowledge(&self, vulnerabilities: &[&str], at: u64) -> Result<BTreeMap<String, Vec<Knowledge>>> {
        self.reading(|connection| advisories::knowledge(connection, vulnerabilities, at))
    }

    fn put_repository_cpes(
        &self,
        key: &FeedKey,
        repositories: &BTreeMap<String, BTreeSet<String>>,
        outcome: &FeedOutcome,
    ) -> Result<UpdateStats> {
        repositories::put(&mut self.connection(), key, repositories, outcome)
    }

    fn repository_cpes(&self, repositories: &[&str], at: u64) -> Result<BTreeMap<String, BTreeSet<String>>> {
        self.reading(|connection| repositories::cpes(connection, repositories, at))
    }

    fn begin_scores<'a>(&'a self, key: &FeedKey) -> Result<Box<dyn ScoreUpdate + 'a>> {
        Ok(Box::new(scores::SqliteScores::begin(self.place.connect()?, key)?))
    }

    fn scores(&self, feed: &str, ids: &[&str]) -> Result<BTreeMap<String, VulnerabilityScore>> {
        self.reading(|connection| scores::scores(connection, feed, ids))
    }

    fn score_day(&self, feed: &str) -> Result<Option<ScoreDay>> {
        self.with_reader(|connection| scores::score_day(connection, feed))
    }

    fn record_checks(&self, ids: &[&str]) -> Result<BTreeMap<String, i64>> {
        self.reading(|connection| scores::record_checks(connection, ids))
    }

    fn put_record_checks(&self, ids: &[&str], now: i64) -> Result<()> {
        scores::put_record_checks(&mut self.connection(), ids, now)
    }

    fn verdicts(
        &self,
        occurrences: &[OccurrenceId],
        rules_version: u32,
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
        self.reading(|connection| verdicts::verdicts(connection, occurrences, rules_version))
    }

    fn put_verdicts(
        &self,
        revision: u64,
        rules_version: u32,
        verdicts: &BTreeMap<OccurrenceId, Vec<Verdict>>,
        signed_sources: &[(OccurrenceId, String)],
    ) -> Result<()> {
        // They are kept to save work; where they cannot be, the answer is the same.
        if self.place.is_read_only() {
            return Ok(());
        }
        verdicts::put_verdicts(&mut self.connection(), revision, rules_version, verdicts, signed_sources)
    }

    fn contexts(&self) -> Result<Vec<Context>> {
        self.with_reader(|connection| nodes::contexts(connection))
    }
}

impl Fleet for SqliteStore {
    fn select(&self, filter: &ImageFilter) -> Result<ImageSet> {
        self.reading(|connection| fleet::select(connection, filter))
    }

    fn releases(&self, images: &ImageSet) -> Result<BTreeMap<String, u64>> {
        self.reading(|connection| segment_query::releases(&mut Snapshot(connection), images))
    }

    fn holding(&self, occurrences: &[OccurrenceId]) -> Result<ImageSet> {
        self.reading(|connection| segment_query::holding(&mut Snapshot(connection), occurrences))
    }

    fn holding_at(&self, occurrences: &[OccurrenceId], revision: u64) -> Result<ImageSet> {
        self.reading(|connection| fleet::holding_at(connection, occurrences, revision))
    }

    fn counts(&self, groups: &[Vec<OccurrenceId>], within: Option<&ImageSet>) -> Result<Vec<u64>> {
        self.reading(|connection| segment_query::counts(&mut Snapshot(connection), groups, within))
    }

    fn summaries(&self, images: &[ImageId]) -> Result<Vec<ImageSummary>> {
        self.reading(|connection| fleet::summaries(connection, images))
    }

    fn image_by_id(&self, image: ImageId) -> Result<Option<ImageRecord>> {
        self.reading(|connection| images::image_by_id(connection, image))
    }

    fn source_names(&self) -> Result<BTreeSet<String>> {
        self.with_reader(|connection| fleet::source_names(connection))
    }

    fn occurrences_named(&self, name: &str) -> Result<Vec<(OccurrenceId, Occurrence)>> {
        self.with_reader(|connection| fleet::occurrences_named(connection, name))
    }

    fn exposures(&self, sink: &mut dyn FnMut(&str, OccurrenceSet) -> Result<()>) -> Result<()> {
        self.reading(|connection| exposures::exposures(connection, sink))
    }

    fn unlisted(
        &self,
        rules_version: u32,
        after: Option<OccurrenceId>,
        limit: usize,
    ) -> Result<Vec<(OccurrenceId, Occurrence)>> {
        self.reading(|connection| exposures::unlisted(connection, rules_version, after, limit))
    }

    fn list(&self, rules_version: u32, limit: usize) -> Result<bool> {
        // They are kept to save work; where they cannot be, the answer is the same.
        if self.place.is_read_only() {
            return Ok(false);
        }
        exposures::list(&mut self.connection(), rules_version, limit)
    }

    fn occurrences(&self, ids: &[OccurrenceId]) -> Result<BTreeMap<OccurrenceId, Occurrence>> {
        self.reading(|connection| nodes::occurrences(connection, ids))
    }

    fn shared_nodes(&self, images: &ImageSet, limit: usize) -> Result<(Vec<SharedNode>, u64)> {
        self.reading(|connection| fleet::shared_nodes(connection, images, limit))
    }

    fn images_at(&self, node: NodeId, limit: usize) -> Result<Vec<ImageId>> {
        self.reading(|connection| fleet::images_at(connection, node, limit))
    }

    fn needs_tending(&self) -> Result<bool> {
        segments::is_due(self)
    }

    fn tend(&self) -> Result<bool> {
        segments::tend(self)
    }
}
