//! Scores of vulnerabilities that change daily: kept apart from advisories, outside revisions.

use std::io::Read;

use crate::Epss;
use crate::error::FeedError;
use crate::feed::{Document, SinkError};
use crate::limits::Limits;

/// All feeds of scores.
pub static SCORE_FEEDS: &[&dyn ScoreFeed] = &[&Epss];

/// The feed of scores of that name.
pub fn score_feed_named(name: &str) -> Option<&'static dyn ScoreFeed> {
    SCORE_FEEDS.iter().copied().find(|feed| feed.name() == name)
}

/// How likely a vulnerability is to be exploited in the next 30 days, in hundred-thousandths: the source gives
/// five decimals, and integers compare and store exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// Probability, 0 to 100,000.
    pub probability_e5: u32,
    /// Share of vulnerabilities with the same or a lower probability, 0 to 100,000; `None` if it is not said.
    pub percentile_e5: Option<u32>,
}

/// What a document of scores held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScoreSummary {
    /// Scores handed over.
    pub scores: u64,
    /// Lines that were left out.
    pub skipped: u64,
    /// The model that made them, empty if it is not said.
    pub model_version: String,
    /// The day they hold for (`YYYY-MM-DD` or RFC 3339), empty if it is not said.
    pub date: String,
}

/// Takes scores, each with its CVE id. An error ends the parse.
pub type ScoreSink<'a> = dyn FnMut(&str, Score) -> Result<(), SinkError> + 'a;

/// One upstream source of scores, all of them in one document.
pub trait ScoreFeed: Send + Sync {
    /// Its name in reports, on the command line and in the store.
    fn name(&self) -> &'static str;

    /// Raised when the same bytes would give other scores than before.
    fn parser_version(&self) -> u32;

    /// The document with the newest scores.
    fn document(&self) -> Document;

    /// Reads the document, compressed or not, and hands over its scores.
    fn parse(
        &self,
        document: &Document,
        input: &mut dyn Read,
        limits: &Limits,
        sink: &mut ScoreSink<'_>,
    ) -> Result<ScoreSummary, FeedError>;
}
