//! Repositories and the products that they serve.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{
    Context, Digest, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Verdict,
};
use limpid_store::{FeedKey, FeedOutcome, OccurrenceId};

use crate::place::Place;

type Map = BTreeMap<String, BTreeSet<String>>;

fn map(pairs: &[(&str, &str)]) -> Map {
    let mut map = Map::new();
    for (repository, cpe) in pairs {
        map.entry((*repository).to_owned()).or_default().insert((*cpe).to_owned());
    }
    map
}

fn in_repository(name: &str) -> Occurrence {
    let package = Package {
        kind: PackageType::Rpm,
        name: "a".into(),
        version: "1-1".into(),
        arch: "noarch".into(),
        source_name: "a".into(),
        source_version: "1-1".into(),
        facts: Vec::new(),
    };
    let context =
        Context { release: "rhel:9".into(), repositories: vec![name.to_owned()], ..Context::default() };
    Occurrence { package, context, owner: Owner::default() }
}

pub(crate) fn only_what_differs_is_written_and_only_its_verdicts_are_forgotten(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    let key = FeedKey { feed: "redhat-repository-cpes".into(), document: "repository-to-cpe".into() };
    let put = |map: &Map| store.put_repository_cpes(&key, map, &FeedOutcome::default()).unwrap();
    let first = put(&map(&[("one", "cpe:/a:x:1"), ("one", "cpe:/a:x:2"), ("two", "cpe:/a:y")]));
    assert_eq!((first.added, first.removed, first.unchanged), (3, 0, 0));

    let installed = ["one", "two"]
        .map(|name| PlacedOccurrence { occurrence: in_repository(name), path: "var/lib/rpm".into() })
        .to_vec();
    let diff = PackageDiff { installed, ..PackageDiff::default() };
    let node = store.put_node(&Digest::from_bytes([1; 32]), None, &diff).unwrap();
    let (_, occurrences) = store.contents(&[node]).unwrap();
    let ids: Vec<OccurrenceId> = occurrences.keys().copied().collect();
    let none: BTreeMap<OccurrenceId, Vec<Verdict>> = ids.iter().map(|id| (*id, Vec::new())).collect();
    store.put_verdicts(store.revision().unwrap(), 1, &none, &[]).unwrap();
    assert_eq!(store.verdicts(&ids, 1).unwrap().len(), 2);

    let same = put(&map(&[("one", "cpe:/a:x:1"), ("one", "cpe:/a:x:2"), ("two", "cpe:/a:y")]));
    assert_eq!((same.added, same.removed, same.revision), (0, 0, first.revision));
    assert_eq!(store.verdicts(&ids, 1).unwrap().len(), 2);

    let second = put(&map(&[("one", "cpe:/a:x:2"), ("two", "cpe:/a:y"), ("three", "cpe:/a:z")]));
    assert_eq!((second.added, second.removed, second.unchanged), (1, 1, 2));
    assert!(second.revision > first.revision);
    let left: Vec<OccurrenceId> = store.verdicts(&ids, 1).unwrap().into_keys().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(occurrences[&left[0]].context.repositories, ["two"]);
    assert_eq!(
        store.repository_cpes(&["one", "three", "four"], limpid_store::NEWEST).unwrap(),
        map(&[("one", "cpe:/a:x:2"), ("three", "cpe:/a:z")])
    );
    let state = &store.feeds().unwrap()[0];
    assert_eq!((state.records, state.revision), (3, second.revision));
}
