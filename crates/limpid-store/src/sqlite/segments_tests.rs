//! Segments answer as a recomputation from packages does, at every moment between stores, re-analyses, forgetting,
//! collections and merges.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use limpid_model::{
    Advisory, AdvisoryDetails, Affected, AffectedState, Context, Digest, ImageMetadata, LayerFindings,
    LayerMetadata, Occurrence, Owner, Package, PackageDiff, PackageType, PlacedOccurrence, Platform,
};
use proptest::prelude::*;

use super::SqliteStore;
use super::segments::Built;
use crate::segment_plan::Sizes;
use crate::{
    FeedKey, FeedOutcome, Fleet as _, ImageFilter, ImageId, ImageRecord, ImageSet, LayerRecord, NEWEST,
    NewImage, OccurrenceId, Store as _, Upkeep as _,
};

const PACKAGES: usize = 6;
const NOW: i64 = 1_700_000_000;

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// Images of a chain of layers; each layer is a choice of packages to have afterwards.
    Put {
        layers: Vec<u8>,
        release: u8,
        count: u8,
        clock: i8,
    },
    /// An image is analysed anew.
    Again {
        image: prop::sample::Index,
        packages: u8,
        release: u8,
    },
    Forget {
        image: prop::sample::Index,
    },
    Update,
    Tend,
    /// A segment is built, and stored some time later, whatever happened meanwhile.
    Build,
    Keep,
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    let packages = 0..1_u8 << PACKAGES;
    prop_oneof![
        4 => (prop::collection::vec(packages.clone(), 0..4), 0..3_u8, 1..4_u8, -2..3_i8)
            .prop_map(|(layers, release, count, clock)| Step::Put { layers, release, count, clock }),
        2 => (any::<prop::sample::Index>(), packages, 0..3_u8)
            .prop_map(|(image, packages, release)| Step::Again { image, packages, release }),
        2 => any::<prop::sample::Index>().prop_map(|image| Step::Forget { image }),
        1 => Just(Step::Update),
        4 => Just(Step::Tend),
        2 => Just(Step::Build),
        2 => Just(Step::Keep),
        1 => Just(Step::Collect),
    ]
}

/// What the store should know of an image.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    packages: u8,
    release: u8,
    first_seen: i64,
    layers: Vec<String>,
    steps: Vec<(Digest, PackageDiff)>,
    /// Packages that it had, up to a revision.
    former: BTreeMap<u64, u8>,
}

struct World {
    store: SqliteStore,
    images: BTreeMap<ImageId, Known>,
    revision: u64,
    last_images: BTreeMap<u64, i64>,
    greatest: i64,
    clock: i64,
    names: u32,
    built: Vec<Built>,
}

fn occurrence(package: usize) -> Occurrence {
    Occurrence {
        package: Package {
            kind: PackageType::Deb,
            name: format!("p{package}"),
            version: "1".to_owned(),
            arch: String::new(),
            source_name: format!("p{package}"),
            source_version: "1".to_owned(),
            facts: Vec::new(),
        },
        context: Context::default(),
        owner: Owner::default(),
    }
}

/// What a layer did, from the packages before to those after.
fn diff(before: u8, after: u8) -> PackageDiff {
    let mut diff = PackageDiff::default();
    for package in 0..PACKAGES {
        let placed = PlacedOccurrence { occurrence: occurrence(package), path: "db".to_owned() };
        match (before >> package & 1, after >> package & 1) {
            (0, 1) => diff.installed.push(placed),
            (1, 0) => diff.removed.push(placed.occurrence),
            _ => {}
        }
    }
    diff
}

fn chain(choices: &[u8]) -> Vec<(Digest, PackageDiff)> {
    let mut before = 0;
    let mut key = String::new();
    let step = |after: &u8| {
        key.push_str(&format!("/{after}"));
        (Digest::of(key.as_bytes()), diff(std::mem::replace(&mut before, *after), *after))
    };
    choices.iter().map(step).collect()
}

impl World {
    fn new() -> Self {
        let mut store = SqliteStore::open(Path::new(":memory:")).unwrap();
        store.sizes =
            Sizes { sealed_min: 3, sealed_max: 8, merged_min: 2, merged_images_max: 30, displaced_part: 4 };
        let (images, last_images) = (BTreeMap::new(), BTreeMap::new());
        Self { store, images, revision: 0, last_images, greatest: 0, clock: NOW, names: 0, built: Vec::new() }
    }

