//! What an event leaves open until somebody asks: its images, a page at a time, and what was found in an image when it
//! was assessed.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Package, Severity, VerdictState};
use limpid_store::{
    Event, EventSubject, ImageId, ImageRecord, ImageSummary, NEWEST, OccurrenceId, PackageChange,
    RevisionOrigin, Store,
};

use crate::Error;
use crate::kernels::{self, Kernels};
use crate::report::placements;
use crate::verdicts::verdicts;
use crate::vulnerabilities::Vulnerabilities;

/// An image that an event is about.
#[derive(Debug)]
pub struct EventImage {
    /// The image.
    pub image: ImageSummary,
    /// The packages that it held then, each with the line of the event that it belongs to.
    pub packages: Vec<(Package, PackageChange)>,
}

/// Images that an event is about, in the order of their ids, after one; those that were forgotten are missing. With the
/// id to go on from, if there are more.
pub fn event_images(
    store: &dyn Store,
    event: &Event,
    after: Option<ImageId>,
    limit: usize,
) -> Result<(Vec<EventImage>, Option<ImageId>), Error> {
    let images = store.event_images(event)?;
    let page = images.page(after, limit);
    let more = page.last().copied().filter(|last| !images.page(Some(*last), 1).is_empty());
    let held: BTreeMap<ImageId, Vec<OccurrenceId>> =
        page.iter().copied().zip(store.event_packages(event, &page)?).collect();
    let lines = match &event.subject {
        EventSubject::Vulnerability(change) => change.packages.as_slice(),
        EventSubject::Image { .. } => &[],
    };
    // Every line's packages are of one source.
    let sources: BTreeSet<&str> = lines.iter().map(|line| line.source.as_str()).collect();
    let wanted: BTreeSet<OccurrenceId> = held.values().flatten().copied().collect();
    let mut packages = BTreeMap::new();
    for source in sources {
        let named = store.occurrences_named(source)?.into_iter();
        packages.extend(named.filter(|(id, _)| wanted.contains(id)));
    }
    let mut found = Vec::with_capacity(page.len());
    for image in store.summaries(&page)? {
        let mut of_image = Vec::new();
        for id in held.get(&image.id).into_iter().flatten() {
            let lines = lines.iter().filter(|line| line.occurrences.contains(id));
            let package = packages.get(id).map(|occurrence| &occurrence.package);
            of_image.extend(package.into_iter().cloned().zip(lines.cloned()));
        }
        of_image.sort_by(|a, b| a.0.cmp(&b.0));
        found.push(EventImage { image, packages: of_image });
    }
    Ok((found, more))
}

/// What was found in an image when it was assessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The image.
    pub image: ImageSummary,
    /// The revision of the advisories that it is counted at.
    pub revision: u64,
    /// Whether a feed spoke for its release.
    pub is_answered: bool,
    /// Vulnerabilities that it is affected by, by the worst severity of each.
    pub severities: BTreeMap<Severity, u64>,
    /// Of these, those with a fix.
    pub fixable: u64,
}

/// What an `image.assessed` event counts; `None` if the image was forgotten since, or the event is another.
///
/// It is counted at the event's revision. If no feed spoke for the image's release then, it is counted when the first one
/// did, with all that was read for the first time right after it: such a revision is a baseline and tells no
/// events, so what it says of the image is said here.
pub fn assessment(store: &dyn Store, event: &Event) -> Result<Option<Assessment>, Error> {
    let EventSubject::Image { image, .. } = event.subject else { return Ok(None) };
    let summary = store.summaries(&[image])?.pop();
    let (Some(summary), Some(record)) = (summary, store.image_by_id(image)?) else { return Ok(None) };
    let (revision, is_answered) = assessed_at(store, &record.release, event.revision)?;
    let newest = store.revision()?;
    let at = if revision == newest { NEWEST } else { revision };
    let (severities, fixable) = count(store, &record, at)?;
    Ok(Some(Assessment { image: summary, revision, is_answered, severities, fixable }))
}

/// The revision that an image of a release is counted at, and whether a feed speaks for the release then.
fn assessed_at(store: &dyn Store, release: &str, revision: u64) -> Result<(u64, bool), Error> {
    let releases: Vec<String> =
        limpid_match::releases_for(release).into_iter().filter(|release| !release.is_empty()).collect();
    let speaks = |at: u64| -> Result<bool, Error> {
        for release in &releases {
            if !store.feeds_for(release, at)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    if speaks(revision)? {
        return Ok((revision, true));
    }
    let mut later = store.revisions(revision, NEWEST)?.into_iter();
    for first in later.by_ref() {
        if first.origin == RevisionOrigin::First && speaks(first.revision)? {
            let baselines = later.take_while(|next| next.origin == RevisionOrigin::First);
            return Ok((baselines.last().map_or(first.revision, |last| last.revision), true));
        }
    }
    Ok((revision, false))
}

fn count(store: &dyn Store, record: &ImageRecord, at: u64) -> Result<(BTreeMap<Severity, u64>, u64), Error> {
    let (layers, occurrences) = store.contents(&record.nodes)?;
    let placements = placements(&layers);
    let mut verdicts = verdicts(store, &occurrences, at)?;
    if Kernels::ByImage.hides(&record.metadata) {
        kernels::take_out(&mut verdicts, &occurrences, |id| placements.contains_key(id));
    }
    let affected = || {
        let held = placements.keys().filter_map(|id| verdicts.get(id)).flatten();
        held.filter(|verdict| verdict.state.is_affected())
    };
    let ids: BTreeSet<&str> = affected().map(|verdict| verdict.vulnerability.as_str()).collect();
    let vulnerabilities = Vulnerabilities::new(store, &ids, at)?;
    let mut worst: BTreeMap<&str, (Severity, bool)> = BTreeMap::new();
    for verdict in affected() {
        let found = worst.entry(&verdict.vulnerability).or_default();
        found.0 = found.0.max(vulnerabilities.rate(verdict).severity);
        found.1 |= verdict.state == VerdictState::Fixable;
    }
    let mut severities = BTreeMap::new();
    for (severity, _) in worst.values() {
        *severities.entry(*severity).or_default() += 1;
    }
    let fixable = worst.values().filter(|(_, is_fixable)| *is_fixable).count();
    Ok((severities, u64::try_from(fixable).unwrap_or(u64::MAX)))
}
