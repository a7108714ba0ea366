//! A registry of many images in one store: what it takes, how fast it is filled, asked and brought up to date, and
//! whether its answers are right.
//!
//! The registry is made up ([`registry`]) from package lists of real images ([`lists`]) and the names in real feeds. Its
//! images go into the store by the calls by which a scan stores one ([`ingest`]); feeds go in through the updater.
//! In the end a sample of answers is compared with what comes of looking at every image ([`brute_force`]).

mod advisories;
mod brute_force;
mod feeds;
mod images;
mod ingest;
mod lists;
mod memory;
mod questions;
mod random;
mod registry;
mod updates;
mod verify;
mod world;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use limpid_feeds::Mirror;
use limpid_store::Store;

pub(crate) use self::advisories::{ABOVE_ALL, Operator, advisory};
use self::brute_force::BruteForce;
pub(crate) use self::images::{Images, manifest_digest, packages as layers_packages, seen_at};
use self::ingest::Ingest;
pub(crate) use self::ingest::put;
pub(crate) use self::registry::{Build, PackageSet, Registry};
use self::updates::History;
pub(crate) use self::world::{Alone, HandClock, World};
use crate::figure::{Figure, print};

/// What one image may take in the store, in bytes.
const BYTES_PER_IMAGE_MAX: f64 = 2000.0;
/// What the process may hold in memory.
const MEMORY_MB_MAX: f64 = 1000.0;
/// Images a second, of those with a known package set and those with a new one.
const KNOWN_RATE_MIN: f64 = 5000.0;
const NEW_RATE_MIN: f64 = 300.0;

#[derive(Debug, Args)]
pub(crate) struct Fleet {
    /// How many images (20k, 1M)
    #[arg(long, default_value = "20k", value_parser = count)]
    images: u32,
    /// Sizes at which everything is measured on the way, in one run; the last is `--images`
    #[arg(long, value_delimiter = ',', value_parser = count)]
    sizes: Vec<u32>,
    /// The store: a file that is not there yet, or postgres://… with an empty database [default: a temporary file]
    #[arg(long)]
    store: Option<OsString>,
    /// A mirror of the feeds, as `limpid --feeds-mirror` takes it [default: LIMPID_FEEDS_DATA]
    #[arg(long)]
    feeds_mirror: Option<Mirror>,
    /// Answers that are compared with a recomputation from packages and advisories
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// Another registry of the same shape
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// A number of images: `20000`, `20k` or `1M`.
fn count(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is no number of images"))
}

impl Fleet {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let place = self.store.clone().unwrap_or_else(|| folder.path().join("fleet.db").into_os_string());
        let mut sizes: BTreeSet<u32> = self.sizes.iter().copied().collect();
        sizes.insert(self.images);
        ensure!(self.sizes.iter().all(|size| *size <= self.images), "--sizes must not exceed --images");
        let world = World::new(place);
        let mirror =
            self.feeds_mirror.clone().or_else(|| limpid_testkit::feeds_mirror().map(Mirror::Directory));
        let registry = registry(self.seed, mirror.as_ref())?;
        let store = world.open()?;
        ensure!(store.status()?.images == 0, "the store has images; give the name of a new one");
        let begun = Instant::now();
        let mut history = History::begin(store.as_ref(), &registry, mirror.as_ref())?;
        let print = |figures: &[Figure]| print(figures, self.json);
        print(&[Figure::new("feeds into the store, wall", begun.elapsed().as_secs_f64(), "s")]);
        let without_images = world.bytes()?;
        let mut ingest = Ingest::new(store.as_ref(), &registry);
        for size in sizes {
            print(&self.fill(&world, store.as_ref(), &mut ingest, size, without_images)?);
            print(&history.measure(store.as_ref(), size)?);
            print(&questions::measure(&world, store.as_ref(), &history, size)?);
        }
        print(&history.ratios());
        let order = std::mem::take(&mut ingest.order);
        drop(ingest);
        let all = brute_force(&registry, order, mirror.as_ref(), &history)?;
        print(&[verify::measure(store.as_ref(), &all, &history, self.samples, self.seed)?]);
        Ok(())
    }

