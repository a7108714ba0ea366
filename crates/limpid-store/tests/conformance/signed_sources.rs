//! Verdicts on packages whose code comes from another source than their own.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Digest, Occurrence, Owner, Package,
    PackageDiff, PackageType, PlacedOccurrence,
};
use limpid_store::{FeedKey, FeedOutcome, OccurrenceId, Store};

use crate::place::Place;

fn placed(name: &str, source: &str) -> PlacedOccurrence {
    let package = Package {
        kind: PackageType::Deb,
        name: name.to_owned(),
        version: "6.1.76-1".into(),
        arch: "amd64".into(),
        source_name: source.to_owned(),
        source_version: "6.1.76+1".into(),
        facts: Vec::new(),
    };
    let context = Context { release: "debian:12".into(), ..Context::default() };
    let occurrence = Occurrence { package, context, owner: Owner::default() };
    PlacedOccurrence { occurrence, path: "var/lib/dpkg/status".into() }
}

fn update(store: &dyn Store, said: &[(&str, &str)]) {
    let key = FeedKey { feed: "f".into(), document: "d".into() };
    let mut update = store.begin_update(&key).unwrap();
    for (package, fixed) in said {
        let affected = Affected {
            package: (*package).to_owned(),
            release: "debian:12".to_owned(),
            state: AffectedState::Fixed,
            fixed: (*fixed).to_owned(),
            ..Affected::default()
        };
        let id = format!("CVE-{package}");
        update.add(Advisory { id, details: AdvisoryDetails::default(), affected: vec![affected] }).unwrap();
    }
    update.commit(&FeedOutcome::default()).unwrap();
}

pub(crate) fn what_is_said_of_their_source_makes_their_verdicts_stale(place: &Place) {
    let store = place.open();
    let store = store.as_ref();
    update(store, &[("linux", "1"), ("bash", "1")]);
    let installed = vec![
        placed("linux-image-6.1.0-18-amd64", "linux-signed-amd64"),
        placed("linux-image-amd64", "linux-signed-amd64"),
        placed("bash", "bash"),
    ];
    let diff = PackageDiff { installed, ..PackageDiff::default() };
    let node = store.put_node(&Digest::from_bytes([1; 32]), None, &diff).unwrap();
    let (_, occurrences) = store.contents(&[node]).unwrap();
    let ids: Vec<OccurrenceId> = occurrences.keys().copied().collect();
    let kept = || -> BTreeSet<String> {
        let kept = store.verdicts(&ids, 1).unwrap().into_keys();
        kept.map(|id| occurrences[&id].package.name.clone()).collect()
    };
    let keep = || {
        let verdicts: BTreeMap<OccurrenceId, _> = ids.iter().map(|id| (*id, Vec::new())).collect();
        let kernels = occurrences.iter().filter(|(_, o)| o.package.name.contains("18"));
        let sources: Vec<_> = kernels.map(|(id, _)| (*id, "linux".to_owned())).collect();
        assert_eq!(sources.len(), 1);
        store.put_verdicts(store.revision().unwrap(), 1, &verdicts, &sources).unwrap();
    };
    keep();
    assert_eq!(kept().len(), 3);
    update(store, &[("linux", "2"), ("bash", "1")]);
    assert_eq!(kept(), BTreeSet::from(["bash".to_owned(), "linux-image-amd64".to_owned()]));
    // Again, once they are computed again; and not for what is said of another package.
    keep();
    update(store, &[("linux", "2"), ("bash", "2")]);
    assert_eq!(kept().len(), 2);
    update(store, &[("bash", "2")]);
    assert_eq!(kept(), BTreeSet::from(["linux-image-amd64".to_owned()]));
    let names = store.source_names().unwrap();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["bash", "linux-signed-amd64"]);
}
