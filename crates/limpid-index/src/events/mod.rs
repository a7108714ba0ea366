//! Change events from what feeds changed: who is told what, once.
//!
//! The store says up to which revision events were derived. From there to the newest one the difference is taken in
//! *steps*:
//!
//! * revisions in which a document was read for the first time are passed over: they are a baseline, not news. The user's
//!   own advisories are no baseline, since nobody imports them but to be told;
//! * a revision in which another parser read the same document is a step of its own, as is a new version of the rules:
//!   what comes out otherwise is `reassessed`, since no source said anything new;
//! * all others up to the next of these are one step: three updates before one processing are one difference, and an
//!   advisory that came and went between is none.
//!
//! A step goes from the vulnerabilities of which something else is said to the packages that advisories name, to the
//! sources of packages in the store ([`units`]), and judges these alone, at both revisions ([`compare`]). What it costs
//! depends on the packages that are touched, never on images: those are counted in the index, once for each event.
//!
//! Sources are gone through in order. When many differences came together, they are stored with the source that was
//! reached, so that memory stays bounded and a step that is interrupted goes on there. The events of one such part
//! are grouped: one for each vulnerability and kind.

mod answers;
mod compare;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{BTreeMap, BTreeSet};

use limpid_feeds::LOCAL_FEED;
use limpid_match::RULES_VERSION;
use limpid_store::{EventKind, ImageId, NEWEST, Processed, Revision, RevisionOrigin, Step, Store};

use crate::lease::Leases;
use crate::verdicts::verdicts;
use crate::{Clock, Error, Process};

pub use answers::{Assessment, EventImage, assessment, event_images};

use compare::Comparison;
use units::{Units, occurrences_of};

/// The task of deriving events, for its lease.
const TASK: &str = "events";
/// Differences that are held before they are stored: some hundred bytes each.
const DIFFERENCES_MAX: usize = 100_000;
/// Occurrences that are judged at a time: a kernel's package has some thousand verdicts.
const OCCURRENCES_MAX: usize = 256;

/// What came of deriving events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derived {
    /// The revision that is processed now.
    pub revision: u64,
    /// Events that were stored, by kind.
    pub events: BTreeMap<EventKind, u64>,
}

/// Derives the events of all that feeds changed since the last time, one process at a time.
pub fn derive_events(store: &dyn Store, clock: &dyn Clock, process: &dyn Process) -> Result<Derived, Error> {
    let leases = Leases { store, clock, process };
    let known = |_| {
        let newest = store.revision()?;
        let is_done = store.processed()? == done(newest);
        Ok(is_done.then(|| Derived { revision: newest, ..Derived::default() }))
    };
    leases.once(TASK, &known, || {
        let differences_max = DIFFERENCES_MAX;
        let mut derivation = Derivation { store, clock, differences_max, derived: Derived::default() };
        while derivation.advance()? {}
        Ok(derivation.derived)
    })
}

fn done(revision: u64) -> Processed {
    Processed { revision, rules_version: RULES_VERSION, step: None }
}

/// Why a step has differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Feeds said something else.
    Feeds,
    /// Another parser read the same.
    Parser,
    /// Other rules judged the same; the version of those before.
    Rules(u32),
}

/// A step, from the revision that is processed.
struct Plan {
    reason: Reason,
    until: u64,
    last_image: ImageId,
}

struct Derivation<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    differences_max: usize,
    derived: Derived,
}

