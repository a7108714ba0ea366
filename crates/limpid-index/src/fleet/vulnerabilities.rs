//! The most widespread vulnerabilities.
//!
//! How many images have a vulnerability takes a union over all occurrences that it affects, so it is not asked of all
//! vulnerabilities: the sum over the occurrences is a bound, and in the order of these bounds the first exact numbers
//! soon are above all bounds that follow (Fagin's threshold algorithm).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{PackageClass, Rated, Verdict, VerdictState, VulnerabilityShare, Widespread};
use limpid_store::{NEWEST, OccurrenceId, OccurrenceSet, Store};

use super::exposed::Exposed;
use super::scope::{Population, Scope, VerdictFilter};
use crate::Error;
use crate::vulnerabilities::{EPSS_FEED, Vulnerabilities};

/// Vulnerabilities whose exact numbers are asked for at a time.
const BATCH: usize = 128;
/// Vulnerabilities that are described at a time.
const SHARES: usize = 1000;
/// Vulnerabilities that one answer has at most: what is known of each is in memory.
pub const VULNERABILITIES_MAX: usize = 10_000;
/// Names of packages that are listed of one vulnerability: a kernel's has hundreds.
const PACKAGES_LISTED: usize = 20;

/// What is asked of vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WidespreadQuestion {
    /// Which verdicts count.
    pub verdicts: VerdictFilter,
    /// Only those that are known to be exploited.
    pub exploited: bool,
    /// Only those that are at least so likely to be exploited, in hundred-thousandths; 0 for any.
    pub epss_min_e5: u32,
    /// Count what is found in kernels and their headers too.
    pub kernels: bool,
    /// How many are wanted, at most [`VULNERABILITIES_MAX`].
    pub limit: usize,
}

/// The vulnerabilities that the most of the images that `scope` names have.
pub fn vulnerabilities(
    store: &dyn Store,
    scope: &Scope<'_>,
    question: &WidespreadQuestion,
) -> Result<Widespread, Error> {
    let population = Population::new(store, scope)?;
    let at = scope.moment.revision;
    let exposed = Exposed::new(store, at)?;
    let bounds = Bounds::new(store, &exposed.occurrences())?;
    let mut ranked: Vec<(u64, &str)> = Vec::with_capacity(exposed.sets.len());
    for (id, set) in &exposed.sets {
        ranked.push((set.iter().map(|occurrence| bounds.of(occurrence)).sum(), id));
    }
    let mut asking = Asking { store, at, question, exposed: &exposed, classes: HashMap::new() };
    asking.retain_likely(&mut ranked)?;
    ranked.sort_by_key(|(bound, id)| (Reverse(*bound), *id));
    let limit = question.limit.min(VULNERABILITIES_MAX);
    let mut best: Vec<(Reverse<u64>, &str, Vec<OccurrenceId>)> = Vec::new();
    // Enough at once that a second batch is seldom needed: the store answers about many as fast as about few.
    for batch in ranked.chunks(limit.max(BATCH)) {
        let (bound, least) = (batch.first().map_or(0, |(bound, _)| *bound), best.get(limit.wrapping_sub(1)));
        // Of equally widespread ones those with lower ids come first, so an equal bound must be looked at.
        if limit == 0 || least.is_some_and(|(Reverse(least), ..)| bound < *least) {
            break;
        }
        let ids: Vec<&str> = batch.iter().map(|(_, id)| *id).collect();
        let groups = asking.groups(&ids)?;
        let occurrences: Vec<Vec<OccurrenceId>> = groups.values().cloned().collect();
        let counts = store.counts(&occurrences, Some(&population.images))?;
        let counted = groups.into_iter().zip(counts).filter(|(_, images)| *images > 0);
        best.extend(counted.map(|((id, group), images)| (Reverse(images), id, group)));
        best.sort();
        best.truncate(limit);
    }
    let vulnerabilities = asking.shares(best, &population)?;
    Ok(Widespread { basis: population.basis(store, &limpid_store::ImageSet::default())?, vulnerabilities })
}

/// How many images hold each occurrence, or more.
pub(crate) struct Bounds {
    // By the upper bits of ids, and then by the lower: ids are dense.
    blocks: HashMap<i64, Vec<u64>>,
}

const BLOCK_BITS: u32 = 12;

