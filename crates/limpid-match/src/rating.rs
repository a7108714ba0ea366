//! Which of several severities counts.
//!
//! The order, first to last: the operator's own word; the distribution's word on its own package; a CVSS score
//! by CISA's enrichment of the CVE record, by the record's own authority, by NVD. A source that names no severity is
//! passed over: Debian's "not yet assigned" is no severity, and Alpine names none.

use limpid_model::{AdvisoryDetails, Rating, Severity};

use crate::OWN_FEED;

/// The name of an authority: a feed, and who in it gave a score, where that is not the feed itself.
pub fn authority(feed: &str, source: &str) -> String {
    if source.is_empty() || source == feed { feed.to_owned() } else { format!("{feed} {source}") }
}

/// Every severity that feeds give a vulnerability, the one that counts first.
pub fn ratings<'a>(said: impl Iterator<Item = (&'a str, &'a AdvisoryDetails)>) -> Vec<Rating> {
    let mut ratings = Vec::new();
    for (feed, details) in said {
        if details.severity != Severity::Unknown {
            ratings.push(Rating {
                source: feed.to_owned(),
                severity: details.severity,
                word: details.severity_word.clone(),
                score_tenths: None,
            });
        }
    }
    ratings.sort_by(|a, b| (rank(a), &a.source).cmp(&(rank(b), &b.source)));
    ratings.dedup();
    ratings
}

/// The rating that counts; of equal standing the first.
pub fn best_rating<'a>(ratings: impl Iterator<Item = &'a Rating>) -> Option<&'a Rating> {
    ratings.min_by_key(|rating| rank(rating))
}

fn rank(rating: &Rating) -> u8 {
    match rating.source.as_str() {
        OWN_FEED => 0,
        "cve CISA-ADP" => 2,
        "nvd" => 4,
        source if source.starts_with("cve ") || source == "cve" => 3,
        source if source.starts_with("nvd ") => 5,
        _ => 1,
    }
}
