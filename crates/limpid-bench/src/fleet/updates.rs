//! Feeds and the operator's advisories over time: what goes into the store, when, and what it costs until verdicts
//! are durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Instant;

use anyhow::ensure;
use limpid_feeds::{Limits, Mirror};
use limpid_index::{Outcome, Quiet, Selection, Updater};
use limpid_model::Advisory;
use limpid_store::Store;

use super::advisories::{ABOVE_ALL, Operator, advisory};
use super::images::{EPOCH, seen_at};
use super::registry::Registry;
use super::world::{Alone, HandClock};
use crate::figure::Figure;

/// How many advisories the larger update changes.
const CHANGED: usize = 1000;
/// The share of images that the widespread vulnerability should be in.
const WIDESPREAD_SHARE: f64 = 0.6;
/// What most images have.
const WIDESPREAD_SOURCE: &str = "zlib";
/// The rare vulnerability.
pub(crate) const RARE: &str = "CVE-2026-10001";
/// The most that an update may take, in seconds.
const ONE_SECONDS_MAX: f64 = 1.0;
const CHANGED_SECONDS_MAX: f64 = 30.0;
/// How much more an update may take with a hundred times the images.
const RATIO_MAX: f64 = 2.0;

/// What was said when.
pub(crate) struct History {
    operator: Operator,
    /// What the operator's document said since when.
    said: Vec<(i64, Vec<Advisory>)>,
    /// Releases and sources in most images.
    widespread: Vec<(String, String)>,
    /// Releases and sources that advisories change of.
    changing: Vec<(String, String)>,
    /// What updates took, by the number of images.
    took: BTreeMap<u32, (f64, f64)>,
    /// Events that the last update had.
    events: u64,
}

impl History {
    /// Fills the store with all that is said before the first image comes.
    pub(crate) fn begin(
        store: &dyn Store,
        registry: &Registry,
        mirror: Option<&Mirror>,
    ) -> anyhow::Result<Self> {
        if let Some(mirror) = mirror {
            update(store, Registry::releases(&registry.bases), mirror)?;
        }
        let judged: Vec<usize> =
            (0..registry.bases.len()).filter(|base| is_judged(registry, *base)).collect();
        let release = |base: usize| limpid_match::release(&registry.bases[base].distribution);
        let mut changing = BTreeSet::new();
        for base in &judged {
            changing.extend(
                registry.sources(*base).into_iter().map(|source| (release(*base), source.to_owned())),
            );
        }
        let mut operator = Operator::default();
        if let Some(rare) = registry.rare_source(0) {
            operator.put(advisory(RARE, "Critical", &[(release(0), rare.to_owned())], ABOVE_ALL));
        }
        let mut history = Self {
            operator,
            said: Vec::new(),
            widespread: widespread(registry, &judged),
            changing: changing.into_iter().take(CHANGED).collect(),
            took: BTreeMap::new(),
            events: 0,
        };
        ensure!(history.changing.len() == CHANGED, "the registry has too few sources");
        history.change_many(0);
        history.import(store, EPOCH - 3600)?;
        Ok(history)
    }

    /// The vulnerability that became known when there were so many images, and that most of them have.
    pub(crate) fn widespread(size: u32) -> String {
        format!("CVE-2026-{}", 20_000 + size / 1000)
    }

    /// The present, as far as updates go.
    pub(crate) fn now(&self) -> i64 {
        self.said.last().map_or(EPOCH, |(since, _)| since + 1)
    }

    /// A moment after each update.
    pub(crate) fn moments(&self) -> Vec<i64> {
        self.said.iter().map(|(since, _)| since + 1).collect()
    }

    /// A moment between the last two updates.
    pub(crate) fn before_last(&self) -> i64 {
        self.said.iter().rev().nth(1).map_or(EPOCH, |(since, _)| since + 1)
    }

    /// What the operator's document said, and when.
    pub(crate) fn operator(&self) -> Vec<(Vec<Advisory>, Range<i64>)> {
        let until = self.said.iter().skip(1).map(|(since, _)| *since).chain([i64::MAX]);
        self.said.iter().zip(until).map(|((since, said), until)| (said.clone(), *since..until)).collect()
    }

