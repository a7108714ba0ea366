//! Events and channels: what holds for any store.

use limpid_model::{
    Context, Digest, ImageMetadata, LayerFindings, LayerMetadata, Occurrence, Owner, Package, PackageDiff,
    PackageType, PlacedOccurrence, Severity, VerdictState,
};
use limpid_store::{
    Event, EventId, EventKind, EventSubject, ImageId, ImageRecord, Judgement, LayerRecord, NodeId,
    OccurrenceId, PackageChange, Processed, Step, Store, VulnerabilityChange,
};

use crate::place::Place;

const NOW: i64 = 1_700_000_000;

/// What it is called, and what it does with an empty store.
type Case = (&'static str, fn(&dyn Store));

/// Every test of the suite, for each engine.
const SUITE: &[Case] = &[
    ("events are stored with how far processing came, or not at all", put_once),
    ("an image is assessed when it is new or holds something else", assessed),
    ("an event keeps its images", frozen),
    ("events go when they are old and nobody waits for them", retention),
    ("a channel goes on where it was", channel),
    ("dead letters are kept and tried once more", dead_letters),
];

pub(crate) fn events_are_kept(place: &Place) {
    for (name, test) in SUITE {
        let place = place.other();
        let store = place.open();
        test(store.as_ref());
        let report = store_check(store.as_ref());
        assert!(report.is_empty(), "{name}: {report:?}");
    }
}

fn store_check(store: &dyn Store) -> Vec<limpid_store::Broken> {
    store.check(NOW).unwrap().broken
}

fn occurrence(name: &str, version: &str) -> Occurrence {
    let package = Package {
        kind: PackageType::Deb,
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "amd64".to_owned(),
        source_name: name.to_owned(),
        source_version: version.to_owned(),
        facts: Vec::new(),
    };
    let context = Context { release: "debian:12".to_owned(), ..Context::default() };
    Occurrence { package, context, owner: Owner::default() }
}

/// Stores an image of one layer that installs packages, analysed by an indexer in some state.
fn image(store: &dyn Store, name: &str, packages: &[(&str, &str)], state: &str) -> ImageId {
    let layer = Digest::of(format!("layer of {name}").as_bytes());
    let findings = LayerFindings::default();
    let record = LayerRecord {
        digest: layer,
        size_bytes: 1,
        uncompressed_bytes: 1,
        findings,
        searched: Default::default(),
    };
    store.put_layer(&record).unwrap();
    let installed = packages.iter().map(|(package, version)| PlacedOccurrence {
        occurrence: occurrence(package, version),
        path: "var/lib/dpkg/status".to_owned(),
    });
    let diff = PackageDiff { installed: installed.collect(), ..PackageDiff::default() };
    let chain = Digest::of(format!("{name} {packages:?}").as_bytes());
    let node: NodeId = store.put_node(&chain, None, &diff).unwrap();
    let metadata = ImageMetadata {
        manifest_digest: Digest::of(name.as_bytes()),
        config_digest: None,
        platform: "linux/amd64".parse().unwrap(),
        os_version: String::new(),
        created: String::new(),
        environment: Vec::new(),
        labels: Vec::new(),
        layers: vec![LayerMetadata {
            digest: layer,
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
        indexer_state: state.to_owned(),
    };
    store.put_image(&record, name, NOW).unwrap()
}

fn held(store: &dyn Store, name: &str) -> Vec<OccurrenceId> {
    store.occurrences_named(name).unwrap().into_iter().map(|(id, _)| id).collect()
}

fn change(vulnerability: &str, last_image: ImageId, occurrences: Vec<OccurrenceId>) -> VulnerabilityChange {
    let after = Judgement {
        state: VerdictState::Fixable,
        fixed: "2\u{0}é".to_owned(),
        channel: String::new(),
        severity: Severity::High,
        severity_source: "debian-tracker".to_owned(),
        feed: "debian-tracker".to_owned(),
        advisory: vulnerability.to_owned(),
    };
    VulnerabilityChange {
        kind: EventKind::New,
        vulnerability: vulnerability.to_owned(),
        from_revision: 0,
        revision: 0,
        is_kernel: false,
        last_image,
        images: u64::MAX,
        packages: vec![PackageChange {
            release: "debian:12".to_owned(),
            package_type: PackageType::Deb,
            source: "a".to_owned(),
            before: None,
            after: Some(after),
            images: 1,
            occurrences,
        }],
    }
}

fn put(store: &dyn Store, changes: &[VulnerabilityChange], now: i64) -> Vec<Event> {
    let before = store.last_event().unwrap();
    let from = store.processed().unwrap();
    let to = Processed { rules_version: from.rules_version + 1, ..from.clone() };
    assert!(store.put_events(&from, &to, changes, now).unwrap());
    store.events(before, 100).unwrap()
}

fn put_once(store: &dyn Store) {
    let nothing = Processed { revision: 0, rules_version: 0, step: None };
    assert_eq!(store.processed().unwrap(), nothing);
    let step = Step { revision: 0, after: "b'\u{e9}".to_owned() };
    let half = Processed { revision: 0, rules_version: 3, step: Some(step) };
    let changes = [change("CVE-1", ImageId(0), Vec::new()), change("CVE-2", ImageId(0), Vec::new())];
    assert!(store.put_events(&nothing, &half, &changes, NOW).unwrap());
    // Who comes too late stores nothing.
    assert!(!store.put_events(&nothing, &half, &changes, NOW).unwrap());
    assert_eq!(store.processed().unwrap(), half);
    let events = store.events(0, 10).unwrap();
    assert_eq!(events.iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(events[0].subject, EventSubject::Vulnerability(changes[0].clone()));
    for event in &events {
        assert_eq!(store.event(event.id).unwrap().as_ref(), Some(event));
    }
    let other: EventId = "0198c1f2-7d6a-8b3c-9e10-4a5b6c7d8e9f".parse().unwrap();
    assert_eq!(store.event(other).unwrap(), None);
    // The same part of the same step cannot be stored under other numbers: its ids are there.
    let done = Processed { revision: 0, rules_version: 3, step: None };
    assert!(store.put_events(&half, &done, &changes, NOW).unwrap(), "another part has other ids");
    assert!(store.put_events(&done, &half, &changes, NOW).is_err());
    assert_eq!((store.last_event().unwrap(), store.processed().unwrap()), (4, done));
    assert_eq!(store.events(1, 2).unwrap().iter().map(|event| event.number).collect::<Vec<_>>(), [2, 3]);
}

fn assessed(store: &dyn Store) {
    let first = image(store, "one", &[("a", "1")], "x");
    image(store, "one", &[("a", "1")], "y");
    let second = image(store, "two", &[("a", "1")], "x");
    assert_eq!(image(store, "one", &[("a", "1"), ("b", "1")], "z"), first);
    let events = store.events(0, 10).unwrap();
    let images: Vec<ImageId> = events
        .iter()
        .map(|event| match event.subject {
            EventSubject::Image { image, .. } => image,
            EventSubject::Vulnerability(_) => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(images, [first, second, first], "one that is as it was is no event");
    for event in &events {
        assert_eq!(store.event(event.id).unwrap().as_ref(), Some(event));
        assert_eq!(store.event_images(event).unwrap().len(), 1);
    }
    assert!(store.forget(first, NOW).unwrap());
    let event = store.event(events[0].id).unwrap().unwrap();
    assert_eq!(event.subject, EventSubject::Image { image: first, manifest_digest: None });
    assert!(store.event_images(&event).unwrap().is_empty());
}

fn frozen(store: &dyn Store) {
    let images: Vec<ImageId> =
        ["one", "two", "three"].iter().map(|name| image(store, name, &[("a", "1")], "x")).collect();
    let last = store.last_image().unwrap();
    let event = put(store, &[change("CVE-1", last, held(store, "a"))], NOW).remove(0);
    let of = |event: &Event| store.event_images(event).unwrap().page(None, 100);
    assert_eq!(of(&event), images);
    // One that comes later was assessed when it was known.
    image(store, "four", &[("a", "1")], "x");
    assert_eq!(of(&event), images);
    // One that holds something else now held it then, and one that holds it now did not.
    image(store, "two", &[("b", "1")], "y");
    assert_eq!(of(&event), images);
    let packages = store.event_packages(&event, &images).unwrap();
    assert_eq!(packages, vec![held(store, "a"); 3]);
    // What one is analysed into once more counts as little.
    image(store, "two", &[("c", "1")], "z");
    assert_eq!(of(&event), images);
    // A collection leaves what an event asks for.
    let mut collection = store.begin_collection(NOW + 1000, NOW + 1000).unwrap();
    while collection.step().unwrap() {}
    drop(collection);
    assert_eq!(of(&event), images);
    assert_eq!(store.event_packages(&event, &images).unwrap(), packages);
    // One that is forgotten is nobody's.
    assert!(store.forget(images[0], NOW).unwrap());
    assert_eq!(of(&event), images[1..]);
}

fn retention(store: &dyn Store) {
    for (day, name) in ["CVE-1", "CVE-2", "CVE-3", "CVE-4"].into_iter().enumerate() {
        put(store, &[change(name, ImageId(0), Vec::new())], NOW + i64::try_from(day).unwrap());
    }
    store.channel("slow", "t", 0).unwrap();
    store.channel("fast", "t", 4).unwrap();
    assert_eq!(store.drop_events(NOW + 3, 100).unwrap(), 0, "one channel has delivered nothing");
    assert!(store.advance("slow", 0, 1, 1, NOW).unwrap());
    assert!(store.bury("slow", 1, 2, 3, "gone", NOW).unwrap());
    assert_eq!(store.drop_events(NOW + 3, 1).unwrap(), 1);
    assert_eq!(store.drop_events(NOW + 3, 100).unwrap(), 1, "a dead letter is dropped with its event");
    assert_eq!(store.dead_letters("slow", 0, false, 10).unwrap(), []);
    assert!(store.remove_channel("slow").unwrap());
    assert_eq!(store.drop_events(NOW + 3, 100).unwrap(), 1);
    assert_eq!(store.drop_events(NOW + 10, 100).unwrap(), 1);
    // Numbers are not given again.
    assert_eq!(store.last_event().unwrap(), 4);
    assert_eq!(put(store, &[change("CVE-5", ImageId(0), Vec::new())], NOW)[0].number, 5);
}

fn channel(store: &dyn Store) {
    put(store, &[change("CVE-1", ImageId(0), Vec::new()), change("CVE-2", ImageId(0), Vec::new())], NOW);
    let made = store.channel("hook \u{e9}", "https://a/b", 0).unwrap();
    assert_eq!((made.cursor, made.delivered, made.attempts), (0, 0, 0));
    store.put_failure("hook \u{e9}", 2, NOW + 10, "it answered 503").unwrap();
    // It is there already, and stays where it is.
    let known = store.channel("hook \u{e9}", "https://a/c", 2).unwrap();
    assert_eq!((known.cursor, known.attempts, known.next_attempt_at), (0, 2, NOW + 10));
    assert_eq!((known.target.as_str(), known.last_error.as_str()), ("https://a/c", "it answered 503"));
    assert!(store.advance("hook \u{e9}", 0, 2, 2, NOW).unwrap());
    assert!(!store.advance("hook \u{e9}", 0, 1, 1, NOW).unwrap(), "somebody else was there");
    let state = store.channels().unwrap().remove(0);
    assert_eq!((state.cursor, state.delivered, state.delivered_at), (2, 2, NOW));
    assert_eq!((state.attempts, state.next_attempt_at, state.last_error.as_str()), (0, 0, ""));
    assert!(store.remove_channel("hook \u{e9}").unwrap() && !store.remove_channel("hook \u{e9}").unwrap());
    assert_eq!(store.channels().unwrap(), []);
}

fn dead_letters(store: &dyn Store) {
    let changes: Vec<_> =
        ["CVE-1", "CVE-2", "CVE-3"].iter().map(|name| change(name, ImageId(0), Vec::new())).collect();
    put(store, &changes, NOW);
    store.channel("c", "t", 0).unwrap();
    assert!(store.bury("c", 0, 1, 1, "it answered 410", NOW).unwrap());
    assert!(!store.bury("c", 0, 1, 1, "it answered 410", NOW).unwrap());
    assert!(store.bury("c", 1, 3, 30, "it answered 500", NOW + 1).unwrap());
    let numbers = |is_due| {
        let letters = store.dead_letters("c", 0, is_due, 10).unwrap();
        letters.iter().map(|letter| letter.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers(false), numbers(true)), (vec![1, 3], vec![]));
    assert_eq!(store.channels().unwrap()[0].dead, 2);
    assert_eq!(store.revive("c", Some(2)).unwrap(), 0);
    assert_eq!(store.revive("c", Some(3)).unwrap(), 1);
    assert_eq!(numbers(true), [3]);
    store.settle("c", 3, Some("it answered 404"), NOW + 2).unwrap();
    let letter = store.dead_letters("c", 1, false, 10).unwrap().remove(0);
    assert_eq!((letter.attempts, letter.died_at, letter.error.as_str()), (31, NOW + 2, "it answered 404"));
    assert_eq!(numbers(true), Vec::<u64>::new());
    assert_eq!(store.revive("c", None).unwrap(), 2);
    store.settle("c", 1, None, NOW + 3).unwrap();
    assert_eq!(numbers(false), [3]);
    let state = store.channels().unwrap().remove(0);
    assert_eq!((state.dead, state.delivered, state.delivered_at), (1, 1, NOW + 3));
}
