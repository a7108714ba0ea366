//! What the store must hold after a kill: all that was acknowledged, and of what was only begun all or nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use limpid_store::{EventId, ImageFilter, NEWEST, Store};

use crate::fleet::{
    ABOVE_ALL, Build, Operator, PackageSet, Registry, advisory, layers_packages, manifest_digest, seen_at,
};

/// The advisories in each version of the operator's document.
const ADVISORIES: usize = 40;
/// Events that are read at a time.
const EVENTS_READ: usize = 10_000;
/// Images whose packages are read after each kill.
const READ: usize = 20;

/// A version of the operator's document: all of its advisories name it.
pub(crate) fn operator(version: u32) -> Operator {
    let mut operator = Operator::default();
    for number in 0..ADVISORIES {
        let affected =
            [("debian:12".to_owned(), "zlib".to_owned()), ("ubuntu:18.04".to_owned(), format!("s{number}"))];
        operator.put(advisory(&id(number), "High", &affected, &format!("{ABOVE_ALL}.{version}")));
    }
    operator
}

fn id(number: usize) -> String {
    format!("CVE-2026-{}", 40_000 + number)
}

/// The name of work of which there is no number: nothing that it leaves behind must be there.
pub(crate) fn unnumbered(work: &str) -> String {
    format!("{work} 0")
}

/// What is expected.
pub(crate) struct Expected<'a> {
    registry: &'a Registry,
    /// Images that were begun, and whether each must be there; `None` if it may or may not.
    images: BTreeMap<u32, Option<bool>>,
    /// The version of the operator's document that was acknowledged, and the one that was begun after it.
    version: u32,
    begun: Option<u32>,
    /// The number of the last event that was acknowledged, and the events that were there after the last kill.
    last_event: u64,
    events: Vec<(u64, EventId)>,
    unfinished: BTreeSet<String>,
    sets: Vec<PackageSet>,
}

