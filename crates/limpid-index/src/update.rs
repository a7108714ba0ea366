//! Keeping feeds fresh: which documents a release needs, fetched if they are old, read into the store.

use std::collections::BTreeSet;
use std::io::Read;

use limpid_feeds::{Document, Feed, Fetched, Fetcher, Limits, ParseSummary};
use limpid_store::{FeedKey, FeedOutcome, FeedState, Store, UpdateStats, Validators};

use crate::lease::Leases;
use crate::{Clock, Error, Process, Progress};

/// Updates feeds.
pub struct Updater<'a> {
    /// Where advisories are kept.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who watches.
    pub progress: &'a dyn Progress,
    /// This process among those that use the store.
    pub process: &'a dyn Process,
    /// Gets documents.
    pub fetcher: &'a Fetcher,
    /// Bounds on what is read.
    pub limits: Limits,
    /// Documents younger than this many seconds are left alone.
    pub age_seconds_max: i64,
}

/// What became of one document.
#[derive(Debug)]
pub struct Updated {
    /// Which one.
    pub key: FeedKey,
    /// What happened.
    pub outcome: Outcome,
}

/// What became of an update.
#[derive(Debug)]
pub enum Outcome {
    /// It was read; what changed, and what was left out and why.
    Changed(UpdateStats, ParseSummary),
    /// The source says that nothing changed.
    Unchanged,
    /// It failed; what was there stays.
    Failed(String),
}

impl Updater<'_> {
    /// Brings the documents that speak for `releases` up to date. A document that fails keeps its last good
    /// data and does not keep the others from being updated.
    pub fn update(&self, releases: &BTreeSet<String>) -> Result<Vec<Updated>, Error> {
        let mut wanted: Vec<(&'static dyn Feed, Document)> = Vec::new();
        let mut seen = BTreeSet::new();
        for release in releases {
            for feed in limpid_feeds::feeds_for(release) {
                for document in feed.documents(release) {
                    if seen.insert((feed.name(), document.name.clone())) {
                        wanted.push((feed, document));
                    }
                }
            }
        }
        let leases = Leases { store: self.store, clock: self.clock, process: self.process };
        let since = self.clock.now();
        let mut updated = Vec::new();
        for (feed, document) in wanted {
            let key = FeedKey { feed: feed.name().to_owned(), document: document.name.clone() };
            let name = format!("{} {}", key.feed, key.document);
            // Of many processes that want a document one fetches it; the others take what came of that, be it a
            // failure.
            let known = |waited| {
                let Some(state) = self.state(&key)? else { return Ok(None) };
                Ok(match waited && state.attempted_at >= since {
                    true if !state.error.is_empty() => Some(Some(Outcome::Failed(state.error))),
                    true if state.parser_version == feed.parser_version() => Some(None),
                    _ => self.is_fresh(feed, &state).then_some(None),
                })
            };
            let work = || self.attempt(feed, &document, &key, &name).map(Some);
            let outcome = leases.once(&format!("feed {name}"), &known, work)?;
            updated.extend(outcome.map(|outcome| Updated { key, outcome }));
        }
        Ok(updated)
    }

    fn state(&self, key: &FeedKey) -> Result<Option<FeedState>, Error> {
        Ok(self.store.feeds()?.into_iter().find(|state| state.key == *key))
    }

    /// Fetches a document and notes what came of it.
    fn attempt(
        &self,
        feed: &'static dyn Feed,
        document: &Document,
        key: &FeedKey,
        name: &str,
    ) -> Result<Outcome, Error> {
        let state = self.state(key)?;
        self.progress.feed_begins(name);
        let outcome = match self.document(feed, document, key, state.as_ref(), name) {
            Ok(outcome) => outcome,
            Err(Failure::Store(error)) => return Err(error.into()),
            Err(Failure::Feed(reason)) => {
                self.store.feed_failed(key, &document.url, &reason, self.clock.now())?;
                Outcome::Failed(reason)
            }
        };
        self.progress.feed_ends(name, &describe(&outcome));
        Ok(outcome)
    }

    fn is_fresh(&self, feed: &dyn Feed, state: &FeedState) -> bool {
        state.parser_version == feed.parser_version()
            && state.error.is_empty()
            && self.clock.now() - state.attempted_at < self.age_seconds_max
    }

    fn document(
        &self,
        feed: &dyn Feed,
        document: &Document,
        key: &FeedKey,
        state: Option<&FeedState>,
        name: &str,
    ) -> Result<Outcome, Failure> {
        // Another parser must see the document again, changed or not.
        let known = state.filter(|state| state.parser_version == feed.parser_version());
        let validators = known.map(|state| state.validators.clone()).unwrap_or_default();
        let validators =
            limpid_feeds::Validators { etag: validators.etag, last_modified: validators.last_modified };
        let fetched = self
            .fetcher
            .fetch(&document.url, &validators)
            .map_err(|error| Failure::Feed(error.to_string()))?;
        match fetched {
            Fetched::NotModified => {
                self.store.feed_unchanged(key, self.clock.now())?;
                Ok(Outcome::Unchanged)
            }
            Fetched::Body { reader, validators, .. } => {
                let reading = Reading { updater: self, feed, document, key, name };
                reading.store(
                    reader,
                    Validators { etag: validators.etag, last_modified: validators.last_modified },
                )
            }
        }
    }
}

/// One document on its way into the store.
struct Reading<'a> {
    updater: &'a Updater<'a>,
    feed: &'a dyn Feed,
    document: &'a Document,
    key: &'a FeedKey,
    name: &'a str,
}

impl Reading<'_> {
    fn store(&self, reader: Box<dyn Read + Send>, validators: Validators) -> Result<Outcome, Failure> {
        let mut input = Counting { inner: reader, bytes: 0 };
        let mut update = self.updater.store.begin_update(self.key)?;
        let mut refused = None;
        let mut advisories = 0;
        let parsed = self.feed.parse(self.document, &mut input, &self.updater.limits, &mut |advisory| {
            advisories += 1;
            if advisories % 1000 == 0 {
                self.updater.progress.feed_advances(self.name, advisories);
            }
            update.add(advisory).map_err(|error| {
                let told = error.to_string();
                refused = Some(error);
                told.into()
            })
        });
        if let Some(error) = refused {
            return Err(error.into());
        }
        let summary = parsed.map_err(|error| Failure::Feed(error.to_string()))?;
        let stats = update.commit(&FeedOutcome {
            url: self.document.url.clone(),
            parser_version: self.feed.parser_version(),
            validators,
            date: summary.date.clone(),
            size_bytes: input.bytes,
            now: self.updater.clock.now(),
        })?;
        Ok(Outcome::Changed(stats, summary))
    }
}

enum Failure {
    Feed(String),
    Store(limpid_store::Error),
}

impl From<limpid_store::Error> for Failure {
    fn from(error: limpid_store::Error) -> Self {
        Self::Store(error)
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Changed(stats, summary) => {
            let mut text =
                format!("{} new, {} gone, {} as before", stats.added, stats.removed, stats.unchanged);
            let skipped: u64 = summary.skipped.values().sum();
            if skipped > 0 {
                text.push_str(&format!(", {skipped} left out"));
            }
            text
        }
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Failed(reason) => format!("failed: {reason}"),
    }
}

/// Counts the bytes that pass.
struct Counting {
    inner: Box<dyn Read + Send>,
    bytes: u64,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
