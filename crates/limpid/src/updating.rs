//! Feeds brought up to date: for a report, or because somebody asked.

use std::collections::{BTreeMap, BTreeSet};

use limpid_feeds::Fetcher;
use limpid_index::{Outcome, Selection, Updated, Updater};
use limpid_model::Report;
use limpid_store::FeedKey;

use crate::error::Error;
use crate::session::Session;

/// Feeds younger than this are not asked for again by `scan`: sources change a few times a day.
const FEED_AGE_SECONDS_MAX: i64 = 6 * 3600;
/// Documents that are fetched and read at once: one core parses while another waits for the network or the
/// disk.
const UPDATE_THREADS: usize = 4;

/// What became of documents, in few words.
pub(crate) type Became = BTreeMap<FeedKey, String>;

impl Session<'_> {
    /// Updates the feeds that are selected, whatever their age: what became of each document. A feed that fails is
    /// told of; only if the store then has nothing to go by is that an error, which comes beside.
    pub(crate) fn update(&self, selection: &Selection) -> Result<(Became, Result<(), Error>), Error> {
        let mut became = Became::new();
        let failed = self.update_all(selection, 0, &mut |updated| {
            became.insert(updated.key.clone(), outcome(&updated.outcome));
        })?;
        Ok((became, failed.into_values().next().map_or(Ok(()), |reason| Err(Error::Feeds(reason)))))
    }

    /// Derives events of what feeds changed. Whoever asks for a report gets it whatever comes of this.
    pub(crate) fn derive_events(&self) {
        match limpid_index::derive_events(self.store.as_ref(), &self.clock, self.process()) {
            Ok(derived) if !derived.events.is_empty() => {
                let told: Vec<String> =
                    derived.events.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                self.note(&format!("events: {}", told.join(", ")));
            }
            Ok(_) => {}
            Err(error) => self.warn(&format!("events could not be derived, and wait: {error}")),
        }
    }

    /// Updates what a report on a release needs, if it is old.
    pub(crate) fn update_for_report(&self, release: &str) -> Result<(), Error> {
        let failed = self.update_for_scan(BTreeSet::from([release.to_owned()]))?;
        failed.into_values().next().map_or(Ok(()), |reason| Err(Error::Feeds(reason)))
    }

    /// The same for scans of many images: what no data could be had for, by release.
    pub(crate) fn update_for_scan(
        &self,
        releases: BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let small_enrichment = !self.global.no_enrich && !releases.is_empty();
        let selection = Selection { releases, small_enrichment, ..Selection::default() };
        self.update_all(&selection, FEED_AGE_SECONDS_MAX, &mut |_| ())
    }

    /// Updates what the fleet's images need, if it is old. `tell` is told of every document.
    pub(crate) fn update_for_fleet(
        &self,
        age_seconds_max: i64,
        tell: &mut dyn FnMut(&Updated),
    ) -> Result<(), Error> {
        let contexts = self.store.contexts()?.into_iter();
        let releases: BTreeSet<String> =
            contexts.map(|context| context.release).filter(|release| !release.is_empty()).collect();
        if self.global.offline || releases.is_empty() {
            return Ok(());
        }
        let selection =
            Selection { releases, small_enrichment: !self.global.no_enrich, ..Selection::default() };
        let fetcher = Fetcher::new(self.fetch_options()?);
        // At least a second: 0 means that somebody asked.
        let updater = self.updater(&fetcher, age_seconds_max.max(1));
        updater.update(&selection)?.iter().for_each(tell);
        Ok(())
    }

    /// Why data could not be had, by release, or by feed for one that was asked for by name. `tell` is told of every
    /// document.
    fn update_all(
        &self,
        selection: &Selection,
        age_seconds_max: i64,
        tell: &mut dyn FnMut(&Updated),
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut without_data = BTreeMap::new();
        if self.global.offline {
            return Ok(without_data);
        }
        let fetcher = Fetcher::new(self.fetch_options()?);
        for updated in self.updater(&fetcher, age_seconds_max).update(selection)? {
            tell(&updated);
            let name = format!("{} {}", updated.key.feed, updated.key.document);
            if let (Outcome::Changed(_, summary), 0) = (&updated.outcome, age_seconds_max) {
                // Somebody who updates feeds by hand wants to know.
                for (reason, count) in &summary.skipped {
                    // Most of it is as it should be: what is not about security, what is no package.
                    self.note(&format!("{name}: {count} left out: {reason}"));
                }
            }
            let Outcome::Failed(reason) = &updated.outcome else { continue };
            let state = self.store.feeds()?.into_iter().find(|state| state.key == updated.key);
            let failure = format!("feed {name} could not be read: {reason}");
            match state {
                Some(state) if state.succeeded_at > 0 => self.warn(&format!(
                    "feed {name} was not updated ({reason}); using the data of {}",
                    crate::clock::rfc3339(state.succeeded_at)
                )),
                _ if selection.feeds.contains(&updated.key.feed) => {
                    without_data.insert(updated.key.feed, failure);
                }
                // A report can do without it.
                _ if is_enrichment(&updated.key.feed) => self.warn(&failure),
                _ => {
                    let concerned = selection.releases.iter().filter(|release| needs(release, &updated.key));
                    let mut concerned: Vec<&String> = concerned.collect();
                    concerned.retain(|release| !self.has_other_data(release, &updated.key));
                    if concerned.is_empty() {
                        // One repository of several, or a map without which main products are taken: coverage shows it.
                        self.warn(&failure);
                    }
                    without_data
                        .extend(concerned.into_iter().map(|release| (release.clone(), failure.clone())));
                }
            }
        }
        Ok(without_data)
    }

    /// Whether the store has data from another document of the same feed for the release.
    fn has_other_data(&self, release: &str, key: &FeedKey) -> bool {
        let states = self.store.feeds().unwrap_or_default();
        states
            .iter()
            .any(|state| state.key.feed == key.feed && state.succeeded_at > 0 && needs(release, &state.key))
    }

    /// Fetches the CVE records of vulnerabilities of which nobody names a severity whose word comes before theirs;
    /// whether any were asked for. What cannot be had is told of and shown in coverage, and keeps nobody from their
    /// report.
    pub(crate) fn fetch_records(&self, report: &Report) -> Result<bool, Error> {
        if self.global.offline || self.global.no_enrich {
            return Ok(false);
        }
        let ids = limpid_index::unrated(report);
        if ids.is_empty() {
            return Ok(false);
        }
        let fetcher = Fetcher::new(self.fetch_options()?);
        let records = self.updater(&fetcher, FEED_AGE_SECONDS_MAX).records(&ids)?;
        if records.failed > 0 {
            self.warn(&format!("{} CVE records could not be had ({})", records.failed, records.error));
        }
        Ok(records.read + records.absent + records.failed > 0)
    }

    fn updater<'u>(&'u self, fetcher: &'u Fetcher, age_seconds_max: i64) -> Updater<'u> {
        Updater {
            store: self.store.as_ref(),
            clock: &self.clock,
            progress: self.progress(),
            process: self.process(),
            fetcher,
            limits: limpid_feeds::Limits::default(),
            age_seconds_max,
            threads: UPDATE_THREADS,
        }
    }
}

/// What became of a document, in few words.
fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Changed(stats, _) => {
            format!("{} new, {} gone, {} as before", stats.added, stats.removed, stats.unchanged)
        }
        Outcome::Scored(scores, _) => format!("{scores} scores of a new day"),
        Outcome::Unchanged => "nothing".to_owned(),
        Outcome::Failed(_) => "nothing, since it failed".to_owned(),
    }
}

/// Whether a document speaks for a release.
fn needs(release: &str, key: &FeedKey) -> bool {
    limpid_feeds::feeds_for(release).any(|feed| {
        feed.name() == key.feed
            && feed.documents(release).iter().any(|document| document.name == key.document)
    })
}

/// Whether the feed speaks of vulnerabilities themselves.
fn is_enrichment(feed: &str) -> bool {
    limpid_feeds::feed_named(feed).is_some_and(|feed| feed.enriches())
        || limpid_feeds::score_feed_named(feed).is_some()
}
