//! What every feed offers, and the list of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Read};

use limpid_model::Advisory;

use crate::decode::decoded;
use crate::error::FeedError;
use crate::limits::Limits;
use crate::pointer::Pointer;
use crate::{
    AlmaLinux, AlpineSecdb, Amazon, CveRecords, DEBIAN_DLA, DEBIAN_DSA, DebianElts, DebianTracker, Kev,
    Local, Nvd, Oracle, RedHatVex, Rocky, UbuntuOsv,
};

/// All feeds, in the order in which they are shown.
pub static FEEDS: &[&dyn Feed] = &[
    &DebianTracker,
    &DEBIAN_DSA,
    &DEBIAN_DLA,
    &DebianElts,
    &UbuntuOsv,
    &AlpineSecdb,
    &RedHatVex,
    &AlmaLinux,
    &Rocky,
    &Oracle,
    &Amazon,
    &CveRecords,
    &Nvd,
    &Kev,
    &Local,
];

/// The feed of that name.
pub fn feed_named(name: &str) -> Option<&'static dyn Feed> {
    FEEDS.iter().copied().find(|feed| feed.name() == name)
}

/// The feeds that speak of a release, written as [`Context::release`](limpid_model::Context) writes it.
pub fn feeds_for(release: &str) -> impl Iterator<Item = &'static dyn Feed> {
    FEEDS.iter().copied().filter(move |feed| feed.covers(release))
}

/// One upstream source of advisories.
pub trait Feed: Send + Sync {
    /// Its name in reports, on the command line and in the store.
    fn name(&self) -> &'static str;

    /// Raised when the same bytes would give other advisories than before.
    fn parser_version(&self) -> u32;

    /// Whether it speaks of that release, written as [`Context::release`](limpid_model::Context) writes it.
    fn covers(&self, _release: &str) -> bool {
        false
    }

    /// What must be read to answer for that release; empty if it is not covered.
    fn documents(&self, release: &str) -> Vec<Document> {
        if self.covers(release) { self.all_documents() } else { Vec::new() }
    }

    /// Everything there is, for a server that takes it all.
    fn all_documents(&self) -> Vec<Document>;

    /// Everything there is in that year. A source that publishes by the year has one document more each
    /// January.
    fn documents_in(&self, _year: i16) -> Vec<Document> {
        self.all_documents()
    }

    /// Whether it speaks of vulnerabilities and not of packages: severities, weaknesses, exploitation. Such a
    /// feed covers no release, and its advisories affect nothing.
    fn enriches(&self) -> bool {
        false
    }

    /// Whether all its documents together are so small that a scan fetches them by the way.
    fn is_small(&self) -> bool {
        false
    }

    /// Where else the document is to be had when its own address fails.
    fn fallback(&self, _document: &Document) -> Option<Document> {
        None
    }

    /// A small document that names the SHA-256 of this one as it should be, decompressed. If it names the
    /// one that was read last, the large one is not asked for.
    fn checksum(&self, _document: &Document) -> Option<Document> {
        None
    }

    /// What such a document says, in lower case; `None` if it says none.
    fn read_checksum(&self, _bytes: &[u8]) -> Option<String> {
        None
    }

    /// A file that names further documents for the release, if there is one.
    fn catalog(&self, _release: &str) -> Option<Document> {
        None
    }

    /// The catalogs of all releases.
    fn all_catalogs(&self) -> Vec<Document> {
        Vec::new()
    }

    /// The documents that the content of a [catalog](Self::catalog) names.
    fn catalogued(&self, _catalog: &Document, _content: &[u8]) -> Result<Vec<Document>, FeedError> {
        Ok(Vec::new())
    }

    /// How the bytes of its documents are come by.
    fn layout(&self) -> Layout {
        Layout::Whole
    }

    /// Reads one document, compressed or not, and hands over its advisories one at a time.
    ///
    /// The same id may be handed over many times (once for each package, release or notice):
    /// whoever takes them joins them. On an error the advisories handed over so far should be dropped.
    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<ParseSummary, FeedError>;
}

/// How the bytes of a feed's documents are come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The document's address has the document.
    Whole,
    /// The document's address has the first of these files, and the last of them leads to the document.
    Behind(&'static [Pointer]),
    /// The document's address names an archive of records; beside it are [lists](crate::ChangeLists) of those
    /// that changed or went since, each of which is a document by itself.
    Changes,
}