    fn put(&mut self, known: Known) -> ImageId {
        let layers: Vec<LayerRecord> = known
            .layers
            .iter()
            .map(|layer| LayerRecord {
                digest: Digest::of(layer.as_bytes()),
                size_bytes: 1,
                uncompressed_bytes: 1,
                findings: LayerFindings::default(),
                searched: BTreeSet::new(),
            })
            .collect();
        let metadata = layers.iter().map(|layer| LayerMetadata {
            digest: layer.digest,
            diff_id: None,
            size_bytes: 1,
            command: known.name.clone(),
            created: String::new(),
        });
        let record = ImageRecord {
            metadata: ImageMetadata {
                manifest_digest: Digest::of(known.name.as_bytes()),
                config_digest: None,
                platform: Platform::default(),
                os_version: String::new(),
                created: String::new(),
                environment: Vec::new(),
                labels: vec![("release".to_owned(), known.release.to_string())],
                layers: metadata.collect(),
            },
            nodes: Vec::new(),
            distribution: None,
            release: release(known.release),
            problems: Vec::new(),
            indexer_state: String::new(),
        };
        let layers: Vec<&LayerRecord> = layers.iter().collect();
        let reference = format!("r{}/{}", known.release, known.name);
        let new = NewImage { record: &record, layers: &layers, steps: &known.steps, reference: &reference };
        let (id, stored) = self.store.put_images(&[new], self.clock).unwrap().remove(0).unwrap();
        assert_eq!(self.store.image_by_id(id).unwrap().unwrap(), stored);
        self.greatest = self.greatest.max(id.0);
        self.images.insert(id, known);
        id
    }

    fn apply(&mut self, step: &Step) {
        let pick = |images: &BTreeMap<ImageId, Known>, index: &prop::sample::Index| {
            (!images.is_empty()).then(|| *images.keys().nth(index.index(images.len())).unwrap())
        };
        match step {
            Step::Put { layers, release, count, clock } => {
                for _ in 0..*count {
                    self.clock += i64::from(*clock);
                    self.names += 1;
                    let newest =
                        self.images.values().next_back().map_or(self.clock, |known| known.first_seen);
                    self.put(Known {
                        name: format!("image{}", self.names),
                        packages: layers.last().copied().unwrap_or(0),
                        release: *release,
                        first_seen: newest.max(self.clock),
                        layers: (0..layers.len()).map(|number| format!("{layers:?}{number}")).collect(),
                        steps: chain(layers),
                        former: BTreeMap::new(),
                    });
                }
            }
            Step::Again { image, packages, release } => {
                let Some(id) = pick(&self.images, image) else { return };
                let mut known = self.images[&id].clone();
                if known.layers.is_empty() {
                    return;
                }
                let before = known.packages;
                let mut choices = vec![0; known.layers.len() - 1];
                choices.push(*packages);
                let same = known.steps == chain(&choices);
                (known.steps, known.packages, known.release) = (chain(&choices), *packages, *release);
                // The same packages may come by another way, which is another node.
                if !same {
                    known.former.entry(self.revision).or_insert(before);
                }
                assert_eq!(self.put(known), id);
            }
            Step::Forget { image } => {
                let Some(id) = pick(&self.images, image) else { return };
                assert!(self.store.forget(id, self.clock).unwrap());
                self.images.remove(&id);
            }
            Step::Update => {
                let key = FeedKey { feed: "f".to_owned(), document: "d".to_owned() };
                let mut update = self.store.begin_update(&key).unwrap();
                let fixed = format!("{}", self.revision + 1);
                let affected = Affected {
                    package: "p".into(),
                    state: AffectedState::Fixed,
                    fixed,
                    ..Affected::default()
                };
                let details = AdvisoryDetails::default();
                update.add(Advisory { id: "A".into(), details, affected: vec![affected] }).unwrap();
                let outcome = FeedOutcome { now: self.clock, ..FeedOutcome::default() };
                self.revision = update.commit(&outcome).unwrap().revision;
                self.last_images.insert(self.revision, self.greatest);
            }
            Step::Tend => {
                self.store.tend().unwrap();
            }
            Step::Build => {
                let mut connection = self.store.place.connect().unwrap();
                self.built.extend(Built::due(&mut connection, &self.store.sizes).unwrap());
            }
            Step::Keep => {
                if !self.built.is_empty() {
                    let mut connection = self.store.place.connect().unwrap();
                    self.built.remove(0).keep(&mut connection).unwrap();
                }
            }
            Step::Collect => {
                let mut collection = self.store.begin_collection(self.clock, self.clock).unwrap();
                while collection.step().unwrap() {}
            }
        }
    }

