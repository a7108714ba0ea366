//! Matching: verdicts for package versions in their contexts, computed once and kept.

use std::collections::{BTreeMap, BTreeSet};

use limpid_match::{RULES_VERSION, Rules, Statement};
use limpid_model::{Explanation, Occurrence, Verdict, VerdictState};
use limpid_store::{OccurrenceId, Store, StoredAffected};

use crate::Error;

/// The verdicts of each occurrence: those that are affected or undetermined, sorted by advisory.
pub fn verdicts(
    store: &dyn Store,
    occurrences: &BTreeMap<OccurrenceId, Occurrence>,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>, Error> {
    // Read before the advisories: if an update comes between, what is computed here is not kept.
    let revision = store.revision()?;
    let ids: Vec<OccurrenceId> = occurrences.keys().copied().collect();
    let mut known = store.verdicts(&ids, RULES_VERSION)?;
    let mut by_release: BTreeMap<&str, Vec<(OccurrenceId, &Occurrence)>> = BTreeMap::new();
    for (id, occurrence) in occurrences.iter().filter(|(id, _)| !known.contains_key(id)) {
        by_release.entry(&occurrence.context.release).or_default().push((*id, occurrence));
    }
    let mut fresh = BTreeMap::new();
    for (release, members) in by_release {
        let statements = statements(store, release, members.iter().map(|(_, occurrence)| *occurrence))?;
        for (id, occurrence) in members {
            let joined = limpid_match::join(judge(occurrence, &statements));
            let verdicts = joined.into_iter().map(|(counting, _)| counting.verdict);
            let reported =
                |verdict: &Verdict| verdict.state.is_affected() || verdict.state == VerdictState::Unknown;
            fresh.insert(id, verdicts.filter(reported).collect());
        }
    }
    if !fresh.is_empty() {
        store.put_verdicts(revision, RULES_VERSION, &fresh)?;
        known.append(&mut fresh);
    }
    Ok(known)
}

/// Why `occurrence` is affected, or not, by the vulnerability `id`, for each advisory that speaks of it: what
/// counts, and what it overrules.
pub fn explain(
    store: &dyn Store,
    occurrence: &Occurrence,
    ids: &BTreeSet<String>,
) -> Result<Vec<(Explanation, Vec<Explanation>)>, Error> {
    let statements = statements(store, &occurrence.context.release, [occurrence].into_iter())?;
    let mut explanations = judge(occurrence, &statements);
    explanations.retain(|explanation| ids.contains(&explanation.verdict.advisory));
    Ok(limpid_match::join(explanations))
}

type Statements = BTreeMap<String, Vec<StoredAffected>>;

/// What advisories for the release say of the packages, by the name they say it of.
fn statements<'a>(
    store: &dyn Store,
    release: &str,
    occurrences: impl Iterator<Item = &'a Occurrence>,
) -> Result<Statements, Error> {
    let mut names = BTreeSet::new();
    for occurrence in occurrences {
        if let Some(rules) = rules_for(occurrence) {
            names.extend(rules.names(&occurrence.package).into_iter().map(|(_, name)| name));
        }
    }
    let mut statements = Statements::new();
    for said in store.affected(release, &names.into_iter().collect::<Vec<_>>())? {
        statements.entry(said.affected.package.clone()).or_default().push(said);
    }
    Ok(statements)
}

fn rules_for(occurrence: &Occurrence) -> Option<&'static dyn Rules> {
    limpid_match::rules_for(&occurrence.context.release, occurrence.package.kind)
}

fn judge(occurrence: &Occurrence, statements: &Statements) -> Vec<Explanation> {
    let Some(rules) = rules_for(occurrence) else { return Vec::new() };
    let names: BTreeSet<&str> = rules.names(&occurrence.package).into_iter().map(|(_, name)| name).collect();
    let said = names.into_iter().filter_map(|name| statements.get(name)).flatten();
    said.filter_map(|said| {
        let statement = Statement {
            feed: &said.feed,
            advisory: &said.advisory,
            severity: (said.severity, &said.severity_word),
            affected: &said.affected,
        };
        rules.judge(&occurrence.package, &statement)
    })
    .collect()
}
