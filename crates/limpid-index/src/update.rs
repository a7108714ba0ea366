//! Keeping feeds fresh: which documents are wanted, fetched if they are old, read into the store.
//!
//! Several documents are fetched and read at once; what they change goes into the store one after the other.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use limpid_feeds::{
    Document, Feed, FeedError, Fetched, Fetcher, Layout, Limits, ParseSummary, RepositoryCpes, ScoreFeed,
    ScoreSummary,
};
use limpid_store::{FeedKey, FeedOutcome, FeedState, Store, UpdateStats, Validators, VulnerabilityScore};

use crate::follow::Following;
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
    /// Documents that are fetched and read at once.
    pub threads: usize,
}

/// What speaks of vulnerabilities and not of packages is made about once a day, and left alone for as long.
const ENRICHMENT_AGE_SECONDS_MIN: i64 = 24 * 3600;
/// After a failure it is left alone for so long: a scan does without it, and should not wait for it each time.
const ENRICHMENT_RETRY_SECONDS: i64 = 3600;
/// A source that publishes by the year needs some days for a new one.
const YEAR_GRACE_SECONDS: i64 = 7 * 24 * 3600;
/// Bytes of a document that names a checksum. NVD's have 200.
const CHECKSUM_BYTES_MAX: u64 = 4 << 10;

/// What is to be brought up to date.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Releases (`debian:12`): the feeds that speak for them.
    pub releases: BTreeSet<String>,
    /// Feeds by name, with all their documents.
    pub feeds: BTreeSet<String>,
    /// The small feeds on vulnerabilities themselves.
    pub small_enrichment: bool,
}

/// A document to fetch, and who reads it.
#[derive(Clone)]
struct Job {
    source: Source,
    document: Document,
    key: FeedKey,
}

#[derive(Clone, Copy)]
enum Source {
    Advisories(&'static dyn Feed),
    Scores(&'static dyn ScoreFeed),
    RepositoryCpes,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Advisories(feed) => feed.name(),
            Self::Scores(feed) => feed.name(),
            Self::RepositoryCpes => RepositoryCpes::NAME,
        }
    }

    fn parser_version(self) -> u32 {
        match self {
            Self::Advisories(feed) => feed.parser_version(),
            Self::Scores(feed) => feed.parser_version(),
            Self::RepositoryCpes => RepositoryCpes::PARSER_VERSION,
        }
    }

    fn enriches(self) -> bool {
        match self {
            Self::Advisories(feed) => feed.enriches(),
            Self::Scores(_) => true,
            Self::RepositoryCpes => false,
        }
    }
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
    /// The scores of a new day were read: how many are kept.
    Scored(u64, ScoreSummary),
    /// The source says that nothing changed.
    Unchanged,
    /// It failed; what was there stays.
    Failed(String),
}

/// What came of a job; nothing if another process had done it.
type Answer = Result<Option<Updated>, Error>;

