//! What all feeds together say of the vulnerabilities of a report, and which severity counts.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Rating, Severity, Verdict, Vulnerability};
use limpid_store::{Knowledge, Store};

use crate::Error;

/// Links that are kept of one vulnerability: some advisories list hundreds.
const LINKS_MAX: usize = 100;

/// Everything known of the named vulnerabilities at a revision, sorted by id.
pub(crate) fn vulnerabilities(
    store: &dyn Store,
    ids: &BTreeSet<&str>,
    at: u64,
) -> Result<Vec<Vulnerability>, Error> {
    let ids: Vec<&str> = ids.iter().copied().collect();
    let mut knowledge = store.knowledge(&ids, at)?;
    let all = ids.into_iter().map(|id| unite(id, knowledge.remove(id).unwrap_or_default()));
    Ok(all.collect())
}

fn unite(id: &str, knowledge: Vec<Knowledge>) -> Vulnerability {
    let ratings = limpid_match::ratings(knowledge.iter().map(|known| (known.feed.as_str(), &known.details)));
    let mut united = Vulnerability { id: id.to_owned(), ratings, ..Vulnerability::default() };
    let (mut aliases, mut links, mut weaknesses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for Knowledge { feed, advisory, details } in knowledge {
        aliases.insert(advisory);
        aliases.extend(details.aliases);
        links.extend(details.links);
        weaknesses.extend(details.weaknesses);
        united.cvss.extend(details.cvss.into_iter().map(|mut cvss| {
            cvss.source = limpid_match::authority(&feed, &cvss.source);
            cvss
        }));
        if united.description.is_empty() {
            united.description = details.description;
        }
        if united.exploited.is_none() {
            united.exploited = details.exploited;
        }
        let is_earlier = united.published.is_empty() || details.published < united.published;
        if !details.published.is_empty() && is_earlier {
            united.published = details.published;
        }
        united.modified = united.modified.max(details.modified);
    }
    aliases.remove(id);
    united.aliases = aliases.into_iter().collect();
    united.links = links.into_iter().take(LINKS_MAX).collect();
    united.weaknesses = weaknesses.into_iter().collect();
    united.cvss.sort();
    united.cvss.dedup();
    united
}

/// The severity that counts for a finding, and whose word it is: the operator's, then what the verdict's own
/// source says of this package, then the best of the vulnerability's ratings.
pub(crate) fn severity(verdict: &Verdict, vulnerability: &Vulnerability) -> (Severity, String) {
    let of_package = (verdict.severity != Severity::Unknown).then(|| Rating {
        source: verdict.feed.clone(),
        severity: verdict.severity,
        word: verdict.severity_word.clone(),
        score_tenths: None,
    });
    let best = limpid_match::best_rating(of_package.iter().chain(&vulnerability.ratings));
    best.map_or_else(Default::default, |rating| (rating.severity, rating.source.clone()))
}

/// The position of each vulnerability by its id.
pub(crate) fn positions(vulnerabilities: &[Vulnerability]) -> BTreeMap<&str, usize> {
    vulnerabilities.iter().enumerate().map(|(position, known)| (known.id.as_str(), position)).collect()
}
