//! The fleet in numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{FleetStatus, PackageClass, ReleaseShare, Severity, Verdict, VerdictState};
use limpid_store::{ImageSet, OccurrenceId, Store};

use super::exposed::Exposed;
use super::scope::{Population, Scope};
use crate::Error;
use crate::vulnerabilities::Vulnerabilities;

/// Occurrences whose verdicts are in memory at a time.
const BATCH: usize = 1000;

/// What severities depend on: the vulnerability, and its feed's own word.
type Said = (String, String, Severity, String);

/// The fleet that `scope` names in numbers; what is found in kernels and their headers counts only with `kernels`.
pub fn status(store: &dyn Store, scope: &Scope<'_>, kernels: bool) -> Result<FleetStatus, Error> {
    let population = Population::new(store, scope)?;
    let at = scope.moment.revision;
    let exposed = Exposed::new(store, at)?;
    let ids: Vec<OccurrenceId> = exposed.occurrences().iter().collect();
    let mut seen = Seen::default();
    for batch in ids.chunks(BATCH) {
        let counted = match kernels {
            true => batch.to_vec(),
            false => {
                let mut occurrences = store.occurrences(batch)?;
                occurrences.retain(|_, o| limpid_match::class(&o.package) == PackageClass::Ordinary);
                occurrences.into_keys().collect()
            }
        };
        let mut held = counted.iter().map(|id| vec![*id]).collect::<Vec<_>>();
        let counts = store.counts(&held, Some(&population.images))?;
        let mut counts = counts.into_iter();
        held.retain(|_| counts.next().is_some_and(|images| images > 0));
        let held: Vec<OccurrenceId> = held.into_iter().flatten().collect();
        seen.add(store, exposed.verdicts(store, &held)?, at)?;
    }
    let within = |ids: &[OccurrenceId]| -> Result<ImageSet, Error> {
        Ok(store.holding(ids)?.intersection(&population.images))
    };
    let mut by_worst_severity = [0; 7];
    let mut worse = ImageSet::default();
    for severity in Severity::ALL.into_iter().rev() {
        let ids = seen.by_severity.get(&severity).map(Vec::as_slice).unwrap_or_default();
        let all = worse.union(&within(ids)?);
        by_worst_severity[severity as usize] = all.len() - worse.len();
        worse = all;
    }
    let basis = population.basis(store, &worse)?;
    let releases = store.releases(&population.images)?.into_iter().map(|(release, images)| ReleaseShare {
        is_answerable: population.speaks_for(&release),
        release,
        images,
    });
    Ok(FleetStatus {
        releases: releases.collect(),
        by_worst_severity,
        without_findings: basis.answerable.saturating_sub(worse.len()),
        exploited: within(&seen.exploited)?.len(),
        fixable: within(&seen.fixable)?.len(),
        vulnerabilities: seen.vulnerabilities.len() as u64,
        basis,
    })
}

/// What was seen of the occurrences so far.
#[derive(Default)]
struct Seen {
    /// Occurrences by the worst severity of what affects them.
    by_severity: BTreeMap<Severity, Vec<OccurrenceId>>,
    exploited: Vec<OccurrenceId>,
    fixable: Vec<OccurrenceId>,
    vulnerabilities: BTreeSet<String>,
    severities: HashMap<Said, Severity>,
    known_exploited: BTreeMap<String, bool>,
}

impl Seen {
    fn add(
        &mut self,
        store: &dyn Store,
        verdicts: BTreeMap<OccurrenceId, Vec<Verdict>>,
        at: u64,
    ) -> Result<(), Error> {
        let said = |verdict: &Verdict| {
            let (id, feed) = (verdict.vulnerability.clone(), verdict.severity_feed.clone());
            (id, feed, verdict.severity, verdict.severity_word.clone())
        };
        let affecting = || {
            let all = verdicts.iter().flat_map(|(id, verdicts)| verdicts.iter().map(move |v| (*id, v)));
            all.filter(|(_, verdict)| verdict.state.is_affected())
        };
        let new: BTreeSet<&str> = affecting()
            .filter(|(_, verdict)| !self.severities.contains_key(&said(verdict)))
            .map(|(_, verdict)| verdict.vulnerability.as_str())
            .collect();
        let known = Vulnerabilities::new(store, &new, at)?;
        let exploited: BTreeSet<String> = known.exploited().collect();
        for id in new {
            self.known_exploited.insert(id.to_owned(), exploited.contains(id));
        }
        let mut worst: BTreeMap<OccurrenceId, Severity> = BTreeMap::new();
        for (id, verdict) in affecting() {
            let severity =
                *self.severities.entry(said(verdict)).or_insert_with(|| known.rate(verdict).severity);
            let entry = worst.entry(id).or_default();
            *entry = severity.max(*entry);
            if self.known_exploited.get(&verdict.vulnerability) == Some(&true) {
                self.exploited.push(id);
            }
            if verdict.state == VerdictState::Fixable {
                self.fixable.push(id);
            }
            self.vulnerabilities.insert(verdict.vulnerability.clone());
        }
        self.exploited.dedup();
        self.fixable.dedup();
        for (id, severity) in worst {
            self.by_severity.entry(severity).or_default().push(id);
        }
        Ok(())
    }
}
