//! CVE records fetched one by one, for vulnerabilities of which no source that is at hand names a severity.
//!
//! A scan of an Alpine image should not need the records of all CVEs to say how bad its dozen are. What is
//! fetched goes into a document of the feed of CVE records, beside its archive; that a CVE has no record is
//! remembered too.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use limpid_feeds::{CveRecords, Document, Feed as _, FetchError, Fetched};
use limpid_model::{Advisory, Report, Severity};
use limpid_store::{FeedKey, FeedOutcome};

use crate::update::take;
use crate::{Error, Updater};

/// Records that one report asks for at most: the images with the most findings have some hundred without a
/// severity.
const RECORDS_MAX: usize = 500;
/// Records that are asked for at once. They are small, and each costs a round trip.
const THREADS: usize = 8;
/// Bytes of one record. The largest have a megabyte.
const RECORD_BYTES_MAX: u64 = 4 << 20;
/// What was asked for is not asked for again for so long: most records change in their first days, or never.
const CHECK_SECONDS: i64 = 7 * 24 * 3600;
/// The document of the feed of CVE records that single ones go into.
pub(crate) const DOCUMENT: &str = "records";

/// What came of asking for single records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// Records that were read.
    pub read: usize,
    /// CVEs that have no record.
    pub absent: usize,
    /// CVEs that could not be asked for, and why the first of them could not; empty for none.
    pub failed: usize,
    /// See `failed`.
    pub error: String,
}

/// The vulnerabilities of a report of which nobody names a severity, or only another distribution: which distributions
/// the store knows must not decide how bad something is.
pub fn unrated(report: &Report) -> BTreeSet<String> {
    let unrated = report.findings.iter().filter(|finding| {
        let source = finding.rated.source.as_str();
        let is_of_other_distribution = source != finding.verdict.feed
            && source != limpid_feeds::LOCAL_FEED
            && limpid_feeds::feed_named(source).is_some_and(|feed| !feed.enriches());
        finding.rated.severity == Severity::Unknown || is_of_other_distribution
    });
    let known = unrated.filter_map(|finding| report.vulnerabilities.get(finding.vulnerability));
    known.map(|vulnerability| vulnerability.id.clone()).collect()
}

enum Answer {
    Record(Box<Advisory>),
    Absent,
    Failed(String),
}

impl Updater<'_> {
    /// Fetches the records of CVEs, but for those that were asked for of late. That some cannot be had is no
    /// error.
    pub fn records(&self, ids: &BTreeSet<String>) -> Result<Records, Error> {
        let key = FeedKey { feed: CveRecords.name().to_owned(), document: DOCUMENT.to_owned() };
        let wanted = self.wanted(ids, &key)?;
        if wanted.is_empty() {
            return Ok(Records::default());
        }
        let name = format!("{} {}", key.feed, key.document);
        self.progress.feed_begins(&name);
        let answers = self.answers(&wanted, &name);
        let records = self.keep(&key, answers)?;
        self.progress.feed_ends(
            &name,
            &format!("{} read, {} absent, {} failed", records.read, records.absent, records.failed),
        );
        Ok(records)
    }

    /// Which of the CVEs to ask for now.
    fn wanted(&self, ids: &BTreeSet<String>, key: &FeedKey) -> Result<Vec<String>, Error> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let state = self.store.feeds()?.into_iter().find(|state| state.key == *key);
        // Another parser may see in a record what the one before did not.
        let is_current = state.is_some_and(|state| state.parser_version == CveRecords.parser_version());
        let checks = if is_current { self.store.record_checks(&ids)? } else { Default::default() };
        let now = self.clock.now();
        let stale = |id: &&str| checks.get(*id).is_none_or(|checked| now - checked >= CHECK_SECONDS);
        let known = |id: &&str| !limpid_feeds::cve_record_urls(id).is_empty();
        Ok(ids.into_iter().filter(known).filter(stale).take(RECORDS_MAX).map(str::to_owned).collect())
    }

    fn answers(&self, wanted: &[String], name: &str) -> Vec<(String, Answer)> {
        let answers = Mutex::new(Vec::with_capacity(wanted.len()));
        let next = AtomicUsize::new(0);
        // Where the network itself fails, it would fail for every one of them.
        let is_broken = AtomicBool::new(false);
        let work = || {
            while !is_broken.load(Ordering::Relaxed) {
                let Some((position, id)) = take(&next, wanted) else { break };
                let answer = self.record(id, &is_broken);
                answers.lock().unwrap_or_else(PoisonError::into_inner).push((id.clone(), answer));
                self.progress.feed_advances(name, position as u64 + 1);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..THREADS.min(wanted.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.sort_by(|(a, _), (b, _)| a.cmp(b));
        answers
    }

    fn record(&self, id: &str, is_broken: &AtomicBool) -> Answer {
        for url in limpid_feeds::cve_record_urls(id) {
            match self.fetcher.fetch(&url, &limpid_feeds::Validators::default()) {
                Ok(Fetched::Body { reader, .. }) => {
                    let document = Document { name: id.to_owned(), url };
                    return match self.read_record(&document, reader) {
                        Ok(advisory) if advisory.id == id => Answer::Record(Box::new(advisory)),
                        Ok(advisory) => {
                            Answer::Failed(format!("{} is the record of {}", document.url, advisory.id))
                        }
                        Err(reason) => Answer::Failed(reason),
                    };
                }
                Ok(Fetched::NotModified) | Err(FetchError::NotFound { .. }) => {}
                Err(error) => {
                    if matches!(error, FetchError::Network { .. } | FetchError::Offline { .. }) {
                        is_broken.store(true, Ordering::Relaxed);
                    }
                    return Answer::Failed(error.to_string());
                }
            }
        }
        Answer::Absent
    }

    fn read_record(
        &self,
        document: &Document,
        reader: Box<dyn std::io::Read + Send>,
    ) -> Result<Advisory, String> {
        let mut found = None;
        let mut input = reader.take(RECORD_BYTES_MAX);
        let parsed = CveRecords.parse(document, &mut input, &self.limits, &mut |advisory| {
            found = Some(advisory);
            Ok(())
        });
        parsed.map_err(|error| error.to_string())?;
        found.ok_or_else(|| format!("{} holds no record", document.url))
    }

    fn keep(&self, key: &FeedKey, answers: Vec<(String, Answer)>) -> Result<Records, Error> {
        let mut records = Records::default();
        let mut asked = Vec::with_capacity(answers.len());
        let mut update = self.store.begin_update(key)?;
        update.keep_others();
        for (id, answer) in answers {
            match answer {
                Answer::Record(advisory) => {
                    update.add(*advisory)?;
                    records.read += 1;
                    asked.push(id);
                }
                Answer::Absent => {
                    records.absent += 1;
                    asked.push(id);
                }
                Answer::Failed(reason) => {
                    records.failed += 1;
                    if records.error.is_empty() {
                        records.error = reason;
                    }
                }
            }
        }
        let now = self.clock.now();
        if !asked.is_empty() {
            update.commit(&FeedOutcome {
                parser_version: CveRecords.parser_version(),
                now,
                ..FeedOutcome::default()
            })?;
            self.store.put_record_checks(&asked.iter().map(String::as_str).collect::<Vec<_>>(), now)?;
        }
        if records.failed > 0 {
            self.store.feed_failed(key, "", &records.error, now)?;
        }
        Ok(records)
    }
}