    /// Measures both updates with so many images in the store.
    pub(crate) fn measure(&mut self, store: &dyn Store, size: u32) -> anyhow::Result<Vec<Figure>> {
        // After the last image and before the next.
        let now = seen_at(size) - 10;
        let widespread = advisory(&Self::widespread(size), "High", &self.widespread, ABOVE_ALL);
        self.operator.put(widespread);
        let one = self.import(store, now)?;
        ensure!(self.events == 1, "one new advisory came to {} events", self.events);
        self.change_many(size);
        let many = self.import(store, now + 5)?;
        let events = self.events as f64;
        self.took.insert(size, (one, many));
        let figure = |name: &str, value: f64| Figure::new(format!("{size} images, {name}"), value, "s");
        Ok(vec![
            figure("update with one advisory for most images, until all is durable", one)
                .at_most(ONE_SECONDS_MAX),
            figure("update that changes 1000 advisories, until all is durable", many)
                .at_most(CHANGED_SECONDS_MAX),
            Figure::new(format!("{size} images, events of the latter"), events, ""),
        ])
    }

    /// How much more updates take with the most images than with the fewest.
    pub(crate) fn ratios(&self) -> Vec<Figure> {
        let (Some(fewest), Some(most)) = (self.took.first_key_value(), self.took.last_key_value()) else {
            return Vec::new();
        };
        if fewest.0 == most.0 {
            return Vec::new();
        }
        let figure = |name: &str, value: f64| {
            Figure::new(format!("{name}, {} images / {}", most.0, fewest.0), value, "x").at_most(RATIO_MAX)
        };
        vec![
            figure("update with one advisory", most.1.0 / fewest.1.0),
            figure("update that changes 1000", most.1.1 / fewest.1.1),
        ]
    }

    /// Moves the fix of each of the thousand.
    fn change_many(&mut self, size: u32) {
        for (number, affected) in self.changing.iter().enumerate() {
            let id = format!("CVE-2026-{}", 30_000 + number);
            let fixed = format!("9998:{}", size / 1000);
            self.operator.put(advisory(&id, "Medium", std::slice::from_ref(affected), &fixed));
        }
    }

    /// Imports the operator's document and works off what follows from that. How long it took.
    fn import(&mut self, store: &dyn Store, now: i64) -> anyhow::Result<f64> {
        self.said.push((now, self.operator.parsed()?));
        let begun = Instant::now();
        self.operator.import(store, now)?;
        let derived = limpid_index::derive_events(store, &HandClock::at(now), &Alone::new())?;
        self.events = derived.events.values().sum();
        Ok(begun.elapsed().as_secs_f64())
    }
}

fn is_judged(registry: &Registry, base: usize) -> bool {
    let base = &registry.bases[base];
    limpid_match::rules_for(&limpid_match::release(&base.distribution), base.database.kind).is_some()
}

/// The releases that together have about [`WIDESPREAD_SHARE`] of all images, each with the source that they all have.
fn widespread(registry: &Registry, judged: &[usize]) -> Vec<(String, String)> {
    const SAMPLE: usize = 5000;
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for build in registry.builds().take(SAMPLE) {
        let base = registry.stacks[usize::from(build.set.stack)].base;
        if judged.contains(&base) {
            let release = limpid_match::release(&registry.bases[base].distribution);
            *shares.entry(release).or_default() += 1.0 / SAMPLE as f64;
        }
    }
    let shares: Vec<(String, f64)> = shares.into_iter().collect();
    let sum = |chosen: u32| -> f64 {
        shares.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, (_, share))| share).sum()
    };
    let distance = |chosen: &u32| ((sum(*chosen) - WIDESPREAD_SHARE).abs() * 1e6) as u64;
    let best = (0..1_u32 << shares.len()).min_by_key(distance).unwrap_or_default();
    let chosen = shares.into_iter().enumerate().filter(|(at, _)| best >> at & 1 == 1);
    chosen.map(|(_, (release, _))| (release, WIDESPREAD_SOURCE.to_owned())).collect()
}

/// The real feeds of the releases, through the updater.
fn update(store: &dyn Store, releases: BTreeSet<String>, mirror: &Mirror) -> anyhow::Result<()> {
    let fetcher = super::feeds::fetcher(mirror);
    let updater = Updater {
        store,
        clock: &HandClock::at(EPOCH - 86_400),
        progress: &Quiet,
        process: &Alone::new(),
        fetcher: &fetcher,
        limits: Limits::default(),
        age_seconds_max: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    for updated in updater.update(&Selection { releases, ..Selection::default() })? {
        if let Outcome::Failed(reason) = updated.outcome {
            super::tell(&format!("feed {} {}: {reason}", updated.key.feed, updated.key.document));
        }
    }
    Ok(())
}