impl Bounds {
    pub(crate) fn new(store: &dyn Store, occurrences: &OccurrenceSet) -> Result<Self, Error> {
        let ids: Vec<OccurrenceId> = occurrences.iter().collect();
        let mut blocks: HashMap<i64, Vec<u64>> = HashMap::new();
        for (id, bound) in ids.iter().zip(store.bounds(&ids)?) {
            let block = blocks.entry(id.0 >> BLOCK_BITS).or_insert_with(|| vec![0; 1 << BLOCK_BITS]);
            if let Some(slot) = block.get_mut(lower(*id)) {
                *slot = bound;
            }
        }
        Ok(Self { blocks })
    }

    pub(crate) fn of(&self, id: OccurrenceId) -> u64 {
        let block = self.blocks.get(&(id.0 >> BLOCK_BITS));
        block.and_then(|block| block.get(lower(id))).copied().unwrap_or(0)
    }
}

fn lower(id: OccurrenceId) -> usize {
    usize::try_from(id.0 & ((1 << BLOCK_BITS) - 1)).unwrap_or(0)
}

/// The verdicts of occurrences on vulnerabilities, with the severities that count.
type RatedVerdicts<'a> = BTreeMap<(&'a str, OccurrenceId), (Verdict, Rated)>;

struct Asking<'a> {
    store: &'a dyn Store,
    at: u64,
    question: &'a WidespreadQuestion,
    exposed: &'a Exposed,
    classes: HashMap<OccurrenceId, PackageClass>,
}