impl<'a> Expected<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        let (images, events, unfinished, sets) = Default::default();
        Self { registry, images, version: 0, begun: None, last_event: 0, events, unfinished, sets }
    }

    /// Takes in a line; whether it acknowledges something.
    pub(crate) fn hear(&mut self, line: &str) -> anyhow::Result<bool> {
        let mut words = line.split(' ');
        let (verb, work, number) = (words.next(), words.next(), words.next());
        let (Some(verb), Some(work), Some(number)) = (verb, work, number) else { return Ok(false) };
        if (verb, work) == ("done", "events") {
            self.last_event = number.parse()?;
        }
        let number: u32 = number.parse().with_context(|| format!("the process said `{line}`"))?;
        let is_done = verb == "done";
        match is_done {
            true => drop(self.unfinished.remove(work)),
            false => drop(self.unfinished.insert(work.to_owned())),
        }
        match work {
            "image" => drop(self.images.insert(number, is_done.then_some(true))),
            "forget" => drop(self.images.insert(number, is_done.then_some(false))),
            "operator" if is_done => (self.version, self.begun) = (number, None),
            "operator" => self.begun = Some(number),
            _ => {}
        }
        Ok(is_done)
    }

    /// What was begun and not acknowledged since this was asked last.
    pub(crate) fn unfinished(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unfinished)
    }

    /// The number of the first image that nobody began to store.
    pub(crate) fn next_image(&self) -> u32 {
        self.images.last_key_value().map_or(0, |(number, _)| number + 1)
    }

    /// The first version of the document that nobody began to import.
    pub(crate) fn next_version(&self) -> u32 {
        self.begun.unwrap_or(self.version) + 1
    }

    /// A time after everything that happened.
    pub(crate) fn time(&self) -> i64 {
        seen_at(self.next_image()) + i64::from(self.next_version()) + 60
    }

    /// How many images there are.
    pub(crate) fn images(&self) -> usize {
        self.images.values().filter(|there| **there == Some(true)).count()
    }

    /// Compares the store with what is expected, and learns what became of what was only begun.
    pub(crate) fn verify(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        let report = store.check(self.time())?;
        ensure!(report.is_sound(), "the store is not sound: {:?}", report.broken);
        let mut there = BTreeMap::new();
        for (number, expected) in &mut self.images {
            let found = store.image(&manifest_digest(self.registry, *number))?;
            let is_right = expected.is_none_or(|expected| expected == found.is_some());
            let kind = if found.is_some() { "comes back" } else { "is missing" };
            ensure!(is_right, "image {number} {kind}, against what was acknowledged");
            *expected = Some(found.is_some());
            if let Some((id, record)) = found {
                there.insert(*number, (id, record));
            }
        }
        let all = store.select(&ImageFilter::default())?;
        ensure!(all.len() == there.len() as u64, "there are {} images instead of {}", all.len(), there.len());
        self.know_sets();
        let step = there.len().div_ceil(READ).max(1);
        for (number, (_, record)) in there.iter().rev().step_by(step) {
            let (layers, occurrences) = store.contents(&record.nodes)?;
            let placed = limpid_index::placements(&layers);
            let mut found: Vec<_> =
                placed.keys().filter_map(|id| Some(occurrences.get(id)?.package.clone())).collect();
            found.sort();
            let expected = layers_packages(&self.registry.layers(self.sets[*number as usize]));
            ensure!(found == expected, "image {number} has other packages");
        }
        self.verify_document(store)?;
        self.verify_events(store)?;
        self.verify_index(store, &there.iter().map(|(number, (id, _))| (*number, *id)).collect())
    }

    /// All advisories of the operator's document are of one version.
    fn verify_document(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        let mut versions = BTreeSet::new();
        for number in 0..ADVISORIES {
            let records = store.advisories(&id(number), NEWEST)?;
            let said = records.first().and_then(|record| record.advisory.affected.first());
            let fixed = said.map(|said| said.fixed.clone()).unwrap_or_default();
            versions.insert(
                fixed.rsplit('.').next().and_then(|version| version.parse::<u32>().ok()).unwrap_or(0),
            );
        }
        let (Some(version), true) = (versions.first(), versions.len() == 1) else {
            anyhow::bail!("advisories of several versions: {versions:?}");
        };
        let is_right = *version == self.version || Some(*version) == self.begun;
        ensure!(is_right, "the document's version is {version}, not {} or {:?}", self.version, self.begun);
        (self.version, self.begun) = (*version, None);
        Ok(())
    }

    /// Events keep their numbers and ids, none is missing, none comes twice.
    fn verify_events(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        let mut found: Vec<(u64, EventId)> = Vec::new();
        loop {
            let page = store.events(found.last().map_or(0, |(number, _)| *number), EVENTS_READ)?;
            found.extend(page.iter().map(|event| (event.number, event.id)));
            if page.is_empty() {
                break;
            }
        }
        ensure!(found.starts_with(&self.events), "events that were there are others now");
        let last = found.last().map_or(0, |(number, _)| *number);
        ensure!(
            last >= self.last_event,
            "the last event is {last}, but {} was acknowledged",
            self.last_event
        );
        let ids: BTreeSet<&EventId> = found.iter().map(|(_, id)| id).collect();
        ensure!(ids.len() == found.len(), "events come twice");
        self.events = found;
        Ok(())
    }

    /// The images that the index finds by a package are those that hold it.
    fn verify_index(
        &self,
        store: &dyn Store,
        there: &BTreeMap<u32, limpid_store::ImageId>,
    ) -> anyhow::Result<()> {
        let mut by_set: BTreeMap<PackageSet, bool> = BTreeMap::new();
        let mut expected = Vec::new();
        for (number, id) in there {
            let set = self.sets[*number as usize];
            let holds = *by_set.entry(set).or_insert_with(|| {
                let packages = layers_packages(&self.registry.layers(set));
                packages.iter().any(|package| package.source_name == "zlib")
            });
            expected.extend(holds.then_some(*id));
        }
        expected.sort();
        let named = store.occurrences_named("zlib")?;
        let holding = store.holding(&named.into_iter().map(|(id, _)| id).collect::<Vec<_>>())?;
        let found: Vec<_> = holding.iter().collect();
        ensure!(found == expected, "{} images hold zlib, the index says {}", expected.len(), found.len());
        Ok(())
    }

    /// The package sets of all images so far.
    fn know_sets(&mut self) {
        let next = self.next_image() as usize;
        if self.sets.len() < next {
            self.sets = self.registry.builds().take(next + 10_000).map(|build: Build| build.set).collect();
        }
    }
}