    /// Stores images until there are `size`.
    fn fill(
        &self,
        world: &World,
        store: &dyn Store,
        ingest: &mut Ingest<'_>,
        size: u32,
        without_images: u64,
    ) -> anyhow::Result<Vec<Figure>> {
        memory::forget_peak();
        ingest.tallies = Default::default();
        let (begun, written) = (Instant::now(), memory::written_bytes());
        ingest.until(size, &mut |stored| {
            if stored.is_multiple_of(50_000) {
                tell(&format!("{stored} images after {:.0} s", begun.elapsed().as_secs_f64()));
            }
        })?;
        let tallies = ingest.tallies;
        let all = tallies.known.images + tallies.new.images;
        let bytes = (world.bytes()? - without_images) as f64 / f64::from(size);
        let status = store.status()?;
        let figure = |name: &str, value, unit| Figure::new(format!("{size} images, {name}"), value, unit);
        let share = tallies.new.images as f64 / all.max(1) as f64;
        Ok(vec![
            figure("store per image", bytes, "B").at_most(BYTES_PER_IMAGE_MAX),
            figure("peak memory while filling", memory::peak_mb(), "MB").at_most(MEMORY_MB_MAX),
            figure("known package set", tallies.known.rate(tallies.tending, all), "/s")
                .at_least(KNOWN_RATE_MIN),
            figure("new layer with 20 changed packages", tallies.new.rate(tallies.tending, all), "/s")
                .at_least(NEW_RATE_MIN),
            // Of what the store is made of, each page is written once to the log and some of them again to the file.
            figure(
                "written to the disk for each image",
                (memory::written_bytes() - written) / all as f64 / 1e3,
                "kB",
            ),
            figure("tags moved", tallies.moved.rate(Default::default(), 1), "/s"),
            figure("share of images with a new layer of packages", share * 100.0, "%"),
            figure("tending, of all time in the store", tallies.tending_share() * 100.0, "%"),
            figure("filling, wall, with making the images up", begun.elapsed().as_secs_f64(), "s"),
            figure("layers", status.layers as f64, ""),
            figure("package set nodes", status.nodes as f64, ""),
            figure("occurrences", status.occurrences as f64, ""),
        ])
    }
}

/// All that the registry's images have and all that was said of it.
fn brute_force<'a>(
    registry: &'a Registry,
    order: Vec<u32>,
    mirror: Option<&Mirror>,
    history: &History,
) -> anyhow::Result<BruteForce<'a>> {
    let begun = Instant::now();
    let mut all = BruteForce::new(registry, order);
    if let Some(mirror) = mirror {
        all.read(mirror)?;
    }
    for (advisories, during) in history.operator() {
        all.add_local(advisories, &during);
    }
    all.seal();
    let seconds = begun.elapsed().as_secs_f64();
    let (sets, unique) = (all.sets.len(), all.unique.len());
    tell(&format!("brute force: {sets} package sets, {unique} package versions, made in {seconds:.1} s"));
    Ok(all)
}

/// The registry over the lists that are there; says which are not.
fn registry(seed: u64, mirror: Option<&Mirror>) -> anyhow::Result<Registry> {
    let bases = lists::bases();
    for base in bases.iter().filter(|base| !base.is_real) {
        let name = base.name;
        tell(&format!(
            "{name}: no list of its packages is here (LIMPID_SHARED, LIMPID_IMAGES): they are made up"
        ));
    }
    if mirror.is_none() {
        tell("there is no mirror of feeds (--feeds-mirror): names and advisories are made up");
    }
    let pools = feeds::pools(mirror, &Registry::releases(&bases)).context("the feeds cannot be read")?;
    Ok(Registry::new(seed, bases, &pools))
}

/// Tells whoever waits.
#[allow(clippy::print_stderr, reason = "progress is no figure")]
fn tell(what: &str) {
    eprintln!("{what}");
}
