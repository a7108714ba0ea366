//! Checks that find planted damage, collections that free exactly what is unused, ids that are never given twice.
#![allow(clippy::unwrap_used, clippy::panic)]

mod damage;

use std::path::{Path, PathBuf};

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Digest, ImageMetadata, LayerFindings,
    LayerMetadata, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Platform,
    Severity, Verdict, VerdictState,
};
use limpid_store::{
    Error, FeedKey, FeedOutcome, Fleet as _, Freed, ImageId, ImageRecord, LayerRecord, NodeId, OccurrenceId,
    SqliteStore, Store, StoreStatus, Upkeep,
};

const NOW: i64 = 1_700_000_000;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self, name: &str) -> SqliteStore {
        SqliteStore::open(&self.path(name)).unwrap()
    }
}

fn package(name: &str, version: &str, release: &str) -> Occurrence {
    let package = Package {
        kind: PackageType::Deb,
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "amd64".to_owned(),
        source_name: name.to_owned(),
        source_version: version.to_owned(),
        facts: Vec::new(),
    };
    let context = Context { release: release.to_owned(), ..Context::default() };
    Occurrence { package, context, owner: Owner::default() }
}

fn placed(occurrence: Occurrence, path: &str) -> PlacedOccurrence {
    PlacedOccurrence { occurrence, path: path.to_owned() }
}

fn installs(packages: &[(&str, &str)], release: &str, path: &str) -> PackageDiff {
    let installed =
        packages.iter().map(|(name, version)| placed(package(name, version, release), path)).collect();
    PackageDiff { installed, ..PackageDiff::default() }
}

fn layer(name: &str) -> LayerRecord {
    LayerRecord {
        digest: Digest::of(name.as_bytes()),
        size_bytes: 1,
        uncompressed_bytes: 1,
        findings: LayerFindings::default(),
        searched: Default::default(),
    }
}

fn record(name: &str, layers: &[&str], nodes: Vec<NodeId>) -> ImageRecord {
    let layers = layers.iter().map(|layer| LayerMetadata {
        digest: Digest::of(layer.as_bytes()),
        diff_id: None,
        size_bytes: 1,
        command: format!("COPY {layer}"),
        created: String::new(),
    });
    ImageRecord {
        metadata: ImageMetadata {
            manifest_digest: Digest::of(name.as_bytes()),
            config_digest: None,
            platform: Platform::default(),
            os_version: String::new(),
            created: String::new(),
            environment: Vec::new(),
            labels: vec![("image".to_owned(), name.to_owned()), ("of".to_owned(), "all".to_owned())],
            layers: layers.collect(),
        },
        nodes,
        distribution: None,
        release: "debian:12".to_owned(),
        problems: Vec::new(),
        indexer_state: "1".to_owned(),
    }
}

