//! Lists of images go on where they were, whatever is stored and forgotten between two pages.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use limpid_index::Moment;
use limpid_index::fleet::{PackageQuestion, Scope, package};
use limpid_model::{
    Context, Digest, ImageMetadata, LayerFindings, LayerMetadata, Occurrence, Owner, Package, PackageDiff,
    PackageType, PlacedOccurrence, Platform,
};
use limpid_store::{
    Fleet as _, ImageFilter, ImageId, ImageRecord, LayerRecord, NEWEST, SqliteStore, Store, Upkeep as _,
};
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000;

/// Stores an image with one package.
fn put(store: &SqliteStore, number: usize, name: &str) -> ImageId {
    let package = Package {
        kind: PackageType::Deb,
        name: name.to_owned(),
        version: "1".to_owned(),
        arch: "amd64".to_owned(),
        source_name: name.to_owned(),
        source_version: "1".to_owned(),
        facts: Vec::new(),
    };
    let context = Context { release: "debian:12".to_owned(), ..Context::default() };
    let occurrence = Occurrence { package, context, owner: Owner::default() };
    let placed = PlacedOccurrence { occurrence, path: "var/lib/dpkg/status".to_owned() };
    let diff = PackageDiff { installed: vec![placed], ..PackageDiff::default() };
    let digest = Digest::of(name.as_bytes());
    let layer = LayerRecord {
        digest,
        size_bytes: 1,
        uncompressed_bytes: 1,
        findings: LayerFindings::default(),
        searched: BTreeSet::new(),
    };
    store.put_layer(&layer).unwrap();
    let node = store.put_node(&digest, None, &diff).unwrap();
    let layer = LayerMetadata {
        digest,
        diff_id: None,
        size_bytes: 1,
        command: String::new(),
        created: String::new(),
    };
    let metadata = ImageMetadata {
        manifest_digest: Digest::of(number.to_string().as_bytes()),
        config_digest: None,
        platform: Platform::default(),
        os_version: String::new(),
        created: String::new(),
        environment: Vec::new(),
        labels: Vec::new(),
        layers: vec![layer],
    };
    let record = ImageRecord {
        metadata,
        nodes: vec![node],
        distribution: None,
        release: "debian:12".to_owned(),
        problems: Vec::new(),
        indexer_state: "1".to_owned(),
    };
    store.put_image(&record, &format!("image:{number}"), NOW).unwrap()
}

/// What happens between two pages.
#[derive(Debug, Clone)]
enum Event {
    /// An image comes, with the package or another.
    Store(bool),
    /// The image at this position goes, of all that ever were.
    Forget(usize),
    /// The index is tended.
    Tend,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<bool>().prop_map(Event::Store),
        any::<usize>().prop_map(Event::Forget),
        Just(Event::Tend),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_are_what_was_there_at_the_first_but_for_what_is_forgotten(
        before in proptest::collection::vec(any::<bool>(), 0..30),
        pages in proptest::collection::vec((1_usize..7, proptest::collection::vec(event(), 0..6)), 40),
    ) {
        let store = SqliteStore::open(Path::new(":memory:")).unwrap();
        let name = |has: bool| if has { "wanted" } else { "other" };
        let mut all: Vec<(ImageId, String)> = Vec::new();
        let add = |all: &mut Vec<(ImageId, String)>, has| {
            let number = all.len();
            all.push((put(&store, number, name(has)), format!("image:{number}")));
        };
        before.iter().for_each(|has| add(&mut all, *has));
        let first: Vec<String> =
            all.iter().zip(&before).filter(|(_, has)| **has).map(|((_, name), _)| name.clone()).collect();
        let moment = Moment { revision: NEWEST, today: "2026-01-01", as_of: "", now: "2026-01-01T00:00:00Z" };
        let scope = Scope { moment, filter: ImageFilter::default() };
        let asked = PackageQuestion { name: "wanted".to_owned(), ..PackageQuestion::default() };
        let (mut listed, mut forgotten, mut cursor) = (Vec::new(), BTreeSet::new(), None::<String>);
        let mut is_done = false;
        for (limit, events) in pages {
            let mut answer = package(&store, &asked, &scope, cursor.as_deref()).unwrap();
            let page = answer.take(&store, limit).unwrap();
            prop_assert!(page.len() <= limit);
            for holder in page {
                let name = holder.image.references.concat();
                prop_assert!(!forgotten.contains(&name), "{name} was forgotten");
                listed.push(name);
            }
            cursor = answer.pages.cursor(&store).unwrap();
            if cursor.is_none() {
                is_done = true;
                break;
            }
            for event in events {
                match event {
                    Event::Store(has) => add(&mut all, has),
                    Event::Forget(position) => {
                        if let Some((id, name)) = all.get(position % all.len().max(1)) {
                            store.forget(*id, NOW).unwrap();
                            forgotten.insert(name.clone());
                        }
                    }
                    Event::Tend => while store.tend().unwrap() {},
                }
            }
        }
        prop_assert!(is_done, "forty pages were not enough for thirty images");
        // Each at most once and in order, none that came later, and none is missing that was not forgotten.
        let mut rest = first.iter();
        prop_assert!(listed.iter().all(|name| rest.any(|other| other == name)), "{listed:?} of {first:?}");
        prop_assert!(first.iter().all(|name| listed.contains(name) || forgotten.contains(name)), "{listed:?}");
    }
}
