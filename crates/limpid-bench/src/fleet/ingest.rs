//! Storing images by the calls by which a scan stores one, with the time that these take.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use limpid_index::indexer_state;
use limpid_model::Distribution;
use limpid_store::{ImageId, ImageRecord, LayerRecord, NewImage, Store};

use super::images::{Image, Images};
use super::registry::{Build, Registry};

/// After so many images whoever stores them tends the index, as the command does after a batch.
const TEND_EVERY: u32 = 1000;
/// At most so many images are stored at a time.
const IMAGES_AT_A_TIME: usize = 500;

/// Images and the time that the store took for them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) images: u64,
    pub(crate) time: Duration,
}

impl Tally {
    fn add(&mut self, images: u64, time: Duration) {
        self.images += images;
        self.time += time;
    }

    /// Images a second; each bears its share of the time that tending took.
    pub(crate) fn rate(&self, tending: Duration, all: u64) -> f64 {
        let share = tending.as_secs_f64() * self.images as f64 / all.max(1) as f64;
        self.images as f64 / (self.time.as_secs_f64() + share)
    }
}

/// What storing images took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tallies {
    /// Images whose package set was known.
    pub(crate) known: Tally,
    /// Images with a new layer that changes packages.
    pub(crate) new: Tally,
    /// Tags that moved to an image.
    pub(crate) moved: Tally,
    /// Tending the index.
    pub(crate) tending: Duration,
}

impl Tallies {
    /// How much of the store's time went into tending.
    pub(crate) fn tending_share(&self) -> f64 {
        let tending = self.tending.as_secs_f64();
        tending / (tending + self.known.time.as_secs_f64() + self.new.time.as_secs_f64())
    }
}

/// Stores the registry's images in their order.
pub(crate) struct Ingest<'a> {
    store: &'a dyn Store,
    registry: &'a Registry,
    images: Images<'a>,
    builds: Box<dyn Iterator<Item = Build> + 'a>,
    /// Images with new package sets, and with known ones, that wait for others to be stored with them.
    new: Vec<(Image, ImageRecord)>,
    known: Vec<(Image, ImageRecord)>,
    /// The numbers of the images in the order in which they were stored.
    pub(crate) order: Vec<u32>,
    pub(crate) stored: u32,
    pub(crate) tallies: Tallies,
    state: String,
}

impl<'a> Ingest<'a> {
    pub(crate) fn new(store: &'a dyn Store, registry: &'a Registry) -> Self {
        let (images, builds) = (Images::new(registry), Box::new(registry.builds()));
        let (tallies, state) = (Tallies::default(), indexer_state());
        let (new, known, order) = Default::default();
        Self { store, registry, images, builds, new, known, order, stored: 0, tallies, state }
    }

    /// Stores images until there are so many.
    pub(crate) fn until(&mut self, images: u32, progress: &mut dyn FnMut(u32)) -> anyhow::Result<()> {
        while self.stored < images {
            let Some(build) = self.builds.next() else { break };
            let image = self.images.image(&build);
            let record = record(&image, self.registry.distribution(build.set), &self.state);
            self.stored += 1;
            if build.is_new_set { &mut self.new } else { &mut self.known }.push((image, record));
            if self.new.len() + self.known.len() >= IMAGES_AT_A_TIME {
                self.flush()?;
            }
            if self.stored.is_multiple_of(TEND_EVERY) || self.stored == images {
                self.flush()?;
                let begun = Instant::now();
                while self.store.tend()? {}
                self.tallies.tending += begun.elapsed();
                progress(self.stored);
            }
        }
        Ok(())
    }

    /// Stores what waits. Those with new package sets come first: others of the same batch may have these sets too.
    fn flush(&mut self) -> anyhow::Result<()> {
        let (new, known) = (std::mem::take(&mut self.new), std::mem::take(&mut self.known));
        let Tallies { new: of_new, known: of_known, .. } = &mut self.tallies;
        let mut moved = Vec::new();
        for (images, tally) in [(&new, of_new), (&known, of_known)] {
            let begun = Instant::now();
            let ids = put_all(self.store, images)?;
            tally.add(ids.len() as u64, begun.elapsed());
            self.order.extend(images.iter().map(|(image, _)| image.number));
            let moving = images.iter().zip(ids);
            moved.extend(
                moving.filter_map(|((image, _), id)| Some((id, image.moving.as_ref()?, image.seen_at))),
            );
        }
        for (id, tag, seen_at) in moved {
            let begun = Instant::now();
            self.store.put_reference(id, tag, seen_at)?;
            self.tallies.moved.add(1, begun.elapsed());
        }
        Ok(())
    }
}

/// The image's record, as the indexer makes it.
fn record(image: &Image, distribution: &Distribution, indexer_state: &str) -> ImageRecord {
    ImageRecord {
        metadata: image.metadata.clone(),
        nodes: Vec::new(),
        release: limpid_match::release(distribution),
        distribution: Some(distribution.clone()),
        problems: Vec::new(),
        indexer_state: indexer_state.to_owned(),
    }
}

/// Stores images as the indexer does, with their layers and nodes, so far as they are new.
fn put_all(store: &dyn Store, images: &[(Image, ImageRecord)]) -> anyhow::Result<Vec<ImageId>> {
    let Some((last, _)) = images.last() else { return Ok(Vec::new()) };
    let layers: Vec<Vec<&LayerRecord>> =
        images.iter().map(|(image, _)| image.layers.iter().collect()).collect();
    let all = images.iter().zip(&layers);
    let all = all.map(|((image, record), layers)| NewImage {
        record,
        layers,
        steps: &image.steps,
        reference: &image.reference,
    });
    let stored = store.put_images(&all.collect::<Vec<_>>(), last.seen_at)?;
    stored.into_iter().map(|stored| Ok(stored?.0)).collect()
}

/// Stores one image, and notes the tag that moves to it.
pub(crate) fn put(
    store: &dyn Store,
    image: Image,
    distribution: &Distribution,
    indexer_state: &str,
) -> anyhow::Result<ImageId> {
    let record = record(&image, distribution, indexer_state);
    let (seen_at, moving) = (image.seen_at, image.moving.clone());
    let id = put_all(store, &[(image, record)])?.pop().context("the store says nothing of the image")?;
    if let Some(moving) = &moving {
        store.put_reference(id, moving, seen_at)?;
    }
    Ok(id)
}