    fn set(&self, is_in: impl Fn(&ImageId, &Known) -> bool) -> ImageSet {
        self.images.iter().filter(|(id, known)| is_in(id, known)).map(|(id, _)| *id).collect()
    }

    /// Every answer is what the images say.
    fn compare(&self) {
        let store = &self.store;
        let has = |packages: u8, wanted: u8| packages & wanted != 0;
        assert_eq!(store.select(&ImageFilter::default()).unwrap(), self.set(|_, _| true));
        let ids: Vec<Option<OccurrenceId>> = (0..PACKAGES)
            .map(|package| {
                store.occurrences_named(&format!("p{package}")).unwrap().first().map(|(id, _)| *id)
            })
            .collect();
        let group = |wanted: u8| -> Vec<OccurrenceId> {
            (0..PACKAGES)
                .filter(|package| wanted >> package & 1 == 1)
                .filter_map(|package| ids[package])
                .collect()
        };
        let some = self.set(|id, _| id.0 % 3 != 0);
        let groups: Vec<u8> = (0..1 << PACKAGES).step_by(3).collect();
        let all_groups: Vec<Vec<OccurrenceId>> = groups.iter().map(|wanted| group(*wanted)).collect();
        let counts = store.counts(&all_groups, None).unwrap();
        let counts_within = store.counts(&all_groups, Some(&some)).unwrap();
        for (number, wanted) in groups.into_iter().enumerate() {
            let expected = self.set(|_, known| has(known.packages, wanted));
            assert_eq!(store.holding(&group(wanted)).unwrap(), expected, "{wanted:b}");
            assert_eq!(counts[number], expected.len());
            assert_eq!(counts_within[number], expected.intersection_len(&some));
        }
        for revision in (0..=self.revision).chain([NEWEST]) {
            let at = |known: &Known| {
                known.former.range(revision..).next().map_or(known.packages, |(_, packages)| *packages)
            };
            let expected = self.set(|_, known| has(at(known), 5));
            assert_eq!(store.holding_at(&group(5), revision).unwrap(), expected, "at {revision}");
        }
        for (revision, last) in &self.last_images {
            assert_eq!(store.last_image_at(*revision).unwrap(), ImageId(*last));
        }
        self.compare_filters(&some);
    }

    fn compare_filters(&self, some: &ImageSet) {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for (_, known) in self.images.iter().filter(|(id, _)| some.contains(**id)) {
            *expected.entry(release(known.release)).or_default() += 1;
        }
        assert_eq!(self.store.releases(some).unwrap(), expected);
        for wanted in 0..3 {
            let filters = [
                ImageFilter { release: release(wanted), ..ImageFilter::default() },
                ImageFilter { repository: format!("r{wanted}/"), ..ImageFilter::default() },
                ImageFilter {
                    labels: vec![("release".to_owned(), wanted.to_string())],
                    ..ImageFilter::default()
                },
            ];
            for (number, filter) in filters.into_iter().enumerate() {
                // An image without a release has none to be asked for; a reference stays when the release changes.
                let is_any = number == 0 && wanted == 0;
                if number == 1 {
                    assert!(
                        self.set(|_, known| known.release == wanted).len()
                            <= self.store.select(&filter).unwrap().len()
                    );
                } else {
                    let expected = self.set(|_, known| is_any || known.release == wanted);
                    assert_eq!(self.store.select(&filter).unwrap(), expected, "{filter:?}");
                }
            }
        }
        for time in NOW - 5..NOW + 5 {
            let filter = ImageFilter { there_at: Some(time), ..ImageFilter::default() };
            let expected = self.set(|_, known| known.first_seen <= time);
            assert_eq!(self.store.select(&filter).unwrap(), expected, "at {time}");
        }
    }
}

fn release(number: u8) -> String {
    if number == 0 { String::new() } else { format!("debian:{number}") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn segments_answer_as_a_recomputation_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
            world.compare();
        }
        let report = world.store.check(world.clock).unwrap();
        prop_assert!(report.is_sound(), "{:?}", report.broken);
        while world.store.tend().unwrap() {}
        world.compare();
    }
}
