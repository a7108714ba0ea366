//! What became of vulnerabilities between two revisions: verdicts before and after, with the severities that counted,
//! and their differences as events.

use std::collections::{BTreeMap, BTreeSet};

use limpid_feeds::{CveRecords, Feed as _};
use limpid_match::OwnWord;
use limpid_model::{AdvisoryDetails, Occurrence, PackageClass, PackageType, Verdict};
use limpid_store::{
    EventKind, ImageFilter, ImageSet, Judgement, Knowledge, OccurrenceId, PackageChange, Store, Touched,
    VulnerabilityChange,
};

use super::units::Unit;
use super::{Plan, Reason};
use crate::Error;
use crate::records::DOCUMENT as RECORDS;
use crate::verdicts::judged;

/// What goes into one event: the vulnerability, the kind, and whether it is about kernels.
type EventKey = (String, EventKind, bool);

/// What is told in one line of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    release: String,
    package_type: PackageType,
    source: String,
    before: Option<Judgement>,
    after: Option<Judgement>,
}

/// What feeds say of a vulnerability, before and after.
type BothKnown = (Vec<Knowledge>, Vec<Knowledge>);

/// Differences, as they come together.
pub(super) struct Comparison<'a> {
    store: &'a dyn Store,
    plan: &'a Plan,
    before: u64,
    /// Vulnerabilities of which only a record that was asked for one by one is new: that it is there now is no news.
    recorded: BTreeSet<String>,
    found: BTreeMap<EventKey, BTreeMap<Group, BTreeSet<OccurrenceId>>>,
    differences: usize,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(store: &'a dyn Store, plan: &'a Plan, before: u64) -> Self {
        let (recorded, found) = (BTreeSet::new(), BTreeMap::new());
        Self { store, plan, before, recorded, found, differences: 0 }
    }

    /// Notes that a document says something else of a vulnerability.
    pub(super) fn note_touched(&mut self, touched: &Touched) {
        let is_record = touched.key.feed == CveRecords.name() && touched.key.document == RECORDS;
        if is_record && touched.is_first {
            self.recorded.insert(touched.vulnerability.clone());
        }
    }

    /// How many differences came together.
    pub(super) fn differences(&self) -> usize {
        self.differences
    }

    /// Compares the verdicts of packages.
    pub(super) fn compare(
        &mut self,
        packages: &[(OccurrenceId, Occurrence)],
        unit: &Unit,
    ) -> Result<(), Error> {
        let about = unit.vulnerabilities.as_ref();
        let (mut before, after, since) = match self.plan.reason {
            Reason::Rules(version) => {
                let ids: Vec<OccurrenceId> = packages.iter().map(|(id, _)| *id).collect();
                let former = self.store.former_verdicts(&ids, version)?;
                let judged_before: Vec<_> =
                    packages.iter().filter(|(id, _)| former.contains_key(id)).cloned().collect();
                let after = judged(self.store, &judged_before, None, self.plan.until)?;
                (former, after, self.plan.until)
            }
            Reason::Feeds | Reason::Parser => (
                judged(self.store, packages, about, self.before)?,
                judged(self.store, packages, about, self.plan.until)?,
                self.before,
            ),
        };
        let mut differing = Vec::new();
        for (id, occurrence) in packages {
            let (Some(before), Some(after)) = (before.remove(id), after.get(id)) else { continue };
            differing.extend(pairs(before, after, about).map(|pair| (*id, occurrence, pair)));
        }
        let ids: BTreeSet<&str> = differing.iter().map(|(.., pair)| pair.vulnerability()).collect();
        let known = self.known(&ids.into_iter().collect::<Vec<_>>(), since)?;
        for (id, occurrence, pair) in differing {
            let Some((known_before, known_after)) = known.get(pair.vulnerability()) else { continue };
            let before = pair.before.as_ref().map(|verdict| judgement(verdict, known_before));
            let after = pair.after.as_ref().map(|verdict| judgement(verdict, known_after));
            for kind in self.kinds(before.as_ref(), after.as_ref()) {
                self.add(id, occurrence, (pair.vulnerability(), kind), before.as_ref(), after.as_ref());
            }
        }
        Ok(())
    }

    /// What feeds say of vulnerabilities at both revisions.
    fn known(&self, ids: &[&str], since: u64) -> Result<BTreeMap<String, BothKnown>, Error> {
        let mut before = self.store.knowledge(ids, since)?;
        let mut after = self.store.knowledge(ids, self.plan.until)?;
        let mut known = BTreeMap::new();
        for id in ids {
            let mut before = before.remove(*id).unwrap_or_default();
            let after = after.remove(*id).unwrap_or_default();
            if self.recorded.contains(*id) && !before.iter().any(|known| known.feed == CveRecords.name()) {
                before.extend(after.iter().filter(|known| known.feed == CveRecords.name()).cloned());
            }
            known.insert((*id).to_owned(), (before, after));
        }
        Ok(known)
    }

    /// What is told of a difference.
    fn kinds(&self, before: Option<&Judgement>, after: Option<&Judgement>) -> Vec<EventKind> {
        let affected = |side: Option<&Judgement>| side.is_some_and(|side| side.state.is_affected());
        if self.plan.reason != Reason::Feeds {
            let told = |side: Option<&Judgement>| {
                let side = side.filter(|side| side.state.is_affected())?;
                Some((side.state, side.severity, side.fixed.clone(), side.channel.clone()))
            };
            return if told(before) == told(after) { Vec::new() } else { vec![EventKind::Reassessed] };
        }
        match (before, after) {
            (_, Some(_)) if !affected(before) && affected(after) => vec![EventKind::New],
            (Some(_), None) if affected(before) => vec![EventKind::Withdrawn],
            (Some(_), Some(_)) if affected(before) && !affected(after) => vec![EventKind::NoLongerAffected],
            (Some(before), Some(after)) if affected(Some(before)) => {
                let mut kinds = Vec::new();
                if after.severity > before.severity {
                    kinds.push(EventKind::SeverityRaised);
                }
                if after.severity < before.severity {
                    kinds.push(EventKind::SeverityLowered);
                }
                if !after.fixed.is_empty() && after.fixed != before.fixed {
                    kinds.push(EventKind::FixAvailable);
                }
                kinds
            }
            _ => Vec::new(),
        }
    }

    fn add(
        &mut self,
        id: OccurrenceId,
        occurrence: &Occurrence,
        (vulnerability, kind): (&str, EventKind),
        before: Option<&Judgement>,
        after: Option<&Judgement>,
    ) {
        let package = &occurrence.package;
        let is_kernel = limpid_match::class(package) != PackageClass::Ordinary;
        let group = Group {
            release: occurrence.context.release.clone(),
            package_type: package.kind,
            source: package.source_name.clone(),
            before: before.cloned(),
            after: after.cloned(),
        };
        let groups = self.found.entry((vulnerability.to_owned(), kind, is_kernel)).or_default();
        if groups.entry(group).or_default().insert(id) {
            self.differences += 1;
        }
    }

    /// The events. Packages that no image holds are none of anybody's business.
    pub(super) fn into_events(self) -> Result<Vec<VulnerabilityChange>, Error> {
        if self.found.is_empty() {
            return Ok(Vec::new());
        }
        let last = self.plan.last_image;
        let within = match self.store.last_image()? > last {
            true => Some(self.store.select(&ImageFilter { last: Some(last), ..ImageFilter::default() })?),
            false => None,
        };
        let found = held(self.store, self.found, within.as_ref())?;
        // For all at once: each question reads the index's heads and the images behind them anew.
        let mut sets: Vec<Vec<OccurrenceId>> = Vec::new();
        for groups in found.values() {
            sets.extend(groups.values().map(|occurrences| occurrences.iter().copied().collect()));
            sets.push(groups.values().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect());
        }
        let mut counted = self.store.counts(&sets, within.as_ref())?.into_iter();
        let mut events = Vec::with_capacity(found.len());
        for ((vulnerability, kind, is_kernel), groups) in found {
            let counts: Vec<u64> = counted.by_ref().take(groups.len()).collect();
            let images = counted.next().unwrap_or_default();
            let packages =
                groups.into_iter().zip(counts).map(|((group, occurrences), images)| PackageChange {
                    release: group.release,
                    package_type: group.package_type,
                    source: group.source,
                    before: group.before,
                    after: group.after,
                    images,
                    occurrences: occurrences.into_iter().collect(),
                });
            events.push(VulnerabilityChange {
                kind,
                vulnerability,
                from_revision: self.before,
                revision: self.plan.until,
                is_kernel,
                last_image: last,
                images,
                packages: packages.collect(),
            });
        }
        Ok(events)
    }
}