impl Updater<'_> {
    /// Brings the documents that are selected up to date. A document that fails keeps its last good data and
    /// does not keep the others from being updated.
    pub fn update(&self, selection: &Selection) -> Result<Vec<Updated>, Error> {
        let states = self.store.feeds()?;
        let since = self.clock.now();
        let (mut jobs, failed) = self.jobs(selection)?;
        jobs.retain(|job| {
            let state = states.iter().find(|state| state.key == job.key);
            !state.is_some_and(|state| self.is_fresh(job.source, state))
        });
        // Results keep the order of the jobs, whichever thread was first.
        let results: Mutex<Vec<(usize, Answer)>> = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((position, job)) = take(&next, &jobs) {
                let outcome = self.once(job, since);
                let updated =
                    outcome.map(|outcome| outcome.map(|outcome| Updated { key: job.key.clone(), outcome }));
                results.lock().unwrap_or_else(PoisonError::into_inner).push((position, updated));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(position, _)| *position);
        let updated = results.into_iter().filter_map(|(_, updated)| updated.transpose());
        failed.into_iter().map(Ok).chain(updated).collect()
    }

    /// The documents that are selected, each once, and the catalogs that failed to name theirs.
    fn jobs(&self, selection: &Selection) -> Result<(Vec<Job>, Vec<Updated>), Error> {
        let mut wanted: Vec<(Source, Document)> = Vec::new();
        let mut failed = Vec::new();
        for release in &selection.releases {
            for feed in limpid_feeds::feeds_for(release) {
                let mut documents = feed.documents(release);
                if let Some(catalog) = feed.catalog(release) {
                    documents.extend(self.catalogued(feed, &catalog, &mut failed)?);
                }
                wanted.extend(documents.into_iter().map(|document| (Source::Advisories(feed), document)));
            }
        }
        let by_release = selection.releases.iter().any(|release| RepositoryCpes::covers(release));
        if by_release || selection.feeds.contains(RepositoryCpes::NAME) {
            wanted.push((Source::RepositoryCpes, RepositoryCpes::document()));
        }
        let year = year(self.clock.now() - YEAR_GRACE_SECONDS);
        for feed in limpid_feeds::FEEDS.iter().copied() {
            let small = selection.small_enrichment && feed.enriches() && feed.is_small();
            if small || selection.feeds.contains(feed.name()) {
                let mut documents = feed.documents_in(year);
                for catalog in feed.all_catalogs() {
                    documents.extend(self.catalogued(feed, &catalog, &mut failed)?);
                }
                wanted.extend(documents.into_iter().map(|document| (Source::Advisories(feed), document)));
            }
        }
        for feed in limpid_feeds::SCORE_FEEDS.iter().copied() {
            if selection.small_enrichment || selection.feeds.contains(feed.name()) {
                wanted.push((Source::Scores(feed), feed.document()));
            }
        }
        let mut seen = BTreeSet::new();
        let jobs = wanted.into_iter().filter_map(|(source, document)| {
            let key = FeedKey { feed: source.name().to_owned(), document: document.name.clone() };
            seen.insert(key.clone()).then_some(Job { source, document, key })
        });
        Ok((jobs.collect(), failed))
    }

    fn is_fresh(&self, source: Source, state: &FeedState) -> bool {
        let age = self.clock.now() - state.attempted_at;
        let forced = self.age_seconds_max == 0;
        if !state.error.is_empty() {
            return !forced && source.enriches() && age < ENRICHMENT_RETRY_SECONDS;
        }
        let age_max = if source.enriches() && !forced {
            self.age_seconds_max.max(ENRICHMENT_AGE_SECONDS_MIN)
        } else {
            self.age_seconds_max
        };
        state.parser_version == source.parser_version() && age < age_max
    }

    /// Fetches a document, unless another process does: of many that want it one fetches it, and the others
    /// take what came of that, be it a failure. `None` if the store has it by now.
    fn once(&self, job: &Job, since: i64) -> Result<Option<Outcome>, Error> {
        let leases = Leases { store: self.store, clock: self.clock, process: self.process };
        let known = |waited| {
            let Some(state) = self.state(&job.key)? else { return Ok(None) };
            Ok(match waited && state.attempted_at >= since {
                true if !state.error.is_empty() => Some(Some(Outcome::Failed(state.error))),
                true if state.parser_version == job.source.parser_version() => Some(None),
                _ => self.is_fresh(job.source, &state).then_some(None),
            })
        };
        let work = || self.attempt(job, self.state(&job.key)?.as_ref()).map(Some);
        leases.once(&format!("feed {} {}", job.key.feed, job.key.document), &known, work)
    }

    fn state(&self, key: &FeedKey) -> Result<Option<FeedState>, Error> {
        Ok(self.store.feeds()?.into_iter().find(|state| state.key == *key))
    }

    /// Fetches a document and notes what came of it.
    fn attempt(&self, job: &Job, state: Option<&FeedState>) -> Result<Outcome, Error> {
        let name = format!("{} {}", job.key.feed, job.key.document);
        self.progress.feed_begins(&name);
        let outcome = match self.document_or_fallback(job, state, &name) {
            Ok(outcome) => outcome,
            Err(failure) => self.failed(&job.key, &job.document.url, failure)?,
        };
        self.progress.feed_ends(&name, &describe(&outcome));
        Ok(outcome)
    }

    /// Notes that a document failed, and why. A store that fails is an error of its own.
    pub(crate) fn failed(&self, key: &FeedKey, url: &str, failure: Failure) -> Result<Outcome, Error> {
        let reason = failure.reason()?;
        self.store.feed_failed(key, url, &reason, self.clock.now())?;
        Ok(Outcome::Failed(reason))
    }

    /// The document, or what its feed names in its place if it cannot be fetched or read.
    fn document_or_fallback(
        &self,
        job: &Job,
        state: Option<&FeedState>,
        name: &str,
    ) -> Result<Outcome, Failure> {
        let first = self.document(job, &job.document, state, name);
        let Source::Advisories(feed) = job.source else { return first };
        match (first, feed.fallback(&job.document)) {
            (Err(failure), Some(fallback)) => {
                let reason = failure.reason()?;
                let second = self.document(job, &fallback, state, name);
                second.or_else(|failure| Err(Failure::Feed(format!("{reason}; {}", failure.reason()?))))
            }
            (first, _) => first,
        }
    }

    fn document(
        &self,
        job: &Job,
        document: &Document,
        state: Option<&FeedState>,
        name: &str,
    ) -> Result<Outcome, Failure> {
        // Another parser must see the document again, changed or not; another address has other validators.
        let parser_version = job.source.parser_version();
        let known = state.filter(|state| state.parser_version == parser_version);
        let url = match job.source {
            Source::Advisories(feed) => match feed.layout() {
                Layout::Changes => {
                    return Following { updater: self, feed, document, key: &job.key, name }.follow(known);
                }
                Layout::Whole => Some(document.url.clone()),
                Layout::Behind(pointers) => self.follow_pointers(pointers, &document.url)?,
            },
            Source::Scores(_) | Source::RepositoryCpes => Some(document.url.clone()),
        };
        // A repository without errata says nothing, and no more what it said before.
        let Some(url) = url else { return self.nothing(job, document) };
        let known = known.filter(|state| state.url == url);
        let sha256 = self.checksum(job.source, document);
        let is_known =
            |sha256: &String| known.is_some_and(|state| state.validators.etag == checksum_tag(sha256));
        if sha256.as_ref().is_some_and(is_known) {
            self.store.feed_unchanged(&job.key, self.clock.now())?;
            return Ok(Outcome::Unchanged);
        }
        match self.fetch(&url, known)? {
            Fetched::NotModified => {
                self.store.feed_unchanged(&job.key, self.clock.now())?;
                Ok(Outcome::Unchanged)
            }
            Fetched::Body { reader, validators, .. } => {
                let reading = Reading { updater: self, document, url: &url, key: &job.key, name, sha256 };
                let validators = stored(validators);
                match job.source {
                    Source::Advisories(feed) => reading.store(feed, reader, validators),
                    Source::Scores(feed) => reading.store_scores(feed, reader, validators),
                    Source::RepositoryCpes => reading.store_repository_cpes(reader, validators),
                }
            }
        }
    }

    /// Keeps that a document holds no advisories.
    fn nothing(&self, job: &Job, document: &Document) -> Result<Outcome, Failure> {
        let outcome = FeedOutcome {
            url: document.url.clone(),
            parser_version: job.source.parser_version(),
            now: self.clock.now(),
            ..FeedOutcome::default()
        };
        let stats = self.store.begin_update(&job.key)?.commit(&outcome)?;
        Ok(Outcome::Changed(stats, ParseSummary::default()))
    }

    /// The SHA-256 that the source names for the document. If it cannot be had, the document itself is asked for.
    fn checksum(&self, source: Source, document: &Document) -> Option<String> {
        let Source::Advisories(feed) = source else { return None };
        let beside = feed.checksum(document)?;
        let fetched = self.fetcher.fetch(&beside.url, &limpid_feeds::Validators::default()).ok()?;
        let Fetched::Body { reader, .. } = fetched else { return None };
        let mut bytes = Vec::new();
        reader.take(CHECKSUM_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        feed.read_checksum(&bytes)
    }
}

