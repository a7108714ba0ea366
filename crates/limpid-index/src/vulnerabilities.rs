//! What all feeds together say of the vulnerabilities of a report, and which severity counts.

use std::collections::{BTreeMap, BTreeSet};

use limpid_match::OwnWord;
use limpid_model::{AdvisoryDetails, Epss, Rated, Severity, Verdict, Vulnerability};
use limpid_store::{Knowledge, NEWEST, Store, VulnerabilityScore};

use crate::Error;

/// The feed of exploit prediction scores.
pub(crate) const EPSS_FEED: &str = "epss";
/// Links that are kept of one vulnerability: some advisories list hundreds.
const LINKS_MAX: usize = 100;

/// What feeds say of the vulnerabilities that a report names.
pub(crate) struct Vulnerabilities {
    by_id: BTreeMap<String, Vec<Knowledge>>,
    scores: BTreeMap<String, VulnerabilityScore>,
}

impl Vulnerabilities {
    /// Everything known of the named vulnerabilities at a revision.
    pub(crate) fn new(store: &dyn Store, ids: &BTreeSet<&str>, at: u64) -> Result<Self, Error> {
        let named: Vec<&str> = ids.iter().copied().collect();
        let mut by_id = store.knowledge(&named, at)?;
        // Of scores only the newest day's are kept: they say nothing of an earlier moment.
        let scores = if at == NEWEST { store.scores(EPSS_FEED, &named)? } else { BTreeMap::new() };
        for id in named {
            by_id.entry(id.to_owned()).or_default();
        }
        Ok(Self { by_id, scores })
    }

    /// The position of each vulnerability, by its id.
    pub(crate) fn positions(&self) -> BTreeMap<&str, usize> {
        self.by_id.keys().enumerate().map(|(position, id)| (id.as_str(), position)).collect()
    }

    /// The severity that counts for a verdict, and who says so.
    pub(crate) fn rate(&self, verdict: &Verdict) -> Rated {
        let known = self.by_id.get(&verdict.vulnerability).map(Vec::as_slice).unwrap_or_default();
        let own = OwnWord {
            feed: &verdict.severity_feed,
            severity: verdict.severity,
            word: &verdict.severity_word,
        };
        limpid_match::severity(own, &details(known)).0
    }

    /// The ids of those that are known to be exploited.
    pub(crate) fn exploited(&self) -> impl Iterator<Item = String> + '_ {
        let exploited = self
            .by_id
            .iter()
            .filter(|(_, known)| known.iter().any(|knowledge| knowledge.details.exploited.is_some()));
        exploited.map(|(id, _)| id.clone())
    }

    /// What is known of each, sorted by id.
    pub(crate) fn into_report(self) -> Vec<Vulnerability> {
        let Self { by_id, scores } = self;
        let all = by_id.into_iter().map(|(id, known)| {
            let epss = scores.get(&id).map(|score| Epss {
                score: score.probability_e5,
                percentile: score.percentile_e5.unwrap_or_default(),
            });
            Vulnerability { epss, ..unite(id, known) }
        });
        all.collect()
    }
}

fn details(known: &[Knowledge]) -> Vec<(&str, &AdvisoryDetails)> {
    known.iter().map(|known| (known.feed.as_str(), &known.details)).collect()
}

fn unite(id: String, knowledge: Vec<Knowledge>) -> Vulnerability {
    let nobody = OwnWord { feed: "", severity: Severity::Unknown, word: "" };
    let (first, others) = limpid_match::severity(nobody, &details(&knowledge));
    let ratings = std::iter::once(first).chain(others).filter(|rated| *rated != Rated::default()).collect();
    let mut united = Vulnerability { ratings, ..Vulnerability::default() };
    let (mut aliases, mut links, mut weaknesses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for Knowledge { feed, advisory, details } in knowledge {
        aliases.insert(advisory);
        aliases.extend(details.aliases);
        links.extend(details.links);
        weaknesses.extend(details.weaknesses);
        united.cvss.extend(details.cvss.into_iter().map(|mut cvss| {
            if cvss.source.is_empty() {
                cvss.source.clone_from(&feed);
            }
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
    aliases.remove(&id);
    united.id = id;
    united.aliases = aliases.into_iter().collect();
    united.links = links.into_iter().take(LINKS_MAX).collect();
    united.weaknesses = weaknesses.into_iter().collect();
    united.cvss.sort();
    united.cvss.dedup();
    united
}