impl Derivation<'_> {
    /// Does one part of the work; whether there may be more.
    fn advance(&mut self) -> Result<bool, Error> {
        let newest = self.store.revision()?;
        let state = self.store.processed()?;
        self.derived.revision = state.revision;
        if state == done(newest) {
            return Ok(false);
        }
        if state.rules_version == 0 {
            // Nothing was judged by other rules.
            self.store.put_events(&state, &done(state.revision), &[], self.clock.now())?;
            return Ok(true);
        }
        let revisions = self.store.revisions(state.revision, newest)?;
        let passed = baseline(&revisions);
        if let (None, RULES_VERSION, Some(revision)) = (&state.step, state.rules_version, passed) {
            self.store.put_events(&state, &done(revision), &[], self.clock.now())?;
            return Ok(true);
        }
        let plan = match plan(&state, &revisions) {
            Some(plan) => plan,
            None => Plan {
                reason: Reason::Rules(state.rules_version),
                until: state.step.as_ref().map_or(newest, |step| step.revision),
                last_image: self.store.last_image()?,
            },
        };
        self.part(&state, &plan)?;
        Ok(true)
    }

    /// Compares the packages of sources, from where the step stopped until there are differences enough, and stores
    /// what came of it.
    fn part(&mut self, state: &Processed, plan: &Plan) -> Result<(), Error> {
        let mut comparison = Comparison::new(self.store, plan, state.revision);
        let units = Units::of(self.store, plan.reason, state.revision, plan.until, &mut comparison)?;
        let after = state.step.as_ref().map(|step| step.after.as_str());
        let mut last = None;
        let mut judged_anew = BTreeSet::new();
        for (source, unit) in units.after(after) {
            if comparison.differences() >= self.differences_max {
                break;
            }
            let occurrences = occurrences_of(self.store, source, unit)?;
            for batch in occurrences.chunks(OCCURRENCES_MAX) {
                comparison.compare(batch, unit)?;
            }
            if unit.forgets_verdicts {
                judged_anew.insert(source);
            }
            last = Some(source);
        }
        let is_whole = last.is_none() || last == units.last();
        let (mut to, events) = (done(plan.until), comparison.into_events()?);
        if matches!(plan.reason, Reason::Rules(_)) {
            to.revision = state.revision;
        }
        if let (false, Some(source)) = (is_whole, last) {
            let step = Step { revision: plan.until, after: source.to_owned() };
            to = Processed { step: Some(step), ..state.clone() };
        }
        if self.store.put_events(state, &to, &events, self.clock.now())? {
            for event in &events {
                *self.derived.events.entry(event.kind).or_default() += 1;
            }
        }
        self.keep_verdicts(&units, &judged_anew)
    }

    /// Judges for the present what an update forgot, so that the next report finds it.
    fn keep_verdicts(&self, units: &Units, sources: &BTreeSet<&str>) -> Result<(), Error> {
        for source in sources {
            let Some(unit) = units.get(source) else { continue };
            let mut occurrences = occurrences_of(self.store, source, unit)?;
            while !occurrences.is_empty() {
                let rest = occurrences.split_off(occurrences.len().min(OCCURRENCES_MAX));
                verdicts(self.store, &occurrences.into_iter().collect(), NEWEST)?;
                occurrences = rest;
            }
        }
        Ok(())
    }
}

fn is_baseline(revision: &Revision) -> bool {
    revision.origin == RevisionOrigin::First && revision.key.feed != LOCAL_FEED
}

/// The last of the first revisions that are baselines.
fn baseline(revisions: &[Revision]) -> Option<u64> {
    revisions.iter().take_while(|revision| is_baseline(revision)).last().map(|revision| revision.revision)
}

/// The step of feeds that is under way or comes next; `None` if other rules come first.
fn plan(state: &Processed, revisions: &[Revision]) -> Option<Plan> {
    if state.rules_version != RULES_VERSION {
        return None;
    }
    let is_parser = |revision: &Revision| revision.origin == RevisionOrigin::Parser;
    let plan = |reason, last: &Revision| Plan { reason, until: last.revision, last_image: last.last_image };
    let first = revisions.first()?;
    if is_parser(first) {
        return Some(plan(Reason::Parser, first));
    }
    let until = state.step.as_ref().map_or(u64::MAX, |step| step.revision);
    let step = revisions
        .iter()
        .take_while(|revision| !is_baseline(revision) && !is_parser(revision) && revision.revision <= until);
    step.last().map(|last| plan(Reason::Feeds, last))
}
