//! Verdicts turned round: which occurrences a vulnerability affects.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Digest, ImageMetadata, LayerFindings,
    LayerMetadata, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Platform,
    Severity, Verdict, VerdictState,
};
use limpid_store::{
    FeedKey, FeedOutcome, Fleet as _, ImageId, ImageRecord, LayerRecord, OccurrenceId, OccurrenceSet,
    SqliteStore, Store, Upkeep as _,
};

const NOW: i64 = 1_700_000_000;

/// Stores an image of one layer with packages, given by name and release, and judges that nothing affects them.
fn image(store: &SqliteStore, name: &str, packages: &[(&str, &str)]) -> ImageId {
    let digest = Digest::of(name.as_bytes());
    let layer = LayerRecord {
        digest,
        size_bytes: 1,
        uncompressed_bytes: 1,
        findings: LayerFindings::default(),
        searched: Default::default(),
    };
    store.put_layer(&layer).unwrap();
    let placed = packages.iter().map(|(name, release)| {
        let package = Package {
            kind: PackageType::Deb,
            name: (*name).to_owned(),
            version: "1".to_owned(),
            arch: "amd64".to_owned(),
            source_name: (*name).to_owned(),
            source_version: "1".to_owned(),
            facts: Vec::new(),
        };
        let context = Context { release: (*release).to_owned(), ..Context::default() };
        let occurrence = Occurrence { package, context, owner: Owner::default() };
        PlacedOccurrence { occurrence, path: "var/lib/dpkg/status".to_owned() }
    });
    let diff = PackageDiff { installed: placed.collect(), ..PackageDiff::default() };
    let node = store.put_node(&digest, None, &diff).unwrap();
    let metadata = ImageMetadata {
        manifest_digest: digest,
        config_digest: None,
        platform: Platform::default(),
        os_version: String::new(),
        created: String::new(),
        environment: Vec::new(),
        labels: Vec::new(),
        layers: vec![LayerMetadata {
            digest,
            diff_id: None,
            size_bytes: 1,
            command: String::new(),
            created: String::new(),
        }],
    };
    let record = ImageRecord {
        metadata,
        nodes: vec![node],
        distribution: None,
        release: "debian:12".to_owned(),
        problems: Vec::new(),
        indexer_state: "1".to_owned(),
    };
    let id = store.put_image(&record, name, NOW).unwrap();
    let (_, occurrences) = store.contents(&[node]).unwrap();
    let all: Vec<(OccurrenceId, &[&str])> = occurrences.into_keys().map(|id| (id, &[][..])).collect();
    expose(store, &all);
    id
}

/// Replaces the advisories: each says that curl of Debian 12 is affected.
fn advisories(store: &SqliteStore, ids: &[&str]) {
    let key = FeedKey { feed: "f".into(), document: "d".into() };
    let mut update = store.begin_update(&key).unwrap();
    for id in ids {
        let affected = Affected {
            package: "curl".to_owned(),
            release: "debian:12".to_owned(),
            state: AffectedState::Open,
            ..Affected::default()
        };
        let details = AdvisoryDetails::default();
        update.add(Advisory { id: (*id).to_owned(), details, affected: vec![affected] }).unwrap();
    }
    update.commit(&FeedOutcome { now: NOW, ..FeedOutcome::default() }).unwrap();
}

fn sound(store: &SqliteStore) {
    let broken = store.check(NOW).unwrap().broken;
    assert!(broken.is_empty(), "{broken:?}");
}

/// Keeps verdicts by which occurrences are affected by vulnerabilities.
fn expose(store: &SqliteStore, affected: &[(OccurrenceId, &[&str])]) {
    let verdict = |id: &&str| Verdict {
        vulnerability: (*id).to_owned(),
        advisory: (*id).to_owned(),
        feed: "debian-tracker".to_owned(),
        state: VerdictState::NoFix,
        fixed: String::new(),
        channel: String::new(),
        severity: Severity::Unknown,
        severity_word: String::new(),
        severity_feed: String::new(),
        state_word: String::new(),
        notice: String::new(),
    };
    let verdicts = affected.iter().map(|(id, by)| (*id, by.iter().map(verdict).collect())).collect();
    store.put_verdicts(store.revision().unwrap(), 1, &verdicts, &[]).unwrap();
}

/// What the store says of which occurrences each vulnerability affects.
fn exposures(store: &SqliteStore) -> Vec<(String, Vec<OccurrenceId>)> {
    let mut found = Vec::new();
    let sink = &mut |id: &str, set: OccurrenceSet| {
        found.push((id.to_owned(), set.iter().collect()));
        Ok(())
    };
    store.exposures(sink).unwrap();
    found.sort();
    found
}

#[test]
fn what_a_vulnerability_affects_follows_verdicts_updates_and_collections() {
    let store = SqliteStore::open(Path::new(":memory:")).unwrap();
    advisories(&store, &["CVE-1", "CVE-2"]);
    image(&store, "shared", &[("libc6", "debian:12"), ("bash", "debian:12"), ("curl", "debian:12")]);
    let own = image(&store, "own", &[("bash", "debian:12"), ("curl", "debian:13"), ("nginx", "debian:13")]);
    let ids = |name: &str| -> Vec<OccurrenceId> {
        store.occurrences_named(name).unwrap().into_iter().map(|(id, _)| id).collect()
    };
    let unlisted = || store.unlisted(1, None, 100).unwrap().len();
    while store.list(1, 2).unwrap() {}
    assert_eq!((unlisted(), exposures(&store)), (0, Vec::new()));
    let (curl, bash, nginx) = (ids("curl"), ids("bash"), ids("nginx"));
    expose(&store, &[(curl[0], &["CVE-1", "CVE-2"]), (bash[0], &["CVE-2"]), (nginx[0], &["CVE-9"])]);
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
    assert_eq!((unlisted(), exposures(&store)), (0, all.clone()));
    // By other rules everything is to be judged again, and until then it stays.
    assert_eq!(store.unlisted(2, None, 100).unwrap().len(), 5);
    // An update makes stale what it names: the verdict is gone, and what was listed stays until there is another.
    advisories(&store, &["CVE-2"]);
    let stale = store.unlisted(1, None, 100).unwrap();
    assert!(stale.iter().all(|(id, _)| curl.contains(id)) && !stale.is_empty(), "{stale:?}");
    assert!(store.verdicts(&curl, 1).unwrap().is_empty() && !store.list(1, 100).unwrap());
    assert_eq!(exposures(&store), all);
    expose(&store, &curl.iter().map(|id| (*id, &["CVE-2"][..])).collect::<Vec<_>>());
    while store.list(1, 100).unwrap() {}
    let mut both = curl.clone();
    both.push(bash[0]);
    assert_eq!(exposures(&store), [of("CVE-2", both), of("CVE-9", vec![nginx[0]])]);
    sound(&store);
    // What is freed is in no set.
    store.forget(own, NOW).unwrap();
    let mut collection = store.begin_collection(NOW, NOW).unwrap();
    while collection.step().unwrap() {}
    drop(collection);
    assert!(exposures(&store).iter().all(|(id, _)| id == "CVE-2"));
    sound(&store);
}
