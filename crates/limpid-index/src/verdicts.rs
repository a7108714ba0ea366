//! Matching: verdicts for package versions in their contexts, computed once and kept.

use std::collections::{BTreeMap, BTreeSet};

use limpid_match::{Products, RULES_VERSION, Rules, Statement, Subject};
use limpid_model::{Explanation, Occurrence, Verdict, VerdictState};
use limpid_store::{NEWEST, OccurrenceId, Store, StoredAffected};

use crate::Error;

/// The verdicts of each occurrence at a revision of the advisories: those that are affected or undetermined, sorted
/// by vulnerability. Those of the present are kept; those of the past are computed when they are asked for.
pub fn verdicts(
    store: &dyn Store,
    occurrences: &BTreeMap<OccurrenceId, Occurrence>,
    at: u64,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>, Error> {
    // Read before the advisories: if an update comes between, what is computed here is not kept.
    let revision = store.revision()?;
    let ids: Vec<OccurrenceId> = occurrences.keys().copied().collect();
    let is_present = at == NEWEST;
    let mut known = if is_present { store.verdicts(&ids, RULES_VERSION)? } else { BTreeMap::new() };
    let mut by_release: BTreeMap<&str, Vec<(OccurrenceId, &Occurrence)>> = BTreeMap::new();
    for (id, occurrence) in occurrences.iter().filter(|(id, _)| !known.contains_key(id)) {
        by_release.entry(&occurrence.context.release).or_default().push((*id, occurrence));
    }
    let mut fresh = BTreeMap::new();
    let mut signed_sources = Vec::new();
    for (release, members) in by_release {
        let said = statements(store, release, members.iter().map(|(_, occurrence)| *occurrence), at)?;
        for (id, occurrence) in members {
            signed_sources.extend(signed_source(occurrence).map(|source| (id, source)));
            let joined = joined(occurrence, judge(occurrence, &said));
            let verdicts = joined.into_iter().map(|(counting, _)| counting.verdict);
            let reported =
                |verdict: &Verdict| verdict.state.is_affected() || verdict.state == VerdictState::Unknown;
            fresh.insert(id, verdicts.filter(reported).collect());
        }
    }
    if is_present && !fresh.is_empty() {
        store.put_verdicts(revision, RULES_VERSION, &fresh, &signed_sources)?;
    }
    known.append(&mut fresh);
    Ok(known)
}

/// All verdicts of each occurrence at a revision, those that say it is not affected too, on `about` alone if that is given
/// and the rules allow it: judged anew, and not kept.
pub(crate) fn judged(
    store: &dyn Store,
    occurrences: &[(OccurrenceId, Occurrence)],
    about: Option<&BTreeSet<String>>,
    at: u64,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>, Error> {
    let mut by_release: BTreeMap<&str, Vec<&(OccurrenceId, Occurrence)>> = BTreeMap::new();
    for member in occurrences {
        by_release.entry(&member.1.context.release).or_default().push(member);
    }
    let mut judged = BTreeMap::new();
    for (release, members) in by_release {
        let all = statements(store, release, members.iter().map(|(_, occurrence)| occurrence), at)?;
        let some = about.map(|about| all.about(about));
        for (id, occurrence) in members {
            let each = rules_for(occurrence).is_some_and(Rules::judges_each);
            let said = some.as_ref().filter(|_| each).unwrap_or(&all);
            let joined = joined(occurrence, judge(occurrence, said));
            judged.insert(*id, joined.into_iter().map(|(counting, _)| counting.verdict).collect());
        }
    }
    Ok(judged)
}

/// Why `occurrence` is affected, or not, by the vulnerabilities or advisories `ids`, at a revision: what counts,
/// and what it overrules.
pub fn explain(
    store: &dyn Store,
    occurrence: &Occurrence,
    ids: &BTreeSet<String>,
    at: u64,
) -> Result<Vec<(Explanation, Vec<Explanation>)>, Error> {
    let statements = statements(store, &occurrence.context.release, [occurrence].into_iter(), at)?;
    let mut joined = joined(occurrence, judge(occurrence, &statements));
    joined.retain(|(counting, overruled)| {
        let mut all = std::iter::once(counting).chain(overruled).map(|explanation| &explanation.verdict);
        all.any(|verdict| ids.contains(&verdict.vulnerability) || ids.contains(&verdict.advisory))
    });
    Ok(joined)
}

fn joined(occurrence: &Occurrence, explanations: Vec<Explanation>) -> Vec<(Explanation, Vec<Explanation>)> {
    rules_for(occurrence).map(|rules| limpid_match::join(rules.scheme(), explanations)).unwrap_or_default()
}

/// What is known for the packages of a release.
struct Statements {
    /// What advisories say, by the name they say it of.
    by_name: BTreeMap<String, Vec<StoredAffected>>,
    /// The products that repositories serve.
    repositories: BTreeMap<String, BTreeSet<String>>,
}

impl Statements {
    /// Those that are about some vulnerabilities.
    fn about(&self, vulnerabilities: &BTreeSet<String>) -> Self {
        let about = |said: &&StoredAffected| vulnerabilities.contains(&said.vulnerability);
        let by_name = self.by_name.iter();
        Self {
            by_name: by_name
                .map(|(name, said)| (name.clone(), said.iter().filter(about).cloned().collect()))
                .collect(),
            repositories: self.repositories.clone(),
        }
    }
}

/// What advisories for the release say of the packages.
fn statements<'a>(
    store: &dyn Store,
    release: &str,
    occurrences: impl Iterator<Item = &'a Occurrence>,
    at: u64,
) -> Result<Statements, Error> {
    let (mut names, mut releases, mut repositories) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for occurrence in occurrences {
        if let Some(rules) = rules_for(occurrence) {
            names.extend(names_of(rules, occurrence));
            releases.extend(rules.releases(release));
            repositories.extend(occurrence.context.repositories.iter().map(String::as_str));
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut by_name: BTreeMap<String, Vec<StoredAffected>> = BTreeMap::new();
    for release in releases {
        for said in store.affected(&release, &names, at)? {
            by_name.entry(said.affected.package.clone()).or_default().push(said);
        }
    }
    let repositories: Vec<&str> = repositories.into_iter().collect();
    Ok(Statements { by_name, repositories: store.repository_cpes(&repositories, at)? })
}

fn rules_for(occurrence: &Occurrence) -> Option<&'static dyn Rules> {
    limpid_match::rules_for(&occurrence.context.release, occurrence.package.kind)
}

/// The source that a signed package's code comes from.
fn signed_source(occurrence: &Occurrence) -> Option<String> {
    rules_for(occurrence)?.signed(&occurrence.package).map(|code| code.source_name)
}

/// Every name under which advisories may speak of the package.
fn names_of(rules: &dyn Rules, occurrence: &Occurrence) -> BTreeSet<String> {
    let own = rules.names(&occurrence.package).into_iter().map(|(_, name)| name.to_owned());
    own.chain(signed_source(occurrence)).collect()
}

fn judge(occurrence: &Occurrence, statements: &Statements) -> Vec<Explanation> {
    let Some(rules) = rules_for(occurrence) else { return Vec::new() };
    let names = names_of(rules, occurrence);
    let said = names.iter().filter_map(|name| statements.by_name.get(name)).flatten();
    let said: Vec<Statement<'_>> = said
        .map(|said| Statement {
            feed: &said.feed,
            advisory: &said.advisory,
            vulnerability: &said.vulnerability,
            severity: (said.severity, &said.severity_word),
            affected: &said.affected,
        })
        .collect();
    let products = Products::of(&occurrence.context, &statements.repositories);
    let subject = Subject { package: &occurrence.package, context: &occurrence.context, products: &products };
    limpid_match::verdicts_of(rules, &subject, &said)
}
