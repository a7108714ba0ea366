//! Daily scores: replaced whole, and outside revisions.

use limpid_store::{FeedKey, FeedOutcome, Store, VulnerabilityScore};

use crate::place::Place;

fn put(store: &dyn Store, date: &str, scores: &[(&str, u32)]) -> u64 {
    let key = FeedKey { feed: "epss".into(), document: "current".into() };
    let mut update = store.begin_scores(&key).unwrap();
    for (id, probability_e5) in scores {
        update
            .add(id, VulnerabilityScore { probability_e5: *probability_e5, percentile_e5: Some(5) })
            .unwrap();
    }
    let outcome = FeedOutcome { date: date.to_owned(), now: 7, ..FeedOutcome::default() };
    update.commit(&outcome, "v1").unwrap()
}

pub(crate) fn a_new_day_takes_the_place_of_the_old_one_and_makes_no_revision(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    assert_eq!(store.score_day("epss").unwrap(), None);
    assert_eq!(put(store, "2026-01-01", &[("CVE-2014-0160", 1), ("CVE-2014-6271", 2), ("no CVE", 3)]), 2);
    assert_eq!(put(store, "2026-01-02", &[("CVE-2014-0160", 4)]), 1);
    let found = store.scores("epss", &["CVE-2014-0160", "CVE-2014-6271", "DSA-1"]).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found["CVE-2014-0160"], VulnerabilityScore { probability_e5: 4, percentile_e5: Some(5) });
    let day = store.score_day("epss").unwrap().unwrap();
    assert_eq!((day.date.as_str(), day.model_version.as_str(), day.scores), ("2026-01-02", "v1", 1));
    assert_eq!(store.revision().unwrap(), 0);
    let state = &store.feeds().unwrap()[0];
    assert_eq!((state.records, state.succeeded_at, state.revision), (1, 7, 0));
}

pub(crate) fn an_update_that_is_dropped_leaves_the_scores_as_they_were(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    put(store, "2026-01-01", &[("CVE-2014-0160", 1)]);
    let key = FeedKey { feed: "epss".into(), document: "current".into() };
    let mut update = store.begin_scores(&key).unwrap();
    update.add("CVE-2014-0160", VulnerabilityScore { probability_e5: 9, percentile_e5: None }).unwrap();
    drop(update);
    assert_eq!(store.scores("epss", &["CVE-2014-0160"]).unwrap()["CVE-2014-0160"].probability_e5, 1);
}

pub(crate) fn when_a_record_was_asked_for_is_kept(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    store.put_record_checks(&["CVE-2014-0160", "DSA-1"], 5).unwrap();
    store.put_record_checks(&["CVE-2014-0160"], 6).unwrap();
    let checks = store.record_checks(&["CVE-2014-0160", "CVE-2014-6271", "DSA-1"]).unwrap();
    assert_eq!(checks.into_iter().collect::<Vec<_>>(), [("CVE-2014-0160".to_owned(), 6)]);
}
