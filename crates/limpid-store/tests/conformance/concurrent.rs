//! Many at once: threads, each with a handle of its own, as processes have.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, Digest, PackageDiff};
use limpid_store::{Error, FeedKey, FeedOutcome, ImageId, Lease, NEWEST, NodeId, Store};

use crate::fleet_of::*;
use crate::place::Place;

const THREADS: usize = 4;

fn at_once<T: Send>(place: &Place, work: impl Fn(usize, &dyn Store) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    let store = place.open();
                    barrier.wait();
                    work(number, store.as_ref())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Packages that all share, in an order of the thread's own.
fn packages(number: usize, round: usize) -> PackageDiff {
    let mut installed: Vec<_> = (0..40)
        .map(|package_number| {
            let name = format!("package-{package_number}-{}", round / 2);
            placed(package(&name, "1", "debian:12"), &format!("path-{}", package_number % 3))
        })
        .collect();
    installed.rotate_left(number * 7 % 40);
    if number.is_multiple_of(2) {
        installed.reverse();
    }
    PackageDiff { installed, ..PackageDiff::default() }
}

pub(crate) fn many_store_the_same_packages_and_images(place: &Place) {
    let rounds = 12;
    let stored = at_once(place, |number, store| -> Vec<(NodeId, ImageId)> {
        let round = |round| {
            let name = format!("layer {round}");
            store.put_layer(&layer(&name)).unwrap();
            // The same node under the same key, in the same round, by everybody: once in an order of its own.
            let own = store.put_node(
                &Digest::of(format!("{number} {round}").as_bytes()),
                None,
                &packages(number, round),
            );
            let node = store.put_node(&Digest::of(name.as_bytes()), None, &packages(0, round)).unwrap();
            let image = record(&format!("image {round}"), &[&name], vec![node]);
            let image = store.put_image(&image, &format!("tag {number}"), NOW).unwrap();
            own.unwrap();
            (node, image)
        };
        (0..rounds).map(round).collect()
    });
    for others in &stored[1..] {
        assert_eq!(&stored[0], others);
    }
    let store = place.open();
    let status = store.status().unwrap();
    assert_eq!((status.images, status.layers, status.references), (12, 12, 48));
    assert_eq!((status.packages, status.occurrences, status.texts), (240, 240, 3));
    assert_eq!(store.readings(&Digest::of(b"layer 3")).unwrap(), THREADS as u64);
    let ids: BTreeSet<ImageId> = stored[0].iter().map(|(_, image)| *image).collect();
    assert_eq!(ids.len(), rounds);
    sound(store.as_ref());
}

fn said(id: usize, version: usize) -> Advisory {
    let affected = (0..5).map(|package| Affected {
        package: format!("package-{package}"),
        release: "debian:12".into(),
        state: AffectedState::Fixed,
        fixed: version.to_string(),
        ..Affected::default()
    });
    Advisory { id: format!("CVE-{id}"), details: AdvisoryDetails::default(), affected: affected.collect() }
}

fn update(store: &dyn Store, document: &str, version: usize) -> u64 {
    let key = FeedKey { feed: "f".into(), document: document.into() };
    let mut update = store.begin_update(&key).unwrap();
    for id in 0..20 {
        update.add(said(id, version)).unwrap();
    }
    update.commit(&FeedOutcome { now: NOW, ..FeedOutcome::default() }).unwrap().revision
}

pub(crate) fn feeds_are_updated_while_others_read(place: &Place) {
    let store = place.open();
    update(store.as_ref(), "d", 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = place.open();
                while !done.load(Ordering::Relaxed) {
                    let said = store.affected("debian:12", &["package-1"], NEWEST).unwrap();
                    let versions: BTreeSet<&str> =
                        said.iter().map(|said| said.affected.fixed.as_str()).collect();
                    assert_eq!((said.len(), versions.len()), (20, 1), "{versions:?}");
                }
            });
        }
        for version in 1..15 {
            update(store.as_ref(), "d", version);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.revision().unwrap(), 15);
    sound(store.as_ref());
}

