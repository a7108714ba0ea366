//! From names in advisories to occurrences: what an advisory may be about, before any of it is judged.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Occurrence, Package};
use limpid_store::{OccurrenceId, Store};

use crate::Error;

/// Occurrences, by their ids.
pub(crate) type Occurrences = BTreeMap<OccurrenceId, Occurrence>;

/// The occurrences that may be meant by what is `named`, package and release: those of packages that have the name,
/// by their source or themselves, and those of packages that are signed from the source of that name.
pub(crate) fn candidates(store: &dyn Store, named: &BTreeSet<(&str, &str)>) -> Result<Occurrences, Error> {
    let mut candidates = BTreeMap::new();
    let mut add = |stored: &str, said: &str| -> Result<(), Error> {
        let occurrences = store.occurrences_named(stored)?.into_iter();
        // Advisories may be written for other releases than its own: CentOS goes by Red Hat's.
        let is_named = |occurrence: &Occurrence| {
            let releases = limpid_match::releases_for(&occurrence.context.release);
            releases.iter().any(|release| named.contains(&(said, release.as_str())))
        };
        candidates.extend(occurrences.filter(|(_, occurrence)| is_named(occurrence)));
        Ok(())
    };
    let names: BTreeSet<&str> = named.iter().map(|(name, _)| *name).collect();
    for name in &names {
        add(name, name)?;
    }
    for source in store.source_names()? {
        for code in limpid_match::signed_sources(&source) {
            if names.contains(code.as_str()) {
                add(&source, &code)?;
            }
        }
    }
    Ok(candidates)
}

/// The ids of all occurrences of the same package versions, in whatever context: a layer that changes a package's
/// context has one of them in the place of another.
pub(crate) fn siblings<'a>(
    store: &dyn Store,
    packages: impl Iterator<Item = &'a Package>,
) -> Result<BTreeSet<OccurrenceId>, Error> {
    let packages: BTreeSet<&Package> = packages.collect();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut siblings = BTreeSet::new();
    for name in names {
        let named = store.occurrences_named(name)?.into_iter();
        siblings.extend(named.filter(|(_, o)| packages.contains(&o.package)).map(|(id, _)| id));
    }
    Ok(siblings)
}
