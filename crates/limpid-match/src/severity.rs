//! Which severity counts when several sources name one.
//!
//! The order, first that says something:
//!
//! 1. the operator's own word (their own advisories; `Defcon1` comes from nowhere else),
//! 2. the distribution's own word: it knows how the package is built and used,
//! 3. a CVSS vector that the distribution gives,
//! 4. CISA's CVSS,
//! 5. CVSS by the CVE numbering authority, or by another that NVD passes on,
//! 6. NVD's CVSS,
//! 7. CVSS by anybody else, such as another distribution. CVE records are fetched before it comes to that.
//!
//! Within one source version 4.0 comes before 3.1, 3.0 and 2.0, and of the same version the higher score. A
//! word that names no severity ("not yet assigned") does not count as one; nothing is made up for it. All
//! that others say is kept beside.

use std::cmp::Reverse;

use limpid_model::{AdvisoryDetails, Rated, Severity};

use crate::cvss::{CvssVersion, base_score};

/// The feed of the operator's own advisories.
pub const OPERATOR_FEED: &str = "local";
const CVE_FEED: &str = "cve";
const NVD_FEED: &str = "nvd";
const CISA: &str = "CISA-ADP";

/// What the verdict's own feed says of the severity, for this package and release.
#[derive(Debug, Clone, Copy)]
pub struct OwnWord<'a> {
    /// The feed.
    pub feed: &'a str,
    /// Its word, normalised.
    pub severity: Severity,
    /// Its word.
    pub word: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Operator,
    Word,
    OwnVector,
    Cisa,
    NumberingAuthority,
    Nvd,
    Other,
}

/// The severity that counts, and what else is said, in the order in which it would count.
///
/// `details` are what feeds say of the vulnerability as a whole, each with its feed's name. If nobody says
/// anything, what counts is [`Severity::Unknown`] with the own feed's word.
pub fn severity(own: OwnWord<'_>, details: &[(&str, &AdvisoryDetails)]) -> (Rated, Vec<Rated>) {
    let mut ranked: Vec<(Rank, Option<CvssVersion>, Rated)> = Vec::new();
    let mut word = |rank, feed: &str, severity: Severity, word: &str| {
        if severity != Severity::Unknown {
            let rated =
                Rated { severity, source: feed.to_owned(), word: word.to_owned(), ..Rated::default() };
            ranked.push((rank, None, rated));
        }
    };
    word(
        if own.feed == OPERATOR_FEED { Rank::Operator } else { Rank::Word },
        own.feed,
        own.severity,
        own.word,
    );
    // Of the operator's words the one on the package counts before those on the vulnerability.
    let is_rated_by_operator = own.feed == OPERATOR_FEED && own.severity != Severity::Unknown;
    for (feed, said) in details.iter().filter(|(feed, _)| *feed == OPERATOR_FEED && !is_rated_by_operator) {
        word(Rank::Operator, feed, said.severity, &said.severity_word);
    }
    for (feed, said) in details {
        for cvss in &said.cvss {
            let Some((version, score)) = base_score(&cvss.vector) else { continue };
            let source = if cvss.source.is_empty() { feed } else { cvss.source.as_str() };
            let rated = Rated {
                severity: version.severity(score),
                source: source.to_owned(),
                word: String::new(),
                score: Some(score),
                vector: cvss.vector.clone(),
            };
            ranked.push((rank(own.feed, feed, source), Some(version), rated));
        }
    }
    // Of one rank the newer version first, of one version the higher score, of words the worst.
    ranked.sort_by(|a, b| {
        let key = |(rank, version, rated): &(Rank, Option<CvssVersion>, Rated)| {
            (*rank, Reverse(*version), Reverse(rated.score), Reverse(rated.severity))
        };
        key(a).cmp(&key(b)).then_with(|| a.2.cmp(&b.2))
    });
    let is_rated = !ranked.is_empty();
    let mut rated = ranked.into_iter().map(|(.., rated)| rated).chain(words_beside(own.feed, details));
    let counting = if is_rated { rated.next() } else { None }.unwrap_or_else(|| Rated {
        source: if own.word.is_empty() { String::new() } else { own.feed.to_owned() },
        word: own.word.to_owned(),
        ..Rated::default()
    });
    let mut others: Vec<Rated> = Vec::new();
    for other in rated {
        if other != counting && !others.contains(&other) {
            others.push(other);
        }
    }
    (counting, others)
}

/// The words of feeds that do not speak for the package: another distribution's word is worth reading and never
/// counts.
fn words_beside<'a>(
    own_feed: &'a str,
    details: &'a [(&str, &AdvisoryDetails)],
) -> impl Iterator<Item = Rated> + 'a {
    let others = details.iter().filter(move |(feed, said)| {
        *feed != own_feed && *feed != OPERATOR_FEED && said.severity != Severity::Unknown
    });
    others.map(|(feed, said)| Rated {
        severity: said.severity,
        source: (*feed).to_owned(),
        word: said.severity_word.clone(),
        ..Rated::default()
    })
}

