//! Updates that speak of single advisories only.

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState};
use limpid_store::{FeedKey, FeedOutcome, NEWEST, Store, UpdateStats};

use crate::place::Place;

fn advisory(id: &str, description: &str, packages: &[(&str, &str)]) -> Advisory {
    Advisory {
        id: id.to_owned(),
        details: AdvisoryDetails { description: description.to_owned(), ..AdvisoryDetails::default() },
        affected: packages
            .iter()
            .map(|(package, fixed)| Affected {
                package: (*package).to_owned(),
                release: "rhel:9".to_owned(),
                state: AffectedState::Fixed,
                fixed: (*fixed).to_owned(),
                ..Affected::default()
            })
            .collect(),
    }
}

fn key() -> FeedKey {
    FeedKey { feed: "f".into(), document: "d".into() }
}

fn update(store: &dyn Store, partial: bool, dropped: &[&str], advisories: Vec<Advisory>) -> UpdateStats {
    let mut update = store.begin_update(&key()).unwrap();
    if partial {
        update.keep_others();
    }
    for id in dropped {
        update.drop_id(id).unwrap();
    }
    for advisory in advisories {
        update.add(advisory).unwrap();
    }
    update.commit(&FeedOutcome::default()).unwrap()
}

fn fixed(store: &dyn Store, package: &str) -> Vec<(String, String)> {
    let said = store.affected("rhel:9", &[package], NEWEST).unwrap();
    said.into_iter().map(|said| (said.advisory, said.affected.fixed)).collect()
}

pub(crate) fn a_partial_update_writes_what_it_names_and_leaves_the_rest(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let first = update(
        store,
        false,
        &[],
        vec![
            advisory("CVE-1", "one", &[("a", "1"), ("b", "1")]),
            advisory("CVE-2", "two", &[("a", "2")]),
            advisory("CVE-3", "three", &[("a", "3")]),
        ],
    );
    assert_eq!((first.added, first.removed), (4, 0));

    let second = update(
        store,
        true,
        &["CVE-1", "CVE-3", "CVE-0"],
        vec![advisory("CVE-1", "one", &[("a", "1"), ("b", "1.1")]), advisory("CVE-4", "four", &[("b", "4")])],
    );
    // CVE-1's b changed (one gone, one new), CVE-3 is gone, CVE-4 is new; its details and CVE-3's count too.
    assert_eq!((second.added, second.removed, second.unchanged, second.details_changed), (2, 2, 2, 2));
    let pair = |id: &str, version: &str| (id.to_owned(), version.to_owned());
    assert_eq!(fixed(store, "a"), [pair("CVE-1", "1"), pair("CVE-2", "2")]);
    assert_eq!(fixed(store, "b"), [pair("CVE-1", "1.1"), pair("CVE-4", "4")]);
    assert!(store.advisories("CVE-3", NEWEST).unwrap().is_empty());
    assert_eq!(store.feeds().unwrap()[0].records, 4);
    assert_eq!(store.feeds_for("rhel:9", NEWEST).unwrap()[0].records, 4);
    assert_eq!(store.advisories("CVE-2", NEWEST).unwrap()[0].since_revision, first.revision);

    let third = update(store, true, &["CVE-2"], vec![advisory("CVE-2", "two", &[("a", "2")])]);
    assert_eq!((third.added, third.removed, third.details_changed), (0, 0, 0));
    assert_eq!(third.revision, second.revision);

    let whole = update(store, false, &[], vec![advisory("CVE-2", "two", &[("a", "2")])]);
    assert_eq!((whole.added, whole.removed, whole.unchanged), (0, 3, 1));
}
