//! Feeds, revisions, and what was said when.

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Severity};
use limpid_store::{AdvisoryChange, FeedKey, FeedOutcome, NEWEST, Store, UpdateStats};

use crate::fleet_of::sound;
use crate::place::Place;

fn key(document: &str) -> FeedKey {
    FeedKey { feed: "feed".into(), document: document.into() }
}

fn said(id: &str, description: &str, fixes: &[(&str, &str, &str)]) -> Advisory {
    let affected = fixes.iter().map(|(package, release, fixed)| Affected {
        package: (*package).into(),
        release: (*release).into(),
        state: AffectedState::Fixed,
        fixed: (*fixed).into(),
        ..Affected::default()
    });
    let details = AdvisoryDetails {
        description: description.into(),
        severity: Severity::High,
        severity_word: "high".into(),
        ..AdvisoryDetails::default()
    };
    Advisory { id: id.into(), details, affected: affected.collect() }
}

fn update(store: &dyn Store, document: &str, now: i64, all: Vec<Advisory>) -> UpdateStats {
    let mut update = store.begin_update(&key(document)).unwrap();
    for advisory in all {
        update.add(advisory).unwrap();
    }
    update.commit(&FeedOutcome { now, date: format!("day {now}"), ..FeedOutcome::default() }).unwrap()
}

fn fixes(store: &dyn Store, at: u64) -> Vec<(String, String)> {
    let said = store.affected("r:1", &["b", "a", "none"], at).unwrap();
    said.into_iter().map(|said| (said.affected.package, said.affected.fixed)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(left, right)| ((*left).to_owned(), (*right).to_owned())).collect()
}

pub(crate) fn what_was_said_is_told_for_every_revision(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let one = said(
        "CVE-1",
        "",
        &[("a", "r:1", "1"), ("a", "r:2", "9"), ("b", "r:1", "2"), ("a", "r:1", "1-other")],
    );
    assert_eq!(update(store, "d", 10, vec![one.clone()]).revision, 1);
    let again = update(store, "d", 11, vec![one.clone()]);
    assert_eq!((again.revision, again.added, again.removed, again.unchanged), (1, 0, 0, 4));
    let second = update(
        store,
        "d",
        20,
        vec![said("CVE-1", "", &[("a", "r:1", "3")]), said("CVE-2", "", &[("b", "r:1", "4")])],
    );
    assert_eq!((second.revision, second.added, second.removed), (2, 2, 4));
    update(store, "other", 30, vec![said("CVE-3", "", &[("a", "r:3", "5")])]);
    // Names in the order in which they were asked for.
    assert_eq!(fixes(store, 0), []);
    assert_eq!(fixes(store, 1), pairs(&[("b", "2"), ("a", "1"), ("a", "1-other")]));
    assert_eq!(fixes(store, 2), pairs(&[("b", "4"), ("a", "3")]));
    assert_eq!(fixes(store, NEWEST), fixes(store, 2));
    assert_eq!(
        (store.revision_at(9).unwrap(), store.revision_at(19).unwrap(), store.revision_at(99).unwrap()),
        (0, 1, 3)
    );
    assert_eq!((store.revision_time(2).unwrap(), store.revision_time(4).unwrap()), (Some(20), None));
    let documents = |release: &str, at| -> Vec<(String, u64, String)> {
        let states = store.feeds_for(release, at).unwrap();
        states.into_iter().map(|state| (state.key.document, state.revision, state.date)).collect()
    };
    assert_eq!(documents("r:2", 1), [("d".into(), 1, "day 10".into())]);
    assert_eq!(documents("r:2", NEWEST), []);
    assert_eq!(documents("r:1", 2), [("d".into(), 2, "day 20".into())]);
    assert_eq!(documents("r:3", 2), []);
    assert_eq!(documents("r:3", 3), [("other".into(), 3, "day 30".into())]);
    let record = |at| store.advisories("CVE-1", at).unwrap().remove(0);
    assert_eq!((record(1).since_revision, record(1).advisory.affected.len()), (1, 4));
    assert_eq!((record(2).since_revision, record(2).advisory.affected.len()), (1, 1));
    assert_eq!(
        store.severities(&key("d")).unwrap().into_iter().collect::<Vec<_>>(),
        [("High".to_owned(), 2)]
    );
    sound(store);
}

