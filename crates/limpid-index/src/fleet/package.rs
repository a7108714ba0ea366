//! Which images have a package, in a range of versions.

use std::collections::BTreeMap;

use limpid_model::{HeldVersion, Holder, Holders, Package, PackageType};
use limpid_store::{OccurrenceId, Store};

use super::pages::{self, Pages, pin, question};
use super::placed::Placed;
use super::range::{VersionRange, version_of};
use super::scope::{Population, Scope};
use crate::Error;

/// Package versions that an answer lists; the rest it counts.
const VERSIONS_LISTED: usize = 100;

/// Which package is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageQuestion {
    /// Its name, or its source's.
    pub name: String,
    /// Its versions.
    pub range: VersionRange,
    /// Its kind; `None` for any.
    pub kind: Option<PackageType>,
}

/// An answer, and the list of its images.
#[derive(Debug)]
pub struct PackageAnswer {
    /// All but the images.
    pub head: Holders,
    /// What is left of the list.
    pub pages: Pages,
    packages: BTreeMap<OccurrenceId, Package>,
    placed: Placed,
}

/// Which of the images that `scope` names have the package. The list of images goes on after a cursor. No image is
/// read before it is asked for.
pub fn package(
    store: &dyn Store,
    asked: &PackageQuestion,
    scope: &Scope<'_>,
    after: Option<&str>,
) -> Result<PackageAnswer, Error> {
    let question = question("package", scope, asked);
    let mut scope = scope.clone();
    let (cursor, selected) = pin(store, &mut scope, &question, after)?;
    let mut packages: BTreeMap<OccurrenceId, Package> = BTreeMap::new();
    let mut incomparable = 0;
    for (id, occurrence) in store.occurrences_named(&asked.name)? {
        let package = occurrence.package;
        if asked.kind.is_some_and(|kind| kind != package.kind) {
            continue;
        }
        match asked.range.holds(package.kind, version_of(&package, &asked.name)) {
            Some(true) => drop(packages.insert(id, package)),
            Some(false) => {}
            None => incomparable += 1,
        }
    }
    let population = Population::of(store, &scope, selected)?;
    let ids: Vec<OccurrenceId> = packages.keys().copied().collect();
    let holding = store.holding(&ids)?.intersection(&population.images);
    let mut by_version: BTreeMap<&Package, Vec<OccurrenceId>> = BTreeMap::new();
    for (id, package) in &packages {
        by_version.entry(package).or_default().push(*id);
    }
    let groups: Vec<Vec<OccurrenceId>> = by_version.values().cloned().collect();
    // Whoever has one of them is found, so counting within all that was asked about comes to the same, and is quicker.
    let counts = store.counts(&groups, Some(&population.images))?;
    let versions = by_version.into_keys().zip(counts).filter(|(_, images)| *images > 0);
    let versions = versions.map(|(package, images)| HeldVersion { package: package.clone(), images });
    let mut versions: Vec<HeldVersion> = versions.collect();
    // Sorted by name already, and the sort is stable.
    versions.sort_by_key(|version| std::cmp::Reverse(version.images));
    let versions_left_out = versions.len().saturating_sub(VERSIONS_LISTED) as u64;
    versions.truncate(VERSIONS_LISTED);
    let mut basis = population.basis(store, &holding)?;
    basis.revision = cursor.revision;
    let pages = Pages::new(holding, cursor, question);
    let head = Holders {
        name: asked.name.clone(),
        range: asked.range.as_str().to_owned(),
        basis,
        images: pages.len(),
        versions,
        versions_left_out,
        incomparable,
    };
    let placed = Placed::new(ids.into_iter().collect());
    Ok(PackageAnswer { head, pages, packages, placed })
}

impl PackageAnswer {
    /// The next images, at most `limit` and a bounded number; none if the list is at its end.
    pub fn take(&mut self, store: &dyn Store, limit: usize) -> Result<Vec<Holder>, Error> {
        loop {
            let summaries = self.pages.take(store, limit)?;
            if summaries.is_empty() {
                return Ok(Vec::new());
            }
            let mut holders = Vec::with_capacity(summaries.len());
            for (summary, layers) in self.placed.layers(store, summaries)? {
                let packages = layers.into_iter();
                let packages =
                    packages.filter_map(|(id, layer)| Some((self.packages.get(&id)?.clone(), layer)));
                let mut packages: Vec<_> = packages.collect();
                packages.sort();
                holders.push(Holder { image: pages::image(summary), packages });
            }
            // All of a page may have been forgotten since.
            if !holders.is_empty() {
                return Ok(holders);
            }
        }
    }
}