fn rank(own_feed: &str, feed: &str, source: &str) -> Rank {
    match (feed, source) {
        (OPERATOR_FEED, _) => Rank::Operator,
        _ if feed == own_feed => Rank::OwnVector,
        (_, CISA) => Rank::Cisa,
        (_, NVD_FEED) => Rank::Nvd,
        (CVE_FEED | NVD_FEED, _) => Rank::NumberingAuthority,
        _ => Rank::Other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use limpid_model::Cvss;

    const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    const HIGH: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N";
    const MEDIUM_4: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:L/VI:L/VA:L/SC:N/SI:N/SA:N";
    const HIGH_2: &str = "AV:N/AC:L/Au:N/C:C/I:C/A:C";

    fn details(vectors: &[(&str, &str)]) -> AdvisoryDetails {
        let cvss = vectors.iter();
        let cvss = cvss
            .map(|(source, vector)| Cvss { source: (*source).into(), vector: (*vector).into() })
            .collect();
        AdvisoryDetails { cvss, ..AdvisoryDetails::default() }
    }

    fn own(severity: Severity, word: &'static str) -> OwnWord<'static> {
        OwnWord { feed: "debian-tracker", severity, word }
    }

    #[test]
    fn the_first_source_in_the_order_counts_and_the_others_stand_beside() {
        let cve = details(&[("acme", CRITICAL), ("CISA-ADP", HIGH)]);
        let nvd = details(&[("nvd", MEDIUM_4), ("acme", CRITICAL)]);
        let all = [("nvd", &nvd), ("cve", &cve)];
        let (counting, others) = severity(own(Severity::Low, "low"), &all);
        assert_eq!(
            (counting.severity, counting.source.as_str(), counting.word.as_str()),
            (Severity::Low, "debian-tracker", "low")
        );
        let sources: Vec<_> = others.iter().map(|rated| (rated.source.as_str(), rated.severity)).collect();
        assert_eq!(
            sources,
            [("CISA-ADP", Severity::High), ("acme", Severity::Critical), ("nvd", Severity::Medium)]
        );
        let (counting, others) = severity(own(Severity::Unknown, "not yet assigned"), &all);
        assert_eq!(
            (counting.source.as_str(), counting.score.unwrap().to_string()),
            ("CISA-ADP", "7.5".to_owned())
        );
        assert_eq!(others.len(), 2);
        let (counting, _) = severity(own(Severity::Unknown, ""), &[("nvd", &nvd)]);
        assert_eq!((counting.source.as_str(), counting.severity), ("acme", Severity::Critical));
    }

    #[test]
    fn another_distributions_word_stands_beside_and_never_counts() {
        let ubuntu = AdvisoryDetails {
            severity: Severity::High,
            severity_word: "high".to_owned(),
            ..AdvisoryDetails::default()
        };
        let (counting, others) = severity(own(Severity::Unknown, ""), &[("ubuntu", &ubuntu)]);
        assert_eq!(counting.severity, Severity::Unknown);
        assert_eq!((others[0].source.as_str(), others[0].severity), ("ubuntu", Severity::High));
    }

    #[test]
    fn within_a_source_the_newest_version_counts_and_then_the_higher_score() {
        let nvd = details(&[("nvd", HIGH_2), ("nvd", MEDIUM_4), ("nvd", CRITICAL), ("nvd", HIGH)]);
        let (counting, others) = severity(own(Severity::Unknown, ""), &[("nvd", &nvd)]);
        assert_eq!(counting.vector, MEDIUM_4);
        assert_eq!(
            others.iter().map(|rated| rated.vector.as_str()).collect::<Vec<_>>(),
            [CRITICAL, HIGH, HIGH_2]
        );
    }

    #[test]
    fn the_operator_comes_first_and_their_own_feed_too() {
        let mut local = AdvisoryDetails { severity: Severity::Defcon1, ..AdvisoryDetails::default() };
        local.severity_word = "Defcon1".to_owned();
        let cve = details(&[("CISA-ADP", HIGH)]);
        let all = [("cve", &cve), (OPERATOR_FEED, &local)];
        assert_eq!(severity(own(Severity::Critical, "critical"), &all).0.severity, Severity::Defcon1);
        // A word on the vulnerability holds where the operator's word on the package names no severity.
        let silent = OwnWord { feed: OPERATOR_FEED, severity: Severity::Unknown, word: "" };
        assert_eq!(severity(silent, &all).0.severity, Severity::Defcon1);
        let milder = AdvisoryDetails { severity: Severity::Low, ..AdvisoryDetails::default() };
        let several = [(OPERATOR_FEED, &milder), (OPERATOR_FEED, &local)];
        assert_eq!(severity(silent, &several).0.severity, Severity::Defcon1);
        let word = OwnWord { feed: OPERATOR_FEED, severity: Severity::Low, word: "low" };
        assert_eq!(severity(word, &all).0.severity, Severity::Low);
        let (counting, others) = severity(word, &all[..1]);
        assert_eq!((counting.severity, others.len()), (Severity::Low, 1));
    }

    #[test]
    fn a_distributions_own_vector_comes_before_others_and_nothing_is_made_up() {
        let own_details = details(&[("", MEDIUM_4)]);
        let cve = details(&[("CISA-ADP", CRITICAL), ("acme", "CVSS:3.1/AV:N")]);
        let all = [("cve", &cve), ("debian-tracker", &own_details)];
        let (counting, others) = severity(own(Severity::Unknown, ""), &all);
        assert_eq!((counting.source.as_str(), others.len()), ("debian-tracker", 1));
        let (counting, others) = severity(own(Severity::Unknown, "not yet assigned"), &[]);
        assert_eq!(
            (counting.severity, counting.word.as_str(), others.len()),
            (Severity::Unknown, "not yet assigned", 0)
        );
    }
}