pub(crate) fn what_changed_between_revisions_is_told_once(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    update(
        store,
        "d",
        1,
        vec![said("CVE-1", "one", &[("a", "r:1", "1")]), said("CVE-2", "two", &[("b", "r:1", "1")])],
    );
    update(
        store,
        "d",
        2,
        vec![said("CVE-1", "one!", &[("a", "r:1", "2"), ("c", "r:1", "7")]), said("CVE-3", "", &[])],
    );
    update(store, "d", 3, vec![said("CVE-1", "one", &[("a", "r:1", "1")]), said("CVE-3", "", &[])]);
    let between = |after, until| {
        let mut changes: Vec<AdvisoryChange> = Vec::new();
        let sink = &mut |change| {
            // A sink may ask the store.
            assert_eq!(store.revision()?, 3);
            changes.push(change);
            Ok(())
        };
        store.changes(after, until, sink).unwrap();
        changes
    };
    let ids =
        |changes: &[AdvisoryChange]| changes.iter().map(|change| change.advisory.clone()).collect::<Vec<_>>();
    let second = between(1, 2);
    assert_eq!(ids(&second), ["CVE-1", "CVE-2", "CVE-3"]);
    let versions: Vec<_> = second[0]
        .affected
        .iter()
        .map(|(before, now)| {
            (before.as_ref().map(|said| said.fixed.as_str()), now.as_ref().map(|said| said.fixed.as_str()))
        })
        .collect();
    assert_eq!(versions, [(Some("1"), Some("2")), (None, Some("7"))]);
    let (before, now) = second[0].details.clone().unwrap();
    assert_eq!((before.unwrap().description, now.unwrap().description), ("one".into(), "one!".into()));
    assert!(second[1].details.as_ref().unwrap().1.is_none());
    // What came and went in between is no change.
    assert_eq!(ids(&between(1, NEWEST)), ["CVE-2", "CVE-3"]);
    assert_eq!(ids(&between(2, 3)), ["CVE-1"]);
    assert_eq!(ids(&between(3, NEWEST)), Vec::<String>::new());
    assert_eq!(ids(&between(0, 1)), ["CVE-1", "CVE-2"]);
    // What ends in the middle ends.
    let stopped = store.changes(0, 3, &mut |_| Err(limpid_store::Error::Caller("enough".into())));
    assert!(matches!(stopped, Err(limpid_store::Error::Caller(_))));
    assert_eq!(store.revision().unwrap(), 3);
}

pub(crate) fn how_updates_went_is_told(place: &Place) {
    let store = place.open();
    store.feed_failed(&key("d"), "https://feed.example/d", "no answer", 5).unwrap();
    store.feed_unchanged(&key("unknown"), 6).unwrap();
    let state = || store.feeds().unwrap().remove(0);
    assert_eq!(store.feeds().unwrap().len(), 1);
    assert_eq!((state().attempted_at, state().succeeded_at, state().error), (5, 0, "no answer".to_owned()));
    update(store.as_ref(), "d", 7, vec![said("CVE-1", "", &[("a", "r:1", "1")])]);
    assert_eq!(
        (state().succeeded_at, state().revision, state().records, state().error),
        (7, 1, 1, String::new())
    );
    store.feed_failed(&key("d"), "https://feed.example/d", "again", 8).unwrap();
    assert_eq!((state().attempted_at, state().succeeded_at, state().revision), (8, 7, 1));
    store.feed_unchanged(&key("d"), 9).unwrap();
    assert_eq!((state().attempted_at, state().succeeded_at, state().error), (9, 9, String::new()));
}

pub(crate) fn an_update_that_is_dropped_leaves_nothing(place: &Place) {
    let store = place.open();
    update(store.as_ref(), "d", 7, vec![said("CVE-1", "", &[("a", "r:1", "1")])]);
    let before = store.status().unwrap();
    let mut dropped = store.begin_update(&key("d")).unwrap();
    dropped.add(said("CVE-2", "", &[("z", "r:9", "1")])).unwrap();
    drop(dropped);
    let after = store.status().unwrap();
    assert_eq!(
        (before.texts, before.advisories, before.revisions),
        (after.texts, after.advisories, after.revisions)
    );
    // What is only dropped by name leaves no text behind either.
    let mut partial = store.begin_update(&key("d")).unwrap();
    partial.keep_others();
    partial.drop_id("CVE-never").unwrap();
    assert_eq!(partial.commit(&FeedOutcome::default()).unwrap().revision, 1);
    assert_eq!(store.status().unwrap().texts, before.texts);
}

pub(crate) fn knowledge_comes_together_by_vulnerability(place: &Place) {
    let store = place.open();
    let mut alias = said("GHSA-1", "ghsa", &[]);
    alias.details.aliases = vec!["CVE-2024-0001".into()];
    let mut withdrawn = said("CVE-2024-0002", "gone", &[]);
    withdrawn.details.withdrawn = "2024-01-01".into();
    update(store.as_ref(), "d", 1, vec![said("CVE-2024-0001", "cve", &[]), alias, withdrawn]);
    // The same id in two parts of one document adds up.
    let two = vec![
        said("CVE-2024-0001", "", &[("a", "r:1", "1")]),
        said("CVE-2024-0001", "other", &[("b", "r:1", "1")]),
    ];
    assert_eq!(update(store.as_ref(), "e", 2, two).added, 2);
    let known = |at| {
        let mut known = store.knowledge(&["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003"], at).unwrap();
        assert!(known.len() <= 1);
        let said = known.remove("CVE-2024-0001").unwrap_or_default();
        said.into_iter().map(|said| (said.advisory, said.details.description)).collect::<Vec<_>>()
    };
    assert_eq!(known(0), []);
    assert_eq!(known(1), pairs(&[("CVE-2024-0001", "cve"), ("GHSA-1", "ghsa")]));
    assert_eq!(
        known(NEWEST),
        pairs(&[("CVE-2024-0001", "cve"), ("CVE-2024-0001", "other"), ("GHSA-1", "ghsa")])
    );
    let by_alias = store.advisories("CVE-2024-0001", NEWEST).unwrap();
    let ids: Vec<_> =
        by_alias.iter().map(|record| (record.key.document.as_str(), record.advisory.id.as_str())).collect();
    assert_eq!(ids, [("d", "CVE-2024-0001"), ("e", "CVE-2024-0001"), ("d", "GHSA-1")]);
}