type Found = BTreeMap<EventKey, BTreeMap<Group, BTreeSet<OccurrenceId>>>;

/// What is left of differences without packages that no image holds.
fn held(store: &dyn Store, mut found: Found, within: Option<&ImageSet>) -> Result<Found, Error> {
    let all: BTreeSet<OccurrenceId> = found.values().flat_map(BTreeMap::values).flatten().copied().collect();
    let singles: Vec<Vec<OccurrenceId>> = all.iter().map(|occurrence| vec![*occurrence]).collect();
    let counts = store.counts(&singles, within)?;
    let unheld: BTreeSet<OccurrenceId> =
        all.into_iter().zip(counts).filter(|(_, images)| *images == 0).map(|(id, _)| id).collect();
    for groups in found.values_mut() {
        for occurrences in groups.values_mut() {
            occurrences.retain(|occurrence| !unheld.contains(occurrence));
        }
        groups.retain(|_, occurrences| !occurrences.is_empty());
    }
    found.retain(|_, groups| !groups.is_empty());
    Ok(found)
}

/// The verdicts on one vulnerability before and after.
struct Pair {
    before: Option<Verdict>,
    after: Option<Verdict>,
}

impl Pair {
    fn vulnerability(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |verdict| &verdict.vulnerability)
    }
}

