//! Several statements on one vulnerability of one package become one verdict.
//!
//! The operator's own word counts first. Of the others, a package that any channel's fix has reached has the fix.
//! Otherwise the first channel's word counts whose fix can be installed, the release's own before the extended
//! ones; a release's own channel that has nothing to offer gives way to an extended one that does, and the
//! verdict names that channel.

use std::collections::BTreeMap;

use limpid_model::{Explanation, Severity, Verdict, VerdictState};
use limpid_version::Scheme;

use crate::OPERATOR_FEED;

/// The order in which channels are asked: own first.
fn channel_rank(channel: &str) -> u8 {
    match channel {
        "" => 0,
        "lts" => 1,
        _ => 2,
    }
}

/// How much a channel's word settles against another's: lower is stronger.
fn state_rank(state: VerdictState) -> u8 {
    match state {
        VerdictState::FixedAlready => 0,
        VerdictState::Fixable => 1,
        VerdictState::NeverAffected => 2,
        VerdictState::WillNotFix => 3,
        VerdictState::Deferred => 4,
        VerdictState::NoFix => 5,
        VerdictState::EndOfLife => 6,
        VerdictState::Unknown => 7,
    }
}

/// Of several ranges that one feed gives for one channel, those that the version is in count.
fn range_rank(state: VerdictState) -> u8 {
    match state {
        VerdictState::Fixable => 0,
        VerdictState::WillNotFix => 1,
        VerdictState::Deferred => 2,
        VerdictState::NoFix => 3,
        VerdictState::EndOfLife => 4,
        VerdictState::Unknown => 5,
        VerdictState::FixedAlready => 6,
        VerdictState::NeverAffected => 7,
    }
}

/// One explanation for each vulnerability, in the order of ids, however many advisories speak of it: the one that
/// counts, and those it overrules. `scheme` is the order of the packages' versions.
pub fn join(scheme: Scheme, explanations: Vec<Explanation>) -> Vec<(Explanation, Vec<Explanation>)> {
    let mut by_id: BTreeMap<String, BTreeMap<(String, String), Vec<Explanation>>> = BTreeMap::new();
    for explanation in explanations {
        let verdict = &explanation.verdict;
        let source = (verdict.feed.clone(), verdict.channel.clone());
        by_id.entry(verdict.vulnerability.clone()).or_default().entry(source).or_default().push(explanation);
    }
    let mut joined = Vec::with_capacity(by_id.len());
    for sources in by_id.into_values() {
        let mut counting = Vec::with_capacity(sources.len());
        let mut overruled = Vec::new();
        for mut ranges in sources.into_values() {
            ranges.sort_by(|a, b| {
                let key = |e: &Explanation| range_rank(e.verdict.state);
                // Affected in several ranges, it has the fix with the last of them.
                let by_fix = || scheme.compare(&b.verdict.fixed, &a.verdict.fixed);
                key(a).cmp(&key(b)).then_with(by_fix).then_with(|| a.verdict.cmp(&b.verdict))
            });
            let mut ranges = ranges.into_iter();
            counting.extend(ranges.next());
            overruled.extend(ranges);
        }
        counting.sort_by(|a, b| {
            let key = |e: &Explanation| {
                let verdict = &e.verdict;
                (verdict.feed != OPERATOR_FEED, state_rank(verdict.state), channel_rank(&verdict.channel))
            };
            key(a).cmp(&key(b)).then_with(|| a.verdict.cmp(&b.verdict))
        });
        let mut counting = counting.into_iter();
        if let Some(mut first) = counting.next() {
            let others: Vec<Explanation> = counting.chain(overruled).collect();
            lend_severity(&mut first.verdict, &others);
            joined.push((first, others));
        }
    }
    joined
}

/// The operator who says which version fixes, and nothing of the severity, leaves the distribution's word for it
/// standing.
fn lend_severity(verdict: &mut Verdict, others: &[Explanation]) {
    if verdict.feed != OPERATOR_FEED || verdict.severity != Severity::Unknown {
        return;
    }
    let others = || others.iter().map(|explanation| &explanation.verdict);
    let named = others().find(|other| other.severity != Severity::Unknown);
    let published = || others().find(|other| other.feed != OPERATOR_FEED);
    if let Some(lender) = named.or_else(published) {
        verdict.severity = lender.severity;
        verdict.severity_word.clone_from(&lender.severity_word);
        verdict.severity_feed.clone_from(&lender.feed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limpid_model::AffectedState;

    fn said(feed: &str, channel: &str, state: VerdictState, fixed: &str) -> Explanation {
        Explanation {
            verdict: Verdict {
                vulnerability: "CVE-1".into(),
                notice: String::new(),
                advisory: "CVE-1".into(),
                feed: feed.into(),
                state,
                fixed: fixed.into(),
                channel: channel.into(),
                severity: Severity::Unknown,
                severity_word: String::new(),
                severity_feed: feed.into(),
                state_word: String::new(),
            },
            rule: String::new(),
            comparison: String::new(),
            matched_name: String::new(),
            source_state: AffectedState::Fixed,
        }
    }

    #[test]
    fn the_last_of_several_fixes_in_one_list_counts_by_the_schemes_order() {
        use VerdictState::{Fixable, FixedAlready};
        let list = |fixed, state| said("secdb", "", state, fixed);
        let joined = join(
            Scheme::Apk,
            vec![list("1.9-r0", Fixable), list("1.10-r0", Fixable), list("1.2-r0", FixedAlready)],
        );
        assert_eq!((joined.len(), joined[0].0.verdict.fixed.as_str(), joined[0].1.len()), (1, "1.10-r0", 2));
    }

    #[test]
    fn any_channels_fix_is_a_fix_and_the_nearest_channels_is_named() {
        use VerdictState::{EndOfLife, Fixable, FixedAlready};
        let counting = |statements: Vec<Explanation>| {
            let joined = join(Scheme::Dpkg, statements);
            (joined[0].0.verdict.state, joined[0].0.verdict.channel.clone())
        };
        let (dsa, dla) = (said("dsa", "", EndOfLife, ""), said("dla", "lts", Fixable, "2"));
        let ela = |state| said("ela", "elts", state, "1");
        assert_eq!(counting(vec![ela(Fixable), dla.clone(), dsa.clone()]), (Fixable, "lts".into()));
        assert_eq!(counting(vec![dsa, dla, ela(FixedAlready)]), (FixedAlready, "elts".into()));
    }

    #[test]
    fn the_operators_word_counts_and_leaves_the_severity_that_it_does_not_name() {
        use VerdictState::{Fixable, NeverAffected};
        let rated = |mut explanation: Explanation, severity, word: &str| {
            (explanation.verdict.severity, explanation.verdict.severity_word) = (severity, word.to_owned());
            explanation
        };
        let debian = rated(said("debian-tracker", "", Fixable, "2"), Severity::High, "high");
        let counting = |own: Explanation| {
            let verdict = join(Scheme::Dpkg, vec![debian.clone(), own]).remove(0).0.verdict;
            (verdict.state, verdict.fixed, verdict.severity, verdict.severity_feed)
        };
        let of_debian = (Fixable, "1".to_owned(), Severity::High, "debian-tracker".to_owned());
        assert_eq!(counting(said(OPERATOR_FEED, "", Fixable, "1")), of_debian);
        let low = rated(said(OPERATOR_FEED, "", Fixable, "1"), Severity::Low, "low");
        assert_eq!(counting(low).2, Severity::Low);
        assert_eq!(counting(said(OPERATOR_FEED, "", NeverAffected, "")).0, NeverAffected);
    }
}
