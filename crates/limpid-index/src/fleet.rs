//! One question about all images: which have this vulnerability, what share, and what brought it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{AdvisoryDetails, Digest, Occurrence, Package, Verdict};
use limpid_store::{ImageFilter, ImageSummary, OccurrenceId, Store};

use crate::Error;
use crate::report::{affected_by, placements};
use crate::verdicts::verdicts;

/// Who is affected by a vulnerability.
#[derive(Debug)]
pub struct Affected {
    /// The id that was asked for.
    pub id: String,
    /// What the first feed that knows it says of it; `None` if no feed in the store knows it.
    pub details: Option<AdvisoryDetails>,
    /// The images that have it, by manifest digest.
    pub images: Vec<AffectedImage>,
    /// Images for which there is an answer: a feed in the store speaks for their distribution.
    pub answerable: u64,
    /// Images for which there is none.
    pub unanswerable: u64,
}

/// An image that is affected.
#[derive(Debug)]
pub struct AffectedImage {
    /// The image.
    pub image: ImageSummary,
    /// The packages that make it so, sorted.
    pub packages: Vec<AffectedPackage>,
}

/// A package that makes an image affected.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AffectedPackage {
    /// The package.
    pub package: Package,
    /// The verdict.
    pub verdict: Verdict,
    /// The layer that brought it.
    pub layer: Digest,
    /// The command that made that layer.
    pub command: String,
}

/// Which images in the store have the vulnerability with this id or alias, by the advisories of a revision.
///
/// The share is `images.len()` of `answerable`: images of which no feed in the store speaks, and unknown
/// ones, are counted apart.
pub fn affected(store: &dyn Store, id: &str, at: u64) -> Result<Affected, Error> {
    let records = store.advisories(id, at)?;
    let ids: BTreeSet<String> =
        records.iter().map(|record| record.advisory.vulnerability().to_owned()).collect();
    let named: BTreeSet<(&str, &str)> = records
        .iter()
        .flat_map(|record| &record.advisory.affected)
        .map(|affected| (affected.package.as_str(), affected.release.as_str()))
        .collect();
    let candidates = candidates(store, &named)?;
    let all_verdicts = verdicts(store, &candidates, at)?;
    let hit = affected_by(&candidates, &all_verdicts, &ids);
    let selected = store.select(&ImageFilter::default())?;
    let affected = store.holding(&hit.keys().copied().collect::<Vec<_>>())?.intersection(&selected);
    let (mut answerable, mut unanswerable) = (0, 0);
    for (release, images) in store.releases(&selected)? {
        let mut known = false;
        for release in limpid_match::releases_for(&release) {
            known |= !release.is_empty() && !store.feeds_for(&release, at)?.is_empty();
        }
        *(if known { &mut answerable } else { &mut unanswerable }) += images;
    }
    let mut images = Vec::new();
    for image in store.summaries(&affected.page(None, usize::MAX))? {
        let packages = packages(store, &image, &candidates, &hit)?;
        images.push(AffectedImage { image, packages });
    }
    let details = records.into_iter().next().map(|record| record.advisory.details);
    Ok(Affected { id: id.to_owned(), details, images, answerable, unanswerable })
}

/// The packages that may be meant by what is `named`, package and release: those that have the name, and those that
/// are signed from the source of that name.
fn candidates(
    store: &dyn Store,
    named: &BTreeSet<(&str, &str)>,
) -> Result<BTreeMap<OccurrenceId, Occurrence>, Error> {
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

/// The packages that make an image affected.
fn packages(
    store: &dyn Store,
    image: &ImageSummary,
    candidates: &BTreeMap<OccurrenceId, Occurrence>,
    hit: &BTreeMap<OccurrenceId, &Verdict>,
) -> Result<Vec<AffectedPackage>, Error> {
    let Some(record) = store.image_by_id(image.id)? else { return Ok(Vec::new()) };
    let (layers, _) = match store.contents(&record.nodes) {
        // Forgotten since it was listed.
        Err(limpid_store::Error::Gone(_)) => return Ok(Vec::new()),
        contents => contents?,
    };
    let mut packages = Vec::new();
    for (id, placement) in placements(&layers) {
        let (Some(occurrence), Some(verdict)) = (candidates.get(&id), hit.get(&id)) else { continue };
        let Some(layer) = record.metadata.layers.get(placement.layer) else { continue };
        packages.push(AffectedPackage {
            package: occurrence.package.clone(),
            verdict: (*verdict).clone(),
            layer: layer.digest,
            command: layer.command.clone(),
        });
    }
    packages.sort();
    Ok(packages)
}
