//! Collections that free exactly what is unused, ids that are never given twice, what vulnerabilities affect.

use limpid_model::{Digest, PackageDiff};
use limpid_store::{Error, Freed, OccurrenceId};

use crate::fleet_of::*;
use crate::place::Place;

pub(crate) fn what_a_vulnerability_affects_follows_verdicts_updates_and_collections(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    advisories(store, &["CVE-1", "CVE-2"]);
    shared_image(store);
    let own = own_image(store);
    let ids = |name: &str| -> Vec<OccurrenceId> {
        store.occurrences_named(name).unwrap().into_iter().map(|(id, _)| id).collect()
    };
    let unlisted = || store.unlisted(1, None, 100).unwrap().len();
    while store.list(1, 2).unwrap() {}
    assert_eq!((unlisted(), exposures(store)), (0, Vec::new()));
    let (curl, bash, nginx) = (ids("curl"), ids("bash"), ids("nginx"));
    expose(store, &[(curl[0], &["CVE-1", "CVE-2"]), (bash[0], &["CVE-2"]), (nginx[0], &["CVE-9"])]);
    assert_eq!(unlisted(), 3);
    // Pages of any size are one list.
    let first = store.unlisted(1, None, 1).unwrap();
    let rest = store.unlisted(1, Some(first[0].0), 100).unwrap();
    assert_eq!((first.len(), rest.len()), (1, 2));
    while store.list(1, 1).unwrap() {}
    let sorted = |mut ids: Vec<OccurrenceId>| {
        ids.sort();
        ids
    };
    let of = |id: &str, ids: Vec<OccurrenceId>| (id.to_owned(), sorted(ids));
    let all =
        vec![of("CVE-1", vec![curl[0]]), of("CVE-2", vec![curl[0], bash[0]]), of("CVE-9", vec![nginx[0]])];
    assert_eq!((unlisted(), exposures(store)), (0, all.clone()));
    // By other rules everything is to be judged again, and until then it stays.
    assert_eq!(store.unlisted(2, None, 100).unwrap().len(), 6);
    // An update makes stale what it names: the verdict is gone, and what was listed stays until there is another.
    advisories(store, &["CVE-2"]);
    let stale = store.unlisted(1, None, 100).unwrap();
    assert!(stale.iter().all(|(id, _)| curl.contains(id)) && !stale.is_empty(), "{stale:?}");
    assert!(store.verdicts(&curl, 1).unwrap().is_empty() && !store.list(1, 100).unwrap());
    assert_eq!(exposures(store), all);
    expose(store, &curl.iter().map(|id| (*id, &["CVE-2"][..])).collect::<Vec<_>>());
    while store.list(1, 100).unwrap() {}
    let mut both = curl.clone();
    both.push(bash[0]);
    assert_eq!(exposures(store), [of("CVE-2", both), of("CVE-9", vec![nginx[0]])]);
    sound(store);
    // What is freed is in no set.
    store.forget(own, NOW).unwrap();
    let mut collection = store.begin_collection(NOW, NOW).unwrap();
    while collection.step().unwrap() {}
    drop(collection);
    assert!(exposures(store).iter().all(|(id, _)| id == "CVE-2"));
    sound(store);
}

/// An image is forgotten while a collection is under way that frees what is unused since this very second.
pub(crate) fn an_image_that_is_forgotten_beside_a_collection_comes_back(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    for stop in 1.. {
        // Something to free, and something that is used still.
        let own = own_image(store);
        store.forget(own, NOW).unwrap();
        let shared = shared_image(store);
        let mut collection = store.begin_collection(NOW, NOW).unwrap();
        let (mut steps, mut more) = (0, true);
        while more && steps < stop {
            more = collection.step().unwrap();
            steps += 1;
        }
        store.forget(shared, NOW).unwrap();
        while collection.step().unwrap() {}
        drop(collection);
        sound(store);
        let back = shared_image(store);
        assert!(store.image_by_id(back).unwrap().is_some(), "after {stop} steps");
        sound(store);
        if !more {
            return;
        }
    }
}

pub(crate) fn a_forgotten_image_frees_exactly_what_only_it_used(place: &Place) {
    let other = place.other();
    let (with, without) = (place.open(), other.open());
    let (with, without) = (with.as_ref(), without.as_ref());
    for store in [with, without] {
        advisories(store, &["CVE-1", "CVE-2"]);
        advisories(store, &["CVE-2"]);
        shared_image(store);
    }
    let own = own_image(with);
    assert_ne!(rows(with), rows(without));
    assert!(with.forget(own, NOW).unwrap());
    assert!(!with.forget(own, NOW).unwrap());
    sound(with);
    let freed = collect(with, NOW, NOW);
    assert_eq!(
        freed,
        Freed {
            layers: 3,
            nodes: 2,
            chains: 3,
            occurrences: 3,
            packages: 2,
            contexts: 1,
            verdicts: 3,
            texts: 2,
            events: 0,
            waiting: 0
        }
    );
    assert_eq!(rows(with), rows(without));
    sound(with);
    assert_eq!(collect(with, NOW, NOW), Freed::default());
    // The other order: what the first image shares with one that came later.
    let shared = with.image(&Digest::of(b"shared")).unwrap().unwrap().0;
    own_image(with);
    with.forget(shared, NOW).unwrap();
    collect(with, NOW, NOW);
    let third = place.other();
    let alone = third.open();
    let alone = alone.as_ref();
    advisories(alone, &["CVE-1", "CVE-2"]);
    advisories(alone, &["CVE-2"]);
    own_image(alone);
    assert_eq!(rows(with), rows(alone));
    sound(with);
}

