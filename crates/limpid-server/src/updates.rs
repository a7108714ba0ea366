//! Advisories kept up to date by one thread: at the start, every so often, and as soon as an image comes in that no feed
//! in the store speaks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limpid_feeds::{FetchOptions, Fetcher};
use limpid_index::{Error, Outcome, Progress, Selection, Updater};
use limpid_model::Digest;

use crate::config::Enrichment;
use crate::service::Service;

/// Documents that are fetched and read at once.
const THREADS: usize = 4;
/// Single CVE records that wait to be fetched; more are asked for when their image is looked at again.
const RECORDS_MAX: usize = 10_000;
/// Releases that wait to be loaded; there are not so many.
const RELEASES_MAX: usize = 1_000;

/// What is wanted, and what came of it.
pub(crate) struct Updates {
    fetcher: Fetcher,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// Releases that an image came in for.
    releases: BTreeSet<String>,
    /// Vulnerabilities of which nobody names a severity.
    records: BTreeSet<String>,
    /// Whether all that was wanted at the start was tried.
    settled: bool,
    /// Why documents could not be had at the last attempt.
    failed: BTreeMap<String, String>,
}

impl Updates {
    pub(crate) fn new(fetch: FetchOptions) -> Self {
        Self { fetcher: Fetcher::new(fetch), state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a release loaded, soon.
    pub(crate) fn want_release(&self, release: &str) {
        let mut state = self.state();
        if state.releases.len() < RELEASES_MAX && state.releases.insert(release.to_owned()) {
            self.changed.notify_all();
        }
    }

    /// Has the records of vulnerabilities fetched, soon.
    pub(crate) fn want_records(&self, ids: BTreeSet<String>) {
        let mut state = self.state();
        let room = RECORDS_MAX.saturating_sub(state.records.len());
        state.records.extend(ids.into_iter().take(room));
        self.changed.notify_all();
    }

    /// Whether what was wanted at the start was tried.
    pub(crate) fn settled(&self) -> bool {
        self.state().settled
    }

    /// Ends the thread after the document that it is at.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for something to do; nothing if the service stops.
    fn next(&self, due: Instant) -> Option<Wanted> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let wanted = Wanted {
                everything: now >= due,
                releases: std::mem::take(&mut state.releases),
                records: std::mem::take(&mut state.records),
            };
            if wanted.everything || !wanted.releases.is_empty() || !wanted.records.is_empty() {
                return Some(wanted);
            }
            let waited = self.changed.wait_timeout(state, due.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct Wanted {
    everything: bool,
    releases: BTreeSet<String>,
    records: BTreeSet<String>,
}

/// Keeps advisories up to date until the service stops.
pub(crate) fn run(service: &Arc<Service>) {
    let mut due = Instant::now();
    while let Some(wanted) = service.updates.next(due) {
        if wanted.everything {
            due = Instant::now() + service.config.feeds.period.max(Duration::from_secs(60));
        }
        if let Err(error) = service.update(&wanted) {
            tracing::error!(%error, "advisories were not updated");
        }
        if wanted.everything {
            service.updates.state().settled = true;
        }
    }
}

impl Service {
    fn update(&self, wanted: &Wanted) -> Result<(), Error> {
        let mut selection = Selection { releases: wanted.releases.clone(), ..Selection::default() };
        if wanted.everything {
            let contexts = self.store.contexts()?;
            selection.releases.extend(contexts.into_iter().map(|context| context.release));
            selection.releases.extend(self.config.feeds.releases.iter().cloned());
        }
        selection.releases.remove("");
        let enrichment = self.config.feeds.enrichment;
        selection.small_enrichment = enrichment != Enrichment::None && !selection.releases.is_empty();
        if enrichment == Enrichment::Full && wanted.everything {
            let feeds = limpid_feeds::FEEDS.iter().filter(|feed| feed.enriches());
            selection.feeds.extend(feeds.map(|feed| feed.name().to_owned()));
            selection.feeds.extend(limpid_feeds::SCORE_FEEDS.iter().map(|feed| feed.name().to_owned()));
        }
        let updater = Updater {
            store: &*self.store,
            clock: &*self.clock,
            progress: &Logged,
            process: &*self.process,
            fetcher: &self.updates.fetcher,
            limits: limpid_feeds::Limits::default(),
            // What is a little younger than the period would else wait for another.
            age_seconds_max: i64::try_from(self.config.feeds.period.as_secs() / 2).unwrap_or(i64::MAX),
            threads: THREADS,
        };
        for updated in updater.update(&selection)? {
            let name = format!("{} {}", updated.key.feed, updated.key.document);
            let mut state = self.updates.state();
            match updated.outcome {
                Outcome::Failed(reason) => {
                    tracing::warn!(feed = name, reason, "a feed was not updated");
                    state.failed.insert(name, reason);
                }
                _ => drop(state.failed.remove(&name)),
            }
        }
        if enrichment != Enrichment::None && !wanted.records.is_empty() {
            let records = updater.records(&wanted.records)?;
            if records.failed > 0 {
                tracing::warn!(
                    failed = records.failed,
                    reason = records.error,
                    "CVE records could not be had"
                );
            }
        }
        Ok(())
    }

    /// Whether the store has data of a feed that speaks for the release; nothing if there is no such feed.
    pub(crate) fn has_advisories(&self, release: &str) -> Result<Option<bool>, Error> {
        if limpid_feeds::feeds_for(release).next().is_none() {
            return Ok(None);
        }
        let states = self.store.feeds()?;
        let has = limpid_feeds::feeds_for(release).any(|feed| {
            feed.documents(release).iter().any(|document| {
                states.iter().any(|state| {
                    state.key.feed == feed.name()
                        && state.key.document == document.name
                        && state.succeeded_at > 0
                })
            })
        });
        Ok(Some(has))
    }

    /// Why advisories for a release are not there.
    pub(crate) fn why_no_advisories(&self, release: &str) -> String {
        let state = self.updates.state();
        let feeds: Vec<&str> = limpid_feeds::feeds_for(release).map(|feed| feed.name()).collect();
        let failure = state
            .failed
            .iter()
            .find(|(name, _)| name.split_once(' ').is_some_and(|(feed, _)| feeds.contains(&feed)));
        match failure {
            Some((name, reason)) => format!("feed {name} could not be read: {reason}"),
            None if self.config.feeds.update => "they are being loaded".to_owned(),
            None => "the service does not load them (feeds.update); run `limpid feeds update`".to_owned(),
        }
    }
}

/// Writes down which feeds are read.
struct Logged;

impl Progress for Logged {
    fn layer_begins(&self, _: &Digest, _: u64) {}
    fn layer_advances(&self, _: &Digest, _: u64) {}
    fn layer_ends(&self, _: &Digest) {}

    fn feed_begins(&self, name: &str) {
        tracing::info!(feed = name, "a feed is read");
    }

    fn feed_advances(&self, _: &str, _: u64) {}

    fn feed_ends(&self, name: &str, outcome: &str) {
        tracing::info!(feed = name, outcome, "a feed was read");
    }
}