impl<'a> Asking<'a> {
    /// Keeps the vulnerabilities that are likely enough to be exploited, or known to be.
    fn retain_likely(&self, ranked: &mut Vec<(u64, &'a str)>) -> Result<(), Error> {
        let question = self.question;
        if question.epss_min_e5 > 0 {
            let ids: Vec<&str> = ranked.iter().map(|(_, id)| *id).collect();
            // Of scores only the newest day's are kept: they say nothing of an earlier moment.
            let scores = match self.at {
                NEWEST => self.store.scores(EPSS_FEED, &ids)?,
                _ => BTreeMap::new(),
            };
            let is_likely =
                |id: &str| scores.get(id).is_some_and(|score| score.probability_e5 >= question.epss_min_e5);
            ranked.retain(|(_, id)| is_likely(id));
        }
        if question.exploited {
            let mut exploited = BTreeSet::new();
            for batch in ranked.chunks(BATCH) {
                let ids: BTreeSet<&str> = batch.iter().map(|(_, id)| *id).collect();
                exploited.extend(Vulnerabilities::new(self.store, &ids, self.at)?.exploited());
            }
            ranked.retain(|(_, id)| exploited.contains(*id));
        }
        Ok(())
    }

    /// The occurrences of each vulnerability that count.
    fn groups(&mut self, ids: &[&'a str]) -> Result<BTreeMap<&'a str, Vec<OccurrenceId>>, Error> {
        let mut groups: BTreeMap<&str, Vec<OccurrenceId>> = BTreeMap::new();
        for id in ids {
            let set = self.exposed.sets.get(*id);
            groups.insert(id, set.into_iter().flat_map(OccurrenceSet::iter).collect());
        }
        if !self.question.kernels {
            self.classify(groups.values().flatten())?;
            let is_ordinary = |id: &OccurrenceId| self.classes.get(id) == Some(&PackageClass::Ordinary);
            groups.values_mut().for_each(|group| group.retain(is_ordinary));
        }
        if self.question.verdicts != VerdictFilter::default() {
            let rated = self.rated(&groups)?;
            let filter = &self.question.verdicts;
            for (id, group) in &mut groups {
                group.retain(|occurrence| {
                    let hit = rated.get(&(*id, *occurrence));
                    hit.is_some_and(|(verdict, rated)| filter.lets_rated_through(verdict, rated))
                });
            }
        }
        groups.retain(|_, group| !group.is_empty());
        Ok(groups)
    }

    /// Looks up what kind of things packages are that were not looked up yet.
    fn classify<'i>(&mut self, ids: impl Iterator<Item = &'i OccurrenceId>) -> Result<(), Error> {
        let unknown: BTreeSet<OccurrenceId> =
            ids.filter(|id| !self.classes.contains_key(id)).copied().collect();
        let occurrences = self.store.occurrences(&unknown.into_iter().collect::<Vec<_>>())?.into_iter();
        self.classes
            .extend(occurrences.map(|(id, occurrence)| (id, limpid_match::class(&occurrence.package))));
        Ok(())
    }

    /// The verdict of each occurrence on each vulnerability of its group, with the severity that counts.
    fn rated(&self, groups: &BTreeMap<&'a str, Vec<OccurrenceId>>) -> Result<RatedVerdicts<'a>, Error> {
        let known = Vulnerabilities::new(self.store, &groups.keys().copied().collect(), self.at)?;
        let ids: BTreeSet<OccurrenceId> = groups.values().flatten().copied().collect();
        let ids: Vec<OccurrenceId> = ids.into_iter().collect();
        let mut rated = BTreeMap::new();
        for batch in ids.chunks(BATCH) {
            for (id, verdicts) in self.exposed.verdicts(self.store, batch)? {
                for verdict in verdicts.into_iter().filter(|verdict| verdict.state.is_affected()) {
                    if let Some((vulnerability, _)) = groups.get_key_value(verdict.vulnerability.as_str()) {
                        let counting = known.rate(&verdict);
                        rated.insert((*vulnerability, id), (verdict, counting));
                    }
                }
            }
        }
        Ok(rated)
    }

    /// What is told of the most widespread.
    fn shares(
        &self,
        best: Vec<(Reverse<u64>, &'a str, Vec<OccurrenceId>)>,
        population: &Population,
    ) -> Result<Vec<VulnerabilityShare>, Error> {
        let mut shares = Vec::with_capacity(best.len());
        for best in best.chunks(SHARES) {
            let groups: BTreeMap<&str, Vec<OccurrenceId>> =
                best.iter().map(|(_, id, group)| (*id, group.clone())).collect();
            let all: BTreeSet<OccurrenceId> = groups.values().flatten().copied().collect();
            let all: Vec<OccurrenceId> = all.into_iter().collect();
            let rated = self.rated(&groups)?;
            let fixable = best.iter().map(|(_, id, group)| {
                let is_fixable = |occurrence: &OccurrenceId| {
                    let hit = rated.get(&(*id, *occurrence));
                    hit.is_some_and(|(verdict, _)| verdict.state == VerdictState::Fixable)
                };
                group.iter().copied().filter(is_fixable).collect::<Vec<_>>()
            });
            // In one question: those with a fix, and every occurrence by itself.
            let asked = fixable.chain(all.iter().map(|id| vec![*id])).collect::<Vec<_>>();
            let mut fixable = self.store.counts(&asked, Some(&population.images))?;
            let singles = fixable.split_off(best.len());
            // What none of the images holds has no part in what is told of them.
            let held: BTreeSet<OccurrenceId> =
                all.iter().zip(singles).filter(|(_, images)| *images > 0).map(|(id, _)| *id).collect();
            let packages = self.store.occurrences(&held.iter().copied().collect::<Vec<_>>())?;
            let known = Vulnerabilities::new(self.store, &groups.keys().copied().collect(), self.at)?;
            let mut known: BTreeMap<String, _> =
                known.into_report().into_iter().map(|known| (known.id.clone(), known)).collect();
            for ((Reverse(images), id, group), fixable) in best.iter().zip(fixable) {
                let held = || group.iter().filter(|occurrence| held.contains(occurrence));
                let worst = held().filter_map(|occurrence| rated.get(&(*id, *occurrence)));
                let worst = worst.map(|(_, rated)| rated).max().cloned().unwrap_or_default();
                let names = held().filter_map(|occurrence| packages.get(occurrence));
                let names: BTreeSet<&str> =
                    names.map(|occurrence| occurrence.package.source_name.as_str()).collect();
                let known = known.remove(*id).unwrap_or_default();
                shares.push(VulnerabilityShare {
                    id: (*id).to_owned(),
                    images: *images,
                    fixable,
                    rated: worst,
                    exploited: known.exploited,
                    epss_e5: known.epss.map(|epss| epss.score),
                    packages: names.iter().take(PACKAGES_LISTED).map(|name| (*name).to_owned()).collect(),
                    packages_left_out: names.len().saturating_sub(PACKAGES_LISTED) as u64,
                });
            }
        }
        Ok(shares)
    }
}
