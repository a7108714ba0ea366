//! Which images have this vulnerability, what share, and what brought it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{AffectedFleet, AffectedImage, AffectedPackage, AffectedVersion, Package, Rated, Verdict};
use limpid_store::{OccurrenceId, Store};

use super::candidates::{Occurrences, candidates, siblings};
use super::pages::{self, Pages, pin, question};
use super::placed::Placed;
use super::scope::{Population, Scope, VerdictFilter};
use crate::Error;
use crate::verdicts::verdicts;
use crate::vulnerabilities::Vulnerabilities;

/// Package versions that an answer lists; the rest it counts.
const VERSIONS_LISTED: usize = 100;

/// The verdicts by which each occurrence is affected, with the severities that count.
type Hits = BTreeMap<OccurrenceId, Vec<(Verdict, Rated)>>;

/// An answer, and the list of its images.
#[derive(Debug)]
pub struct AffectedAnswer {
    /// All but the images.
    pub head: AffectedFleet,
    /// What is left of the list.
    pub pages: Pages,
    packages: BTreeMap<OccurrenceId, Package>,
    hits: Hits,
    placed: Option<Placed>,
}

/// Which of the images that `scope` names have the vulnerability with this id or alias, by verdicts that `filter` lets
/// through. The list of images goes on after a cursor. No image is read before it is asked for.
pub fn affected(
    store: &dyn Store,
    id: &str,
    scope: &Scope<'_>,
    filter: &VerdictFilter,
    after: Option<&str>,
) -> Result<AffectedAnswer, Error> {
    let question = question("affected", scope, &(id, filter));
    let mut scope = scope.clone();
    let (cursor, selected) = pin(store, &mut scope, &question, after)?;
    let at = scope.moment.revision;
    let records = store.advisories(id, at)?;
    let ids: BTreeSet<String> =
        records.iter().map(|record| record.advisory.vulnerability().to_owned()).collect();
    let named: BTreeSet<(&str, &str)> = records
        .iter()
        .flat_map(|record| &record.advisory.affected)
        .map(|affected| (affected.package.as_str(), affected.release.as_str()))
        .collect();
    let candidates = candidates(store, &named)?;
    let hits = hits(store, &candidates, &ids, filter, at)?;
    let population = Population::of(store, &scope, selected)?;
    let holding = store.holding(&hits.keys().copied().collect::<Vec<_>>())?.intersection(&population.images);
    let mut basis = population.basis(store, &holding)?;
    basis.revision = cursor.revision;
    let (packages, packages_left_out) = versions(store, &candidates, &hits, &population.images)?;
    let packages_of = hits.keys().filter_map(|id| Some((*id, candidates.get(id)?.package.clone())));
    let packages_of: BTreeMap<OccurrenceId, Package> = packages_of.collect();
    let pages = Pages::new(holding, cursor, question);
    let head = AffectedFleet {
        id: id.to_owned(),
        is_known: !records.is_empty(),
        basis,
        affected: pages.len(),
        packages,
        packages_left_out,
    };
    Ok(AffectedAnswer { head, pages, packages: packages_of, hits, placed: None })
}

impl AffectedAnswer {
    /// The next images, at most `limit` and a bounded number; none if the list is at its end.
    pub fn take(&mut self, store: &dyn Store, limit: usize) -> Result<Vec<AffectedImage>, Error> {
        if self.placed.is_none() {
            self.placed = Some(Placed::new(siblings(store, self.packages.values())?));
        }
        let Some(placed) = &mut self.placed else { return Ok(Vec::new()) };
        loop {
            let summaries = self.pages.take(store, limit)?;
            if summaries.is_empty() {
                return Ok(Vec::new());
            }
            let mut images = Vec::with_capacity(summaries.len());
            for (summary, layers) in placed.layers(store, summaries)? {
                let mut packages = Vec::new();
                for (id, layer) in layers {
                    let (Some(package), Some(hits)) = (self.packages.get(&id), self.hits.get(&id)) else {
                        continue;
                    };
                    packages.extend(hits.iter().map(|(verdict, rated)| AffectedPackage {
                        package: package.clone(),
                        verdict: verdict.clone(),
                        rated: rated.clone(),
                        layer: layer.clone(),
                    }));
                }
                packages.sort();
                images.push(AffectedImage { image: pages::image(summary), packages });
            }
            // All of a page may have been forgotten since.
            if !images.is_empty() {
                return Ok(images);
            }
        }
    }
}

/// The verdicts on candidates that are on one of the vulnerabilities and count.
fn hits(
    store: &dyn Store,
    candidates: &Occurrences,
    ids: &BTreeSet<String>,
    filter: &VerdictFilter,
    at: u64,
) -> Result<Hits, Error> {
    let named: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let vulnerabilities = Vulnerabilities::new(store, &named, at)?;
    let mut hits = Hits::new();
    for (id, verdicts) in verdicts(store, candidates, at)? {
        for verdict in verdicts.into_iter().filter(|verdict| ids.contains(&verdict.vulnerability)) {
            if !filter.lets_through(&verdict) {
                continue;
            }
            let rated = vulnerabilities.rate(&verdict);
            if filter.lets_rated_through(&verdict, &rated) {
                hits.entry(id).or_default().push((verdict, rated));
            }
        }
    }
    Ok(hits)
}

/// The package versions behind the answer, the most widespread first, and how many more there are.
fn versions(
    store: &dyn Store,
    candidates: &Occurrences,
    hits: &Hits,
    asked: &limpid_store::ImageSet,
) -> Result<(Vec<AffectedVersion>, u64), Error> {
    let mut groups: BTreeMap<(&Package, &str, &Verdict), (Vec<OccurrenceId>, &Rated)> = BTreeMap::new();
    for (id, hits) in hits {
        let Some(occurrence) = candidates.get(id) else { continue };
        for (verdict, rated) in hits {
            let key = (&occurrence.package, occurrence.context.release.as_str(), verdict);
            groups.entry(key).or_insert_with(|| (Vec::new(), rated)).0.push(*id);
        }
    }
    let occurrences: Vec<Vec<OccurrenceId>> = groups.values().map(|(ids, _)| ids.clone()).collect();
    // Whoever holds one of them is affected, so counting within all that was asked about comes to the same, and is quicker
    // where that is every image.
    let counts = store.counts(&occurrences, Some(asked))?;
    let versions = groups.into_iter().zip(counts).filter(|(_, images)| *images > 0);
    let mut versions: Vec<AffectedVersion> = versions
        .map(|(((package, release, verdict), (_, rated)), images)| AffectedVersion {
            package: package.clone(),
            release: release.to_owned(),
            verdict: verdict.clone(),
            rated: rated.clone(),
            images,
        })
        .collect();
    // Sorted by name already, and the sort is stable.
    versions.sort_by_key(|version| std::cmp::Reverse(version.images));
    let left_out = versions.len().saturating_sub(VERSIONS_LISTED) as u64;
    versions.truncate(VERSIONS_LISTED);
    Ok((versions, left_out))
}