pub(crate) fn what_is_unused_is_kept_for_a_while(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let own = own_image(store);
    // Of an image that is being analysed: nothing uses it yet, and nobody noted since when.
    store.put_layer(&layer("coming")).unwrap();
    let coming =
        store.put_node(&Digest::of(b"coming"), None, &installs(&[("x", "1")], "debian:12", STATUS)).unwrap();
    let freed = collect(store, NOW - 900, NOW);
    assert_eq!(freed, Freed { waiting: 2, ..Freed::default() });
    store.put_image(&record("coming", &["coming"], vec![coming]), "coming", NOW + 1).unwrap();
    store.forget(own, NOW + 100).unwrap();
    // Sooner than that nothing is free; then all of it, in one collection.
    assert_eq!(collect(store, NOW + 99, NOW + 999), Freed { waiting: 7, ..Freed::default() });
    let freed = collect(store, NOW + 100, NOW + 1000);
    assert_eq!((freed.layers, freed.nodes, freed.waiting), (4, 3, 0));
    sound(store);
    assert_eq!(store.contents(&[coming]).unwrap().1.len(), 1);
}

pub(crate) fn an_id_that_somebody_holds_never_names_another_row(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let own = own_image(store);
    let nodes = store.image_by_id(own).unwrap().unwrap().nodes;
    store.forget(own, NOW).unwrap();
    collect(store, NOW, NOW);
    let shared = shared_image(store);
    assert_ne!(own, shared);
    let gone = |result: Result<(), Error>| match result {
        Err(Error::Gone(_)) => {}
        other => panic!("{other:?}"),
    };
    gone(store.contents(&nodes).map(|_| ()));
    gone(store.put_reference(own, "latest", NOW));
    let last = nodes.last().copied();
    let diff = installs(&[("y", "1")], "debian:12", STATUS);
    gone(store.put_node(&Digest::of(b"on top"), last, &diff).map(|_| ()));
    gone(store.put_node(&Digest::of(b"as before"), last, &PackageDiff::default()).map(|_| ()));
    gone(store.put_image(&record("late", &["base"], vec![nodes[0]]), "", NOW).map(|_| ()));
    let known = store.image_by_id(shared).unwrap().unwrap().nodes;
    gone(store.put_image(&record("late", &["own"], vec![known[0]]), "", NOW).map(|_| ()));
    assert!(store.image(&Digest::of(b"late")).unwrap().is_none());
    sound(store);
}

pub(crate) fn a_node_that_is_used_again_while_it_is_being_freed_stays(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let own = own_image(store);
    let record = store.image_by_id(own).unwrap().unwrap();
    store.forget(own, NOW).unwrap();
    // At every step once: the image comes back between two transactions, from what the indexer has in memory.
    for stop in 1.. {
        let mut collection = store.begin_collection(NOW, NOW).unwrap();
        let mut steps = 0;
        while steps < stop && collection.step().unwrap() {
            steps += 1;
        }
        let put = store.put_image(&record, "own", NOW);
        while collection.step().unwrap() {}
        sound(store);
        match put {
            Ok(own) => {
                assert_eq!(store.image_by_id(own).unwrap().unwrap(), record);
                store.contents(&record.nodes).unwrap();
                store.forget(own, NOW).unwrap();
            }
            Err(Error::Gone(_)) => return,
            Err(error) => panic!("{error}"),
        }
        assert!(stop < 100);
    }
}

pub(crate) fn a_collection_that_ends_early_leaves_nothing_behind_for_ever(place: &Place) {
    let empty = place.open();
    let empty = empty.as_ref();
    for stop in 0.. {
        let place = place.other();
        let store = place.open();
        let store = store.as_ref();
        let own = own_image(store);
        store.forget(own, NOW).unwrap();
        let mut collection = store.begin_collection(NOW, NOW).unwrap();
        let mut more = true;
        for _ in 0..stop {
            more = collection.step().unwrap();
        }
        drop(collection);
        sound(store);
        collect(store, NOW, NOW);
        assert_eq!(rows(store), rows(empty), "after {stop} steps");
        if !more {
            return;
        }
    }
}

pub(crate) fn images_that_nobody_asks_for_are_found(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let (own, shared) = (own_image(store), shared_image(store));
    store.put_reference(shared, "again", NOW + 10).unwrap();
    assert_eq!(store.images_unseen_since(NOW).unwrap(), []);
    assert_eq!(store.images_unseen_since(NOW + 1).unwrap(), [own]);
    assert_eq!(store.images_unseen_since(NOW + 11).unwrap(), [own, shared]);
}

pub(crate) fn an_image_that_is_forgotten_while_it_is_read_is_whole_or_not_there(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let digest = Digest::of(b"shared");
    shared_image(store);
    let (_, known) = store.image(&digest).unwrap().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let store = place.open();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let by_digest = store.image(&digest).unwrap();
                let by_reference = store.image_by_reference("shared").unwrap();
                for (_, record) in by_digest.iter().chain(&by_reference) {
                    assert_eq!(record, &known);
                }
            }
        });
        for round in 0..if place.is_database() { 200 } else { 2000 } {
            let (id, _) = store.image(&digest).unwrap().unwrap();
            assert!(store.forget(id, NOW + round).unwrap());
            store.put_image(&known, "shared", NOW + round).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}