/// The verdicts that may differ: those on vulnerabilities `about` which something else is said, and others that are not
/// the same. Where no side is affected there is nothing to tell.
fn pairs(
    before: Vec<Verdict>,
    after: &[Verdict],
    about: Option<&BTreeSet<String>>,
) -> impl Iterator<Item = Pair> {
    let mut sides: BTreeMap<String, Pair> = BTreeMap::new();
    for verdict in before {
        sides.insert(verdict.vulnerability.clone(), Pair { before: Some(verdict), after: None });
    }
    for verdict in after {
        let pair = sides.entry(verdict.vulnerability.clone()).or_insert(Pair { before: None, after: None });
        pair.after = Some(verdict.clone());
    }
    let about = about.cloned();
    sides.into_values().filter(move |pair| {
        let is_affected =
            [&pair.before, &pair.after].into_iter().flatten().any(|verdict| verdict.state.is_affected());
        let is_touched = || about.as_ref().is_some_and(|about| about.contains(pair.vulnerability()));
        is_affected && (pair.before != pair.after || is_touched())
    })
}

fn judgement(verdict: &Verdict, known: &[Knowledge]) -> Judgement {
    let own =
        OwnWord { feed: &verdict.severity_feed, severity: verdict.severity, word: &verdict.severity_word };
    let details: Vec<(&str, &AdvisoryDetails)> =
        known.iter().map(|known| (known.feed.as_str(), &known.details)).collect();
    let (rated, _) = limpid_match::severity(own, &details);
    Judgement {
        state: verdict.state,
        fixed: verdict.fixed.clone(),
        channel: verdict.channel.clone(),
        severity: rated.severity,
        severity_source: rated.source,
        feed: verdict.feed.clone(),
        advisory: verdict.advisory.clone(),
    }
}
