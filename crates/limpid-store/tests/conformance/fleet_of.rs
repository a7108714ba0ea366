//! Small images, stored as the indexer stores them.

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Digest, ImageMetadata, LayerFindings,
    LayerMetadata, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Platform,
    Severity, Verdict, VerdictState,
};
use limpid_store::{
    EventKind, FeedKey, FeedOutcome, Freed, ImageId, ImageRecord, LayerRecord, NewImage, NodeId,
    OccurrenceId, OccurrenceSet, Processed, Store, StoreStatus, VulnerabilityChange,
};

pub(crate) const NOW: i64 = 1_700_000_000;

pub(crate) fn package(name: &str, version: &str, release: &str) -> Occurrence {
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

pub(crate) fn placed(occurrence: Occurrence, path: &str) -> PlacedOccurrence {
    PlacedOccurrence { occurrence, path: path.to_owned() }
}

pub(crate) fn installs(packages: &[(&str, &str)], release: &str, path: &str) -> PackageDiff {
    let installed =
        packages.iter().map(|(name, version)| placed(package(name, version, release), path)).collect();
    PackageDiff { installed, ..PackageDiff::default() }
}

pub(crate) fn layer(name: &str) -> LayerRecord {
    LayerRecord {
        digest: Digest::of(name.as_bytes()),
        size_bytes: 1,
        uncompressed_bytes: 1,
        findings: LayerFindings::default(),
        searched: Default::default(),
    }
}

pub(crate) fn record(name: &str, layers: &[&str], nodes: Vec<NodeId>) -> ImageRecord {
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
pub(crate) fn put(store: &dyn Store, name: &str, steps: &[(&str, PackageDiff)]) -> ImageId {
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
pub(crate) fn expose(store: &dyn Store, affected: &[(OccurrenceId, &[&str])]) {
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
pub(crate) fn exposures(store: &dyn Store) -> Vec<(String, Vec<OccurrenceId>)> {
    let mut found = Vec::new();
    let sink = &mut |id: &str, set: OccurrenceSet| {
        found.push((id.to_owned(), set.iter().collect()));
        Ok(())
    };
    store.exposures(sink).unwrap();
    found.sort();
    found
}

pub(crate) const STATUS: &str = "var/lib/dpkg/status";

pub(crate) fn base() -> (&'static str, PackageDiff) {
    ("base", installs(&[("libc6", "2.36"), ("bash", "5.2")], "debian:12", STATUS))
}

pub(crate) fn shared_image(store: &dyn Store) -> ImageId {
    put(store, "shared", &[base(), ("app", installs(&[("curl", "7.88")], "debian:12", STATUS))])
}

/// An image on the same base, with a package, a context and a path of its own, and one that moved.
pub(crate) fn own_image(store: &dyn Store) -> ImageId {
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

/// Images of two layers that are there, so many that a segment is due.
pub(crate) fn copies(store: &dyn Store, count: usize) -> ImageId {
    let known = store.image(&Digest::of(b"shared")).unwrap().unwrap().1;
    let layers = [layer("base"), layer("app")];
    let layers: Vec<&LayerRecord> = layers.iter().collect();
    let steps = [base(), ("app", installs(&[("curl", "7.88")], "debian:12", STATUS))];
    let keys = ["base", "baseapp"].map(|chain| Digest::of(chain.as_bytes()));
    let steps: Vec<(Digest, PackageDiff)> = keys.into_iter().zip(steps.map(|(_, diff)| diff)).collect();
    let before = store.status().unwrap().images;
    let records: Vec<ImageRecord> = (0..count)
        .map(|number| {
            let mut record = known.clone();
            record.metadata.manifest_digest = Digest::of(format!("copy {before} {number}").as_bytes());
            record
        })
        .collect();
    let new = |record| NewImage { record, layers: &layers, steps: &steps, reference: "" };
    let new: Vec<NewImage<'_>> = records.iter().map(new).collect();
    store.put_images(&new, NOW).unwrap().remove(0).unwrap().0
}

pub(crate) fn advisories(store: &dyn Store, ids: &[&str]) {
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

pub(crate) fn collect(store: &dyn Store, unused_since: i64, now: i64) -> Freed {
    let mut collection = store.begin_collection(unused_since, now).unwrap();
    while collection.step().unwrap() {}
    collection.freed()
}

/// Counts of rows, without sizes.
pub(crate) fn rows(store: &dyn Store) -> StoreStatus {
    let status = store.status().unwrap();
    StoreStatus { file_bytes: 0, free_bytes: 0, log_bytes: 0, ..status }
}

pub(crate) fn sound(store: &dyn Store) {
    let report = store.check(NOW).unwrap();
    assert!(report.is_sound(), "{:?}", report.broken);
}

/// An event on a vulnerability.
pub(crate) fn an_event(store: &dyn Store) {
    let change = VulnerabilityChange {
        kind: EventKind::New,
        vulnerability: "CVE-1".to_owned(),
        from_revision: 1,
        revision: 2,
        is_kernel: false,
        last_image: ImageId(1),
        images: 1,
        packages: Vec::new(),
    };
    let from = store.processed().unwrap();
    let to = Processed { revision: 2, rules_version: 1, step: None };
    assert!(store.put_events(&from, &to, &[change], NOW).unwrap());
}
