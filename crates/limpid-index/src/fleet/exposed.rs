//! Every vulnerability of the fleet with the occurrences that it affects, at a moment.
//!
//! For the present the store has that ready, once every package version is judged. For the past it is the present but
//! for the packages that some change since then names: only these are judged again.

use std::collections::{BTreeMap, BTreeSet};

use limpid_match::RULES_VERSION;
use limpid_model::{Occurrence, Verdict};
use limpid_store::{NEWEST, OccurrenceId, OccurrenceSet, Store};

use super::candidates::{Occurrences, candidates};
use crate::Error;
use crate::verdicts::verdicts;

/// Occurrences that are judged and listed at a time.
const BATCH: usize = 10_000;
/// Vulnerabilities that the store is asked about at a time.
const VULNERABILITIES_MAX: usize = 500;

/// What affects what.
#[derive(Debug)]
pub(crate) struct Exposed {
    /// The occurrences that each vulnerability affects.
    pub(crate) sets: BTreeMap<String, OccurrenceSet>,
    /// Verdicts that are others than those in the store.
    others: BTreeMap<OccurrenceId, Vec<Verdict>>,
}

impl Exposed {
    /// What affects what by the advisories of a revision.
    pub(crate) fn new(store: &dyn Store, at: u64) -> Result<Self, Error> {
        complete(store)?;
        let mut others = BTreeMap::new();
        // What a store that may only be read does not have, or what an update made stale just now.
        for page in unlisted(store) {
            others.append(&mut verdicts(store, &page?.into_iter().collect(), NEWEST)?);
        }
        if at != NEWEST {
            let touched = touched(store, at)?;
            others.append(&mut verdicts(store, &touched, at)?);
        }
        let mut sets = BTreeMap::new();
        store.exposures(&mut |vulnerability, set| {
            sets.insert(vulnerability.to_owned(), set);
            Ok(())
        })?;
        let mut exposed = Self { sets, others };
        exposed.overlay();
        Ok(exposed)
    }

    /// Puts what is judged otherwise in the place of what the store has listed.
    fn overlay(&mut self) {
        let ids: OccurrenceSet = self.others.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        self.sets.values_mut().for_each(|set| set.remove_all(&ids));
        for (id, verdicts) in &self.others {
            for verdict in verdicts.iter().filter(|verdict| verdict.state.is_affected()) {
                self.sets.entry(verdict.vulnerability.clone()).or_default().insert(*id);
            }
        }
        self.sets.retain(|_, set| !set.is_empty());
    }

    /// Every occurrence that anything affects.
    pub(crate) fn occurrences(&self) -> OccurrenceSet {
        let mut all = OccurrenceSet::default();
        self.sets.values().for_each(|set| all.extend(set));
        all
    }

    /// The verdicts on occurrences.
    pub(crate) fn verdicts(
        &self,
        store: &dyn Store,
        ids: &[OccurrenceId],
    ) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>, Error> {
        let stored: Vec<OccurrenceId> =
            ids.iter().copied().filter(|id| !self.others.contains_key(id)).collect();
        let mut found = store.verdicts(&stored, RULES_VERSION)?;
        let missing: Vec<OccurrenceId> = stored.into_iter().filter(|id| !found.contains_key(id)).collect();
        if !missing.is_empty() {
            // An update came between.
            found.append(&mut verdicts(store, &store.occurrences(&missing)?, NEWEST)?);
        }
        let others = ids.iter().filter_map(|id| Some((*id, self.others.get(id)?.clone())));
        found.extend(others);
        Ok(found)
    }
}

/// Judges every package version that has no verdict yet, and lists what is affected.
fn complete(store: &dyn Store) -> Result<(), Error> {
    for page in unlisted(store) {
        verdicts(store, &page?.into_iter().collect(), NEWEST)?;
    }
    while store.list(RULES_VERSION, BATCH)? {}
    Ok(())
}

type Page = Vec<(OccurrenceId, Occurrence)>;

/// What is not listed, a page at a time.
fn unlisted(store: &dyn Store) -> impl Iterator<Item = Result<Page, Error>> + '_ {
    let mut after = None;
    std::iter::from_fn(move || match store.unlisted(RULES_VERSION, after, BATCH) {
        Err(error) => Some(Err(error.into())),
        Ok(page) => {
            after = page.last().map(|(id, _)| *id);
            after.map(|_| Ok(page))
        }
    })
    // After an error nothing is asked for again.
    .scan(false, |failed, page: Result<Page, Error>| {
        let go_on = !*failed;
        *failed = page.is_err();
        go_on.then_some(page)
    })
}

/// The occurrences of which something else may have been said at a revision than is now.
fn touched(store: &dyn Store, at: u64) -> Result<Occurrences, Error> {
    let now = store.revision()?;
    let mut vulnerabilities: BTreeSet<String> = BTreeSet::new();
    for touch in store.touched(at, now)? {
        // What feeds say of vulnerabilities themselves changes no verdict.
        if !limpid_feeds::feed_named(&touch.key.feed).is_some_and(|feed| feed.enriches()) {
            vulnerabilities.insert(touch.vulnerability);
        }
    }
    let ids: Vec<&str> = vulnerabilities.iter().map(String::as_str).collect();
    let mut named: BTreeSet<(String, String)> = BTreeSet::new();
    for batch in ids.chunks(VULNERABILITIES_MAX) {
        named.extend(store.named(batch, at, now)?.into_iter().flatten());
    }
    let pairs = named.iter().map(|(package, release)| (package.as_str(), release.as_str())).collect();
    let mut touched = candidates(store, &pairs)?;
    let repositories = store.repositories_changed(at, now)?;
    if !repositories.is_empty() {
        for source in store.source_names()? {
            let named = store.occurrences_named(&source)?.into_iter();
            touched.extend(named.filter(|(_, occurrence)| {
                occurrence.context.repositories.iter().any(|repository| repositories.contains(repository))
            }));
        }
    }
    Ok(touched)
}
