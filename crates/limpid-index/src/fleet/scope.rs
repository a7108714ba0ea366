//! Which images a question is about, at which moment, and which of them can be answered for.

use std::collections::BTreeSet;

use limpid_model::{Basis, FleetImage, Rated, Severity, Verdict, VerdictState};
use limpid_store::{ImageFilter, ImageSet, ImageSummary, NEWEST, Store};

use crate::{Error, Moment};

/// What a question is about.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The moment: of the advisories, and where the filter says so of the images.
    pub moment: Moment<'a>,
    /// The images.
    pub filter: ImageFilter,
}

/// Which verdicts count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerdictFilter {
    /// This severity or worse.
    pub severity: Severity,
    /// One of these states; empty for any in which the package is affected.
    pub states: BTreeSet<VerdictState>,
}

impl VerdictFilter {
    /// Whether a verdict counts whatever its severity.
    pub(crate) fn lets_through(&self, verdict: &Verdict) -> bool {
        verdict.state.is_affected() && (self.states.is_empty() || self.states.contains(&verdict.state))
    }

    /// Whether a verdict counts with its severity.
    pub(crate) fn lets_rated_through(&self, verdict: &Verdict, rated: &Rated) -> bool {
        self.lets_through(verdict) && rated.severity >= self.severity
    }
}

/// The images that a question is about.
#[derive(Debug)]
pub(crate) struct Population {
    /// All of them.
    pub(crate) images: ImageSet,
    /// The releases that no feed speaks for.
    silent: BTreeSet<String>,
    basis: Basis,
}

impl Population {
    pub(crate) fn new(store: &dyn Store, scope: &Scope<'_>) -> Result<Self, Error> {
        Self::of(store, scope, store.select(&scope.filter)?)
    }

    /// The population of images that were selected already.
    pub(crate) fn of(store: &dyn Store, scope: &Scope<'_>, images: ImageSet) -> Result<Self, Error> {
        let at = scope.moment.revision;
        let revision = if at == NEWEST { store.revision()? } else { at };
        let mut silent = BTreeSet::new();
        let as_of = scope.moment.as_of.to_owned();
        let mut basis = Basis { revision, as_of, ..Basis::default() };
        for (release, images) in store.releases(&images)? {
            if is_spoken_for(store, &release, at)? {
                basis.answerable += images;
            } else {
                basis.unanswerable += images;
                silent.insert(release);
            }
        }
        Ok(Self { images, silent, basis })
    }

    /// Whether a feed speaks for one of the images' releases.
    pub(crate) fn speaks_for(&self, release: &str) -> bool {
        !self.silent.contains(release)
    }

    /// What an answer rests on that found these images: whatever is found is an answer, so an image of a release that
    /// nobody speaks for counts as answered if something in it is affected.
    pub(crate) fn basis(&self, store: &dyn Store, found: &ImageSet) -> Result<Basis, Error> {
        let mut basis = self.basis.clone();
        if basis.unanswerable > 0 && !found.is_empty() {
            let mut moved = 0;
            if self.silent.contains("") {
                let found = store.releases(found)?.into_iter();
                let found = found.filter(|(release, _)| self.silent.contains(release));
                moved = found.map(|(_, images)| images).sum();
            } else {
                // They are few and stand together, so that they are found sooner than all others are told apart.
                for release in &self.silent {
                    let filter = ImageFilter { release: release.clone(), ..ImageFilter::default() };
                    moved += store.select(&filter)?.intersection_len(found);
                }
            }
            basis.unanswerable = basis.unanswerable.saturating_sub(moved);
            basis.answerable += moved;
        }
        Ok(basis)
    }
}

/// Whether a feed in the store speaks for a release.
pub(crate) fn is_spoken_for(store: &dyn Store, release: &str, at: u64) -> Result<bool, Error> {
    for release in limpid_match::releases_for(release) {
        if !release.is_empty() && !store.feeds_for(&release, at)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn fleet_image(summary: ImageSummary) -> FleetImage {
    FleetImage { digest: summary.manifest_digest, references: summary.references, release: summary.release }
}