/// A checksum in the place of an `ETag`.
fn checksum_tag(sha256: &str) -> String {
    format!("sha256:{sha256}")
}

/// The next of `all` that no thread has taken, with its position.
pub(crate) fn take<'j, T>(next: &AtomicUsize, all: &'j [T]) -> Option<(usize, &'j T)> {
    let position = next.fetch_add(1, Ordering::Relaxed);
    Some((position, all.get(position)?))
}

/// The year of a time in seconds since the epoch.
fn year(seconds: i64) -> i16 {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC).year()
}

/// One document on its way into the store.
struct Reading<'a> {
    updater: &'a Updater<'a>,
    document: &'a Document,
    /// Where the document is.
    url: &'a str,
    key: &'a FeedKey,
    name: &'a str,
    /// What the source says that the document should be.
    sha256: Option<String>,
}

impl Reading<'_> {
    fn store(
        &self,
        feed: &dyn Feed,
        reader: Box<dyn Read + Send>,
        mut validators: Validators,
    ) -> Result<Outcome, Failure> {
        let mut input = Counting { inner: reader, bytes: 0 };
        let mut update = self.updater.store.begin_update(self.key)?;
        let mut refused = None;
        let mut advisories = 0;
        let parsed = feed.parse(self.document, &mut input, &self.updater.limits, &mut |advisory| {
            self.count(&mut advisories);
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
        if let Some(expected) = self.sha256.as_ref().filter(|_| !summary.sha256.is_empty()) {
            if *expected != summary.sha256 {
                return Err(Failure::Feed(format!(
                    "{} has the SHA-256 {}, its source says {expected}",
                    self.document.url, summary.sha256
                )));
            }
            validators = Validators { etag: checksum_tag(expected), ..Validators::default() };
        }
        let outcome = self.outcome(feed.parser_version(), validators, &summary.date, input.bytes);
        let stats = update.commit(&outcome)?;
        Ok(Outcome::Changed(stats, summary))
    }

    fn store_scores(
        &self,
        feed: &dyn ScoreFeed,
        reader: Box<dyn Read + Send>,
        validators: Validators,
    ) -> Result<Outcome, Failure> {
        let mut input = Counting { inner: reader, bytes: 0 };
        let mut update = self.updater.store.begin_scores(self.key)?;
        let mut refused = None;
        let mut scores = 0;
        let parsed = feed.parse(self.document, &mut input, &self.updater.limits, &mut |id, score| {
            self.count(&mut scores);
            let score = VulnerabilityScore {
                probability_e5: score.probability_e5,
                percentile_e5: score.percentile_e5,
            };
            update.add(id, score).map_err(|error| {
                let told = error.to_string();
                refused = Some(error);
                told.into()
            })
        });
        if let Some(error) = refused {
            return Err(error.into());
        }
        let summary = parsed.map_err(|error| Failure::Feed(error.to_string()))?;
        let outcome = self.outcome(feed.parser_version(), validators, &summary.date, input.bytes);
        let kept = update.commit(&outcome, &summary.model_version)?;
        Ok(Outcome::Scored(kept, summary))
    }

    fn store_repository_cpes(
        &self,
        reader: Box<dyn Read + Send>,
        validators: Validators,
    ) -> Result<Outcome, Failure> {
        let mut input = Counting { inner: reader, bytes: 0 };
        let parsed = RepositoryCpes::parse(&mut input, &self.updater.limits);
        let (map, summary) = parsed.map_err(Failure::parse)?;
        let outcome = self.outcome(RepositoryCpes::PARSER_VERSION, validators, &summary.date, input.bytes);
        let stats = self.updater.store.put_repository_cpes(self.key, &map, &outcome)?;
        Ok(Outcome::Changed(stats, summary))
    }

    fn count(&self, records: &mut u64) {
        *records += 1;
        if records.is_multiple_of(1000) {
            self.updater.progress.feed_advances(self.name, *records);
        }
    }

    fn outcome(
        &self,
        parser_version: u32,
        validators: Validators,
        date: &str,
        size_bytes: u64,
    ) -> FeedOutcome {
        FeedOutcome {
            url: self.url.to_owned(),
            parser_version,
            validators,
            date: date.to_owned(),
            size_bytes,
            now: self.updater.clock.now(),
        }
    }
}

/// Why a document was not read.
pub(crate) enum Failure {
    /// There is nothing at an address.
    Absent(String),
    Feed(String),
    Store(limpid_store::Error),
}

impl Failure {
    pub(crate) fn parse(error: FeedError) -> Self {
        Self::Feed(error.to_string())
    }

    /// What to tell people, unless it was the store that failed.
    fn reason(self) -> Result<String, limpid_store::Error> {
        match self {
            Self::Absent(reason) | Self::Feed(reason) => Ok(reason),
            Self::Store(error) => Err(error),
        }
    }
}

pub(crate) fn stored(validators: limpid_feeds::Validators) -> Validators {
    Validators { etag: validators.etag, last_modified: validators.last_modified }
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
        Outcome::Scored(kept, summary) => format!("{kept} scores, {} lines left out", summary.skipped),
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Failed(reason) => format!("failed: {reason}"),
    }
}

/// Counts the bytes that pass.
pub(crate) struct Counting {
    pub(crate) inner: Box<dyn Read + Send>,
    pub(crate) bytes: u64,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