/// Stores an image by its layers and what each did, as the indexer does, with verdicts.
fn put(store: &SqliteStore, name: &str, steps: &[(&str, PackageDiff)]) -> ImageId {
    let (mut nodes, mut chain): (Vec<NodeId>, String) = (Vec::new(), String::new());
    for (digest, diff) in steps {
        store.put_layer(&layer(digest)).unwrap();
        chain.push_str(digest);
        let parent = nodes.last().copied();
        nodes.push(store.put_node(&Digest::of(chain.as_bytes()), parent, diff).unwrap());
    }
    let layers: Vec<&str> = steps.iter().map(|(digest, _)| *digest).collect();
    let id = store.put_image(&record(name, &layers, nodes.clone()), name, NOW).unwrap();
    let (_, occurrences) = store.contents(&nodes).unwrap();
    let signed: Vec<(OccurrenceId, String)> =
        occurrences.keys().take(1).map(|id| (*id, "linux".to_owned())).collect();
    let verdicts = occurrences.into_keys().map(|id| (id, Vec::<Verdict>::new())).collect();
    store.put_verdicts(store.revision().unwrap(), 1, &verdicts, &signed).unwrap();
    id
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

const STATUS: &str = "var/lib/dpkg/status";

fn base() -> (&'static str, PackageDiff) {
    ("base", installs(&[("libc6", "2.36"), ("bash", "5.2")], "debian:12", STATUS))
}

fn shared_image(store: &SqliteStore) -> ImageId {
    put(store, "shared", &[base(), ("app", installs(&[("curl", "7.88")], "debian:12", STATUS))])
}

/// An image on the same base, with a package, a context and a path of its own, and one that moved.
fn own_image(store: &SqliteStore) -> ImageId {
    let upgraded = PackageDiff {
        upgraded: vec![(
            package("bash", "5.2", "debian:12"),
            placed(package("bash", "5.3", "debian:12"), STATUS),
        )],
        reassigned: vec![(
            package("libc6", "2.36", "debian:12"),
            placed(package("libc6", "2.36", "debian:12"), "srv/elsewhere"),
        )],
        ..PackageDiff::default()
    };
    let own = installs(&[("curl", "7.88"), ("nginx", "1.22")], "debian:13", "opt/chroot/var/lib/dpkg/status");
    put(store, "own", &[base(), ("upgrade", upgraded), ("nothing", PackageDiff::default()), ("own", own)])
}

fn advisories(store: &SqliteStore, ids: &[&str]) {
    let key = FeedKey { feed: "f".into(), document: "d".into() };
    let mut update = store.begin_update(&key).unwrap();
    for id in ids {
        let affected = Affected {
            package: "curl".to_owned(),
            release: "debian:12".to_owned(),
            state: AffectedState::Fixed,
            fixed: format!("8-{id}"),
            ..Affected::default()
        };
        let details = AdvisoryDetails { aliases: vec![format!("ALIAS-{id}")], ..AdvisoryDetails::default() };
        update.add(Advisory { id: (*id).to_owned(), details, affected: vec![affected] }).unwrap();
    }
    update.commit(&FeedOutcome { now: NOW, ..FeedOutcome::default() }).unwrap();
}

fn collect(store: &SqliteStore, unused_since: i64, now: i64) -> Freed {
    let mut collection = store.begin_collection(unused_since, now).unwrap();
    while collection.step().unwrap() {}
    collection.freed()
}

/// Counts of rows, without sizes.
fn rows(store: &SqliteStore) -> StoreStatus {
    let status = store.status().unwrap();
    StoreStatus { file_bytes: 0, free_bytes: 0, log_bytes: 0, ..status }
}

fn sound(store: &SqliteStore) {
    let report = store.check(NOW).unwrap();
    assert!(report.is_sound(), "{:?}", report.broken);
}

#[test]
fn a_forgotten_image_frees_exactly_what_only_it_used() {
    let folder = Folder::new();
    let (with, without) = (folder.store("with.db"), folder.store("without.db"));
    for store in [&with, &without] {
        advisories(store, &["CVE-1", "CVE-2"]);
        advisories(store, &["CVE-2"]);
        shared_image(store);
    }
    let own = own_image(&with);
    assert_ne!(rows(&with), rows(&without));
    assert!(with.forget(own, NOW).unwrap());
    assert!(!with.forget(own, NOW).unwrap());
    sound(&with);
    let freed = collect(&with, NOW, NOW);
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
    assert_eq!(rows(&with), rows(&without));
    sound(&with);
    assert_eq!(collect(&with, NOW, NOW), Freed::default());
    // The other order: what the first image shares with one that came later.
    let shared = with.image(&Digest::of(b"shared")).unwrap().unwrap().0;
    own_image(&with);
    with.forget(shared, NOW).unwrap();
    collect(&with, NOW, NOW);
    let alone = folder.store("alone.db");
    advisories(&alone, &["CVE-1", "CVE-2"]);
    advisories(&alone, &["CVE-2"]);
    own_image(&alone);
    assert_eq!(rows(&with), rows(&alone));
    sound(&with);
}

#[test]
fn what_is_unused_is_kept_for_a_while() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    let own = own_image(&store);
    // Of an image that is being analysed: nothing uses it yet, and nobody noted since when.
    store.put_layer(&layer("coming")).unwrap();
    let coming =
        store.put_node(&Digest::of(b"coming"), None, &installs(&[("x", "1")], "debian:12", STATUS)).unwrap();
    let freed = collect(&store, NOW - 900, NOW);
    assert_eq!(freed, Freed { waiting: 2, ..Freed::default() });
    store.put_image(&record("coming", &["coming"], vec![coming]), "coming", NOW + 1).unwrap();
    store.forget(own, NOW + 100).unwrap();
    // Sooner than that nothing is free; then all of it, in one collection.
    assert_eq!(collect(&store, NOW + 99, NOW + 999), Freed { waiting: 7, ..Freed::default() });
    let freed = collect(&store, NOW + 100, NOW + 1000);
    assert_eq!((freed.layers, freed.nodes, freed.waiting), (4, 3, 0));
    sound(&store);
    assert_eq!(store.contents(&[coming]).unwrap().1.len(), 1);
}

#[test]
fn an_id_that_somebody_holds_never_names_another_row() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    let own = own_image(&store);
    let nodes = store.image_by_id(own).unwrap().unwrap().nodes;
    store.forget(own, NOW).unwrap();
    collect(&store, NOW, NOW);
    let shared = shared_image(&store);
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
    sound(&store);
}