pub(crate) fn documents_are_updated_at_the_same_time(place: &Place) {
    let revisions = at_once(place, |number, store| {
        (0..6)
            .map(|version| update(store, &format!("d{}", number / 2), version * THREADS + number))
            .collect::<Vec<_>>()
    });
    let store = place.open();
    let all: BTreeSet<u64> = revisions.iter().flatten().copied().collect();
    assert_eq!(all.len(), 6 * THREADS, "no revision twice");
    assert_eq!(store.revision().unwrap(), 6 * THREADS as u64, "and none left out");
    for of_one in &revisions {
        assert!(of_one.is_sorted());
    }
    assert_eq!(store.affected("debian:12", &["package-1"], NEWEST).unwrap().len(), 40);
    sound(store.as_ref());
}

pub(crate) fn images_are_stored_beside_collections(place: &Place) {
    let left: usize = 3;
    let working = std::sync::atomic::AtomicUsize::new(THREADS - 1);
    // Who lost a race several times has no collection beside it, as with the indexer.
    let (turn, losing) = (std::sync::Mutex::new(()), std::sync::atomic::AtomicUsize::new(0));
    at_once(place, |number, store| {
        if number == 0 {
            while working.load(Ordering::SeqCst) > 0 {
                if losing.load(Ordering::SeqCst) > 0 {
                    std::thread::yield_now();
                    continue;
                }
                let _turn = turn.lock().unwrap();
                collect(store, NOW, NOW);
            }
            return;
        }
        for round in 0..15 {
            let name = format!("image {number} {round}");
            // As the indexer does: what was freed meanwhile is stored again.
            let mut lost = 0;
            let id = loop {
                if lost == 3 {
                    losing.fetch_add(1, Ordering::SeqCst);
                }
                let _turn = (lost >= 3).then(|| turn.lock().unwrap());
                match try_put(store, &name, &[base(), ("own", packages(number, round))]) {
                    Ok(id) => break id,
                    Err(Error::Gone(_)) => lost += 1,
                    Err(error) => panic!("{error}"),
                }
            };
            if lost >= 3 {
                losing.fetch_sub(1, Ordering::SeqCst);
            }
            if round >= left {
                assert!(store.forget(id, NOW).unwrap());
            }
        }
        working.fetch_sub(1, Ordering::SeqCst);
    });
    let store = place.open();
    assert_eq!(store.status().unwrap().images, 9);
    sound(store.as_ref());
    collect(store.as_ref(), NOW, NOW);
    sound(store.as_ref());
    let status = store.status().unwrap();
    assert_eq!((status.layers, status.occurrences), (2, 82), "{status:?}");
}

fn try_put(store: &dyn Store, name: &str, steps: &[(&str, PackageDiff)]) -> limpid_store::Result<ImageId> {
    let (mut nodes, mut chain): (Vec<NodeId>, String) = (Vec::new(), String::new());
    for (digest, diff) in steps {
        store.put_layer(&layer(digest))?;
        chain.push_str(&format!("{digest} {}", diff.installed[0].occurrence.package.name));
        nodes.push(store.put_node(&Digest::of(chain.as_bytes()), nodes.last().copied(), diff)?);
    }
    let layers: Vec<&str> = steps.iter().map(|(digest, _)| *digest).collect();
    store.put_image(&record(name, &layers, nodes), name, NOW)
}

pub(crate) fn a_task_is_leased_to_one(place: &Place) {
    let granted = at_once(place, |number, store| {
        let lease = Lease { owner: format!("owner {number}"), until: NOW + 30 };
        store.lease("task", &lease, &|_| false).unwrap().is_none()
    });
    assert_eq!(granted.iter().filter(|granted| **granted).count(), 1);
    let store = place.open();
    let owner = format!("owner {}", granted.iter().position(|granted| *granted).unwrap());
    let lease = |owner: &str, until| Lease { owner: owner.to_owned(), until };
    let ask =
        |who: &str, until, is_over: bool| store.lease("task", &lease(who, until), &|_| is_over).unwrap();
    assert_eq!(ask("other", NOW, false), Some(lease(&owner, NOW + 30)));
    assert_eq!(ask(&owner, NOW + 60, false), None, "its owner extends it");
    assert_eq!(ask("other", NOW, false), Some(lease(&owner, NOW + 60)));
    assert_eq!(ask("other", NOW + 90, true), None, "what is over is taken over");
    store.release("task", &owner).unwrap();
    assert_eq!(ask(&owner, NOW, false), Some(lease("other", NOW + 90)), "who lost it gives nothing back");
    store.release("task", "other").unwrap();
    assert_eq!(ask(&owner, NOW, false), None);
    sound(store.as_ref());
}