/// Takes advisories. An error ends the parse.
pub type Sink<'a> = dyn FnMut(Advisory) -> Result<(), SinkError> + 'a;

/// Why a sink takes no more.
pub type SinkError = Box<dyn Error + Send + Sync>;

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Document {
    /// Its name within its feed (`tracker`, `v3.20/main`).
    pub name: String,
    /// Where upstream has it.
    pub url: String,
}

impl Document {
    pub(crate) fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self { name: name.into(), url: url.into() }
    }

    /// Its content, plain and bounded, whatever it came compressed with.
    pub(crate) fn decoded<'a>(
        &self,
        input: &'a mut dyn Read,
        limits: &Limits,
    ) -> Result<Box<dyn BufRead + 'a>, FeedError> {
        decoded(input, limits).map_err(|source| FeedError::Read { document: self.name.clone(), source })
    }
}

/// What a document held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParseSummary {
    /// Records that were met, whatever became of them.
    pub records: u64,
    /// Advisories handed over, an id counted as often as it came.
    pub advisories: u64,
    /// What they say of single packages in single releases.
    pub affected: u64,
    /// Records that were left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The date that the document gives itself (RFC 3339), empty for none.
    pub date: String,
    /// SHA-256 of the decompressed document in lower case, for a feed with a [`Feed::checksum`]; else empty.
    pub sha256: String,
}

impl ParseSummary {
    /// Adds another document's summary to this one's.
    pub fn join(&mut self, other: Self) {
        self.records += other.records;
        self.advisories += other.advisories;
        self.affected += other.affected;
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        if other.date > self.date {
            self.date = other.date;
        }
    }

    /// Counts a record that is left out.
    pub fn skip(&mut self, reason: &str) {
        if let Some(count) = self.skipped.get_mut(reason) {
            *count += 1;
        } else {
            self.skipped.insert(reason.to_owned(), 1);
        }
    }
}

/// The common part of every parse: counts, bounds, and hands over.
pub(crate) struct Emitter<'a, 'b> {
    pub(crate) document: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) summary: ParseSummary,
    sink: &'a mut Sink<'b>,
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub(crate) fn new(document: &'a Document, limits: &'a Limits, sink: &'a mut Sink<'b>) -> Self {
        Self { document: &document.name, limits, summary: ParseSummary::default(), sink }
    }

    /// Counts a record, whatever becomes of it.
    pub(crate) fn record(&mut self) -> Result<(), FeedError> {
        self.summary.records += 1;
        if self.summary.records > self.limits.records_max {
            return Err(self.too_large("records", self.limits.records_max));
        }
        Ok(())
    }

    pub(crate) fn skip(&mut self, reason: &str) {
        self.summary.skip(reason);
    }

    /// Hands over an advisory, if it keeps within bounds: one that does not is left out, or cut and counted.
    pub(crate) fn emit(&mut self, mut advisory: Advisory) -> Result<(), FeedError> {
        if let Some(reason) = self.limits.refusal(&advisory) {
            self.skip(reason);
            return Ok(());
        }
        for reason in self.limits.cut(&mut advisory.details) {
            self.skip(reason);
        }
        self.summary.advisories += 1;
        self.summary.affected += advisory.affected.len() as u64;
        (self.sink)(advisory).map_err(|source| FeedError::Sink { document: self.document.to_owned(), source })
    }

    /// Ends the parse. A document without a single advisory is not a feed without vulnerabilities.
    pub(crate) fn finish(self, may_be_empty: bool) -> Result<ParseSummary, FeedError> {
        if self.summary.advisories == 0 && !may_be_empty {
            return Err(FeedError::Empty { document: self.document.to_owned() });
        }
        Ok(self.summary)
    }

    pub(crate) fn malformed(&self, offset: u64, reason: impl Into<String>) -> FeedError {
        FeedError::Malformed { document: self.document.to_owned(), offset, reason: reason.into() }
    }

    pub(crate) fn too_large(&self, what: &'static str, limit: u64) -> FeedError {
        FeedError::TooLarge { document: self.document.to_owned(), what, limit }
    }
}