#[test]
fn a_node_that_is_used_again_while_it_is_being_freed_stays() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    let own = own_image(&store);
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
        sound(&store);
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

#[test]
fn a_collection_that_ends_early_leaves_nothing_behind_for_ever() {
    let folder = Folder::new();
    let empty = folder.store("empty.db");
    for stop in 0.. {
        let store = folder.store(&format!("{stop}.db"));
        let own = own_image(&store);
        store.forget(own, NOW).unwrap();
        let mut collection = store.begin_collection(NOW, NOW).unwrap();
        let mut more = true;
        for _ in 0..stop {
            more = collection.step().unwrap();
        }
        drop(collection);
        sound(&store);
        collect(&store, NOW, NOW);
        assert_eq!(rows(&store), rows(&empty), "after {stop} steps");
        if !more {
            return;
        }
    }
}

#[test]
fn images_that_nobody_asks_for_are_found() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    let (own, shared) = (own_image(&store), shared_image(&store));
    store.put_reference(shared, "again", NOW + 10).unwrap();
    assert_eq!(store.images_unseen_since(NOW).unwrap(), []);
    assert_eq!(store.images_unseen_since(NOW + 1).unwrap(), [own]);
    assert_eq!(store.images_unseen_since(NOW + 11).unwrap(), [own, shared]);
}

#[test]
fn a_backup_is_a_store_and_comes_back() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    advisories(&store, &["CVE-1"]);
    shared_image(&store);
    let before = rows(&store);
    let backup = folder.path("backup.db");
    store.backup(&backup).unwrap();
    assert!(matches!(store.backup(&backup), Err(Error::Exists { .. })));
    own_image(&store);
    let path = folder.path("store.db");
    let restore = |force| SqliteStore::restore(&backup, &path, force, NOW);
    assert!(matches!(restore(false), Err(Error::Exists { .. })));
    assert!(matches!(restore(true), Err(Error::InUse { .. })));
    assert_ne!(rows(&store), before);
    drop(store);
    assert!(restore(true).unwrap().is_sound());
    let store = folder.store("store.db");
    assert_eq!(rows(&store), before);
    own_image(&store);
    sound(&store);
    assert!(SqliteStore::restore(&backup, &folder.path("new/store.db"), false, NOW).is_ok());
    assert!(matches!(SqliteStore::restore(&backup, &backup, true, NOW), Err(Error::InUse { .. })));
    drop(store);
    let mut names: Vec<_> = folder
        .0
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["backup.db", "new", "store.db"], "nothing is left behind");
}

#[test]
fn a_store_in_memory_is_backed_up_too() {
    let folder = Folder::new();
    let store = SqliteStore::open(Path::new(":memory:")).unwrap();
    shared_image(&store);
    store.backup(&folder.path("backup.db")).unwrap();
    let backup = folder.store("backup.db");
    assert_eq!(rows(&backup), rows(&store));
    sound(&backup);
}

#[test]
fn a_damaged_backup_is_not_restored() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    shared_image(&store);
    let before = rows(&store);
    let backup = folder.path("backup.db");
    store.backup(&backup).unwrap();
    drop(store);
    damage(&backup, "DELETE FROM package");
    let restored = SqliteStore::restore(&backup, &folder.path("store.db"), true, NOW);
    assert!(matches!(restored, Err(Error::Damaged { .. })));
    std::fs::write(folder.path("text"), "no store at all").unwrap();
    let restored = SqliteStore::restore(&folder.path("text"), &folder.path("store.db"), true, NOW);
    assert!(matches!(restored, Err(Error::NotAStore { .. })), "{restored:?}");
    assert!(SqliteStore::restore(&folder.path("none"), &folder.path("store.db"), true, NOW).is_err());
    assert_eq!(rows(&folder.store("store.db")), before);
}

fn damage(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn an_image_that_is_forgotten_while_it_is_read_is_whole_or_not_there() {
    let folder = Folder::new();
    let store = folder.store("store.db");
    let digest = Digest::of(b"shared");
    shared_image(&store);
    let (_, known) = store.image(&digest).unwrap().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let store = folder.store("store.db");
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let by_digest = store.image(&digest).unwrap();
                let by_reference = store.image_by_reference("shared").unwrap();
                for (_, record) in by_digest.iter().chain(&by_reference) {
                    assert_eq!(record, &known);
                }
            }
        });
        for round in 0..2000 {
            let (id, _) = store.image(&digest).unwrap().unwrap();
            assert!(store.forget(id, NOW + round).unwrap());
            store.put_image(&known, "shared", NOW + round).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}
