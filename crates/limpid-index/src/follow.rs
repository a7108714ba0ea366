//! Feeds that publish an archive, and then what changed since, one document at a time.
//!
//! The first time the archive is read whole; then, and every time after, the lists of changes are followed from
//! where they were left: [`FeedState::date`] is that mark. The two are updates of their own. The mark is set when
//! the lists were followed to their end: an update that was cut begins with the archive again, since a document
//! may have changed while the archive was being made. A single document that is damaged or gone is counted, keeps
//! what its last form said, and does not hold up the others.

use std::collections::BTreeMap;
use std::io::Read as _;

use jiff::Timestamp;
use limpid_feeds::{ChangeLists, Document, Feed, FeedError, Fetched, ParseSummary, Plan, Pointer};
use limpid_store::{FeedKey, FeedOutcome, FeedState, UpdateStats, Validators};

use crate::update::{Counting, Failure, Outcome, Updater, stored};

/// With more changes than this the archive, which is made anew every day or so, is the cheaper way.
const CHANGES_MAX: usize = 5_000;
/// Bytes of a list. Red Hat's have some five megabytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// A document whose changes are followed.
pub(crate) struct Following<'a> {
    pub(crate) updater: &'a Updater<'a>,
    pub(crate) feed: &'a dyn Feed,
    pub(crate) document: &'a Document,
    pub(crate) key: &'a FeedKey,
    pub(crate) name: &'a str,
}

impl Following<'_> {
    /// Follows the feed to its newest state.
    pub(crate) fn follow(&self, known: Option<&FeedState>) -> Result<Outcome, Failure> {
        let mark = |state: &FeedState| state.date.parse::<Timestamp>().ok();
        let followed = match known.and_then(mark) {
            Some(since) => {
                let size_bytes = known.map_or(0, |state| state.size_bytes);
                self.follow_lists(Some(since), known, &BTreeMap::new(), size_bytes, CHANGES_MAX)?
            }
            None => None,
        };
        if let Some(outcome) = followed {
            return Ok(outcome);
        }
        let (mut stats, mut summary, dates, size_bytes) = self.archive()?;
        let newest =
            dates.values().filter_map(|date| date.parse().ok()).filter(|date| *date <= self.now()).max();
        let followed = self.follow_lists(newest, None, &dates, size_bytes, usize::MAX)?;
        if let Some(Outcome::Changed(later, of_changes)) = followed {
            stats.revision = later.revision;
            stats.added += later.added;
            stats.removed += later.removed;
            stats.details_changed += later.details_changed;
            stats.unchanged = stats.unchanged.min(later.unchanged);
            summary.join(of_changes);
        }
        Ok(Outcome::Changed(stats, summary))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.updater.clock.now()).unwrap_or(Timestamp::MAX)
    }

    /// Reads the archive in place of all that was there, and says of when each of its documents is, and how many bytes it
    /// has.
    fn archive(&self) -> Result<(UpdateStats, ParseSummary, BTreeMap<String, String>, u64), Failure> {
        let url = self.updater.follow_pointers(&[Pointer::ArchiveName], &self.document.url)?;
        let url = url.unwrap_or_else(|| self.document.url.clone());
        let Fetched::Body { reader, .. } = self.updater.fetch(&url, None)? else {
            return Err(Failure::Feed(format!("{url} was answered as if it were known")));
        };
        let mut input = Counting { inner: reader, bytes: 0 };
        let mut update = self.updater.store.begin_update(self.key)?;
        let mut dates = BTreeMap::new();
        let mut advisories = 0;
        let mut refused = None;
        let parsed = self.feed.parse(self.document, &mut input, &self.updater.limits, &mut |advisory| {
            dates.insert(advisory.id.clone(), advisory.details.modified.clone());
            advisories += 1_u64;
            if advisories.is_multiple_of(1000) {
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
        let summary = parsed.map_err(Failure::parse)?;
        // Without a mark: until the lists were followed too, the next update begins with the archive.
        let outcome = self.outcome(&url, Validators::default(), "", input.bytes);
        Ok((update.commit(&outcome)?, summary, dates, input.bytes))
    }

    /// Reads the documents that the lists name; `None` if there are more than `changes_max`.
    fn follow_lists(
        &self,
        since: Option<Timestamp>,
        known: Option<&FeedState>,
        dates: &BTreeMap<String, String>,
        size_bytes: u64,
        changes_max: usize,
    ) -> Result<Option<Outcome>, Failure> {
        let lists = ChangeLists::beside(self.document);
        let url = lists.changes_url();
        let content = self.updater.fetch_small(&lists.deletions_url(), LIST_BYTES_MAX)?;
        let deletions =
            ChangeLists::read(&lists.deletions_url(), &mut content.as_slice()).map_err(Failure::parse)?;
        // A deletion that is newer than the mark needs the list of changes, changed or not: it may name the
        // same document with a later time.
        let is_news = deletions.iter().any(|row| since.is_none_or(|since| row.time > since));
        let known = known.filter(|state| state.url == url && !is_news);
        let (reader, validators) = match self.updater.fetch(&url, known)? {
            Fetched::NotModified => {
                self.updater.store.feed_unchanged(self.key, self.updater.clock.now())?;
                return Ok(Some(Outcome::Unchanged));
            }
            Fetched::Body { reader, validators, .. } => (reader, validators),
        };
        let changes = ChangeLists::read(&url, &mut reader.take(LIST_BYTES_MAX)).map_err(Failure::parse)?;
        let plan = lists.plan(&changes, &deletions, since, dates, self.now());
        if plan.fetch.len() > changes_max {
            return Ok(None);
        }
        let outcome = self.outcome(&url, stored(validators), &plan.until, size_bytes);
        self.read_changed(&plan, &outcome).map(Some)
    }

    fn read_changed(&self, plan: &Plan, outcome: &FeedOutcome) -> Result<Outcome, Failure> {
        let mut update = self.updater.store.begin_update(self.key)?;
        update.keep_others();
        for id in &plan.dropped {
            update.drop_id(id)?;
        }
        let mut all = ParseSummary::default();
        for (number, (document, id)) in (1..).zip(&plan.fetch) {
            self.updater.progress.feed_advances(self.name, number);
            let mut reader = match self.updater.fetch(&document.url, None) {
                Ok(Fetched::Body { reader, .. }) => reader,
                Ok(Fetched::NotModified) | Err(Failure::Absent(_)) => {
                    all.skip("document is listed and not there");
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let mut advisories = Vec::new();
            let parsed = self.feed.parse(document, &mut reader, &self.updater.limits, &mut |advisory| {
                advisories.push(advisory);
                Ok(())
            });
            match parsed {
                Ok(summary) => all.join(summary),
                Err(error @ FeedError::Read { .. }) => return Err(Failure::parse(error)),
                Err(_) => {
                    all.skip("document that changed could not be read");
                    continue;
                }
            }
            // What the new form of the document does not say any more is gone.
            update.drop_id(id)?;
            for advisory in advisories {
                update.add(advisory)?;
            }
        }
        plan.until.clone_into(&mut all.date);
        Ok(Outcome::Changed(update.commit(outcome)?, all))
    }

    fn outcome(&self, url: &str, validators: Validators, date: &str, size_bytes: u64) -> FeedOutcome {
        FeedOutcome {
            url: url.to_owned(),
            parser_version: self.feed.parser_version(),
            validators,
            date: date.to_owned(),
            size_bytes,
            now: self.updater.clock.now(),
        }
    }
}
