//! Which packages a step has to judge: by source, each with the vulnerabilities of which something else is said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use limpid_model::Occurrence;
use limpid_store::{OccurrenceId, Store};

use super::Reason;
use super::compare::Comparison;
use crate::Error;

/// Vulnerabilities that the store is asked about at a time.
const VULNERABILITIES_MAX: usize = 500;

/// What is to be judged of the packages of a source.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// The vulnerabilities; `None` for all.
    pub(super) vulnerabilities: Option<BTreeSet<String>>,
    /// The releases that advisories name; `None` for all.
    pub(super) releases: Option<BTreeSet<String>>,
    /// Only packages of these repositories, if that is given, beside those of `releases`.
    pub(super) repositories: BTreeSet<String>,
    /// Whether the update that changed it made the store forget verdicts.
    pub(super) forgets_verdicts: bool,
}

/// All units of a step, by source.
pub(super) struct Units(BTreeMap<String, Unit>);

impl Units {
    pub(super) fn of(
        store: &dyn Store,
        reason: Reason,
        after: u64,
        until: u64,
        comparison: &mut Comparison<'_>,
    ) -> Result<Self, Error> {
        if matches!(reason, Reason::Rules(_)) {
            let sources = store.source_names()?.into_iter();
            return Ok(Self(sources.map(|source| (source, Unit::default())).collect()));
        }
        let mut units = BTreeMap::new();
        let signed = signed(store)?;
        // Of a vulnerability that several documents touch, whether any of them speaks of packages.
        let mut touched: BTreeMap<String, bool> = BTreeMap::new();
        for touch in store.touched(after, until)? {
            let enriches = limpid_feeds::feed_named(&touch.key.feed).is_some_and(|feed| feed.enriches());
            comparison.note_touched(&touch);
            *touched.entry(touch.vulnerability).or_default() |= !enriches;
        }
        let touched: Vec<(String, bool)> = touched.into_iter().collect();
        for batch in touched.chunks(VULNERABILITIES_MAX) {
            add(store, batch, &signed, (after, until), &mut units)?;
        }
        add_repositories(store, (after, until), &mut units)?;
        Ok(Self(units))
    }

    /// Those after a source, in order.
    pub(super) fn after(&self, source: Option<&str>) -> impl Iterator<Item = (&str, &Unit)> {
        let from = source.map_or(Bound::Unbounded, |source| Bound::Excluded(source.to_owned()));
        self.0.range::<String, _>((from, Bound::Unbounded)).map(|(source, unit)| (source.as_str(), unit))
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.0.keys().next_back().map(String::as_str)
    }

    pub(super) fn get(&self, source: &str) -> Option<&Unit> {
        self.0.get(source)
    }
}

/// The sources in the store that are signed from each source that advisories name.
fn signed(store: &dyn Store) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let mut signed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in store.source_names()? {
        for code in limpid_match::signed_sources(&source) {
            signed.entry(code).or_default().insert(source.clone());
        }
    }
    Ok(signed)
}

/// Adds the sources of the packages that advisories on vulnerabilities name before or after.
fn add(
    store: &dyn Store,
    vulnerabilities: &[(String, bool)],
    signed: &BTreeMap<String, BTreeSet<String>>,
    (before, after): (u64, u64),
    units: &mut BTreeMap<String, Unit>,
) -> Result<(), Error> {
    let ids: Vec<&str> = vulnerabilities.iter().map(|(id, _)| id.as_str()).collect();
    let named = store.named(&ids, before, after)?;
    let names: BTreeSet<&str> = named.iter().flatten().map(|(name, _)| name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let sources: BTreeMap<&str, BTreeSet<String>> =
        names.iter().copied().zip(store.sources_named(&names)?).collect();
    for ((id, forgets_verdicts), named) in vulnerabilities.iter().zip(&named) {
        for (name, release) in named {
            let own = sources.get(name.as_str()).into_iter().flatten();
            for source in own.chain(signed.get(name).into_iter().flatten()) {
                let unit = units.entry(source.clone()).or_default();
                unit.vulnerabilities.get_or_insert_default().insert(id.clone());
                unit.releases.get_or_insert_default().insert(release.clone());
                unit.forgets_verdicts |= forgets_verdicts;
            }
        }
    }
    Ok(())
}

/// Adds every source, for packages of repositories that serve other products now: what is said of those may be about
/// other packages than before.
fn add_repositories(
    store: &dyn Store,
    (before, after): (u64, u64),
    units: &mut BTreeMap<String, Unit>,
) -> Result<(), Error> {
    let changed = store.repositories_changed(before, after)?;
    let in_use: BTreeSet<String> =
        store.contexts()?.into_iter().flat_map(|context| context.repositories).collect();
    let changed: BTreeSet<String> = changed.intersection(&in_use).cloned().collect();
    if changed.is_empty() {
        return Ok(());
    }
    for source in store.source_names()? {
        let unit = units
            .entry(source)
            .or_insert_with(|| Unit { releases: Some(BTreeSet::new()), ..Unit::default() });
        unit.vulnerabilities = None;
        unit.repositories.clone_from(&changed);
        unit.forgets_verdicts = true;
    }
    Ok(())
}

/// The packages of a source that a unit is about.
pub(super) fn occurrences_of(
    store: &dyn Store,
    source: &str,
    unit: &Unit,
) -> Result<Vec<(OccurrenceId, Occurrence)>, Error> {
    let mut occurrences = store.occurrences_named(source)?;
    occurrences.retain(|(_, occurrence)| {
        let context = &occurrence.context;
        let is_named = || {
            let Some(named) = &unit.releases else { return true };
            limpid_match::releases_for(&context.release).iter().any(|release| named.contains(release))
        };
        // A package of that name may be of another source; then it belongs to that one's unit.
        occurrence.package.source_name == source
            && (is_named() || context.repositories.iter().any(|name| unit.repositories.contains(name)))
    });
    Ok(occurrences)
}
