//! Questions about all images at once, answered from an index over occurrences.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Digest, Occurrence};
use roaring::RoaringBitmap;

use crate::Result;
use crate::store::{ImageId, ImageRecord, NodeId, OccurrenceId};

/// A set of images, by their ids.
///
/// Ids are given one after the other, so that they fit 32 bits for the first four thousand million images; one
/// that does not fit is in no set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageSet(pub(crate) RoaringBitmap);

impl ImageSet {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the image is in it.
    pub fn contains(&self, image: ImageId) -> bool {
        u32::try_from(image.0).is_ok_and(|id| self.0.contains(id))
    }

    /// Adds an image.
    pub fn insert(&mut self, image: ImageId) {
        if let Ok(id) = u32::try_from(image.0) {
            self.0.insert(id);
        }
    }

    /// Those that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// How many are in both.
    pub fn intersection_len(&self, other: &Self) -> u64 {
        self.0.intersection_len(&other.0)
    }

    /// Those that are in one or the other.
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Those that are in this one alone.
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// The image with the greatest id.
    pub fn last(&self) -> Option<ImageId> {
        self.0.max().map(|id| ImageId(i64::from(id)))
    }

    /// Those with this id or a lower one.
    pub fn up_to(mut self, last: ImageId) -> Self {
        match u32::try_from(last.0) {
            Ok(u32::MAX) => {}
            Ok(last) => {
                self.0.remove_range(last + 1..);
            }
            Err(_) if last.0 < 0 => self.0.clear(),
            Err(_) => {}
        }
        self
    }

    /// The images in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = ImageId> + '_ {
        self.0.iter().map(|id| ImageId(i64::from(id)))
    }

    /// At most `limit` images whose ids are greater than `after`, in order: a page.
    pub fn page(&self, after: Option<ImageId>, limit: usize) -> Vec<ImageId> {
        let first = match after {
            None => 0,
            Some(after) => match u32::try_from(after.0 + 1) {
                Ok(first) => first,
                Err(_) => return Vec::new(),
            },
        };
        self.0.range(first..).take(limit).map(|id| ImageId(i64::from(id))).collect()
    }
}

impl FromIterator<ImageId> for ImageSet {
    fn from_iter<I: IntoIterator<Item = ImageId>>(images: I) -> Self {
        Self(images.into_iter().filter_map(|image| u32::try_from(image.0).ok()).collect())
    }
}

/// A set of occurrences, by their ids. Like [`ImageSet`], it has room for those that fit 32 bits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OccurrenceSet(pub(crate) RoaringBitmap);

impl OccurrenceSet {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an occurrence.
    pub fn insert(&mut self, occurrence: OccurrenceId) {
        if let Ok(id) = u32::try_from(occurrence.0) {
            self.0.insert(id);
        }
    }

    /// Adds those of another set.
    pub fn extend(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Takes those of another set out.
    pub fn remove_all(&mut self, other: &Self) {
        self.0 -= &other.0;
    }

    /// The occurrences in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = OccurrenceId> + '_ {
        self.0.iter().map(|id| OccurrenceId(i64::from(id)))
    }
}

impl FromIterator<OccurrenceId> for OccurrenceSet {
    fn from_iter<I: IntoIterator<Item = OccurrenceId>>(occurrences: I) -> Self {
        let mut set = Self::default();
        occurrences.into_iter().for_each(|occurrence| set.insert(occurrence));
        set
    }
}

/// Which images a question is about: those for which all that is said holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    /// The repository of one of its references (`registry.example/team/app`); all below one, if it ends in `/`. Empty
    /// for any.
    pub repository: String,
    /// Labels of the image's config, each with its value.
    pub labels: Vec<(String, String)>,
    /// Its release (`debian:12`), empty for any.
    pub release: String,
    /// It was there at this time, in seconds since the epoch: first seen no later. A reference counts for
    /// `repository` if it was first seen no later either.
    pub there_at: Option<i64>,
    /// The last image that counts.
    pub last: Option<ImageId>,
}

/// An image in short, for lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageSummary {
    /// Its id.
    pub id: ImageId,
    /// Its manifest's digest.
    pub manifest_digest: Digest,
    /// References that it was seen under, sorted.
    pub references: Vec<String>,
    /// Its distribution's release, empty for unknown.
    pub release: String,
}

/// A node, and how many images go through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedNode {
    /// The node.
    pub node: NodeId,
    /// How many images.
    pub images: u64,
    /// The first of them.
    pub example: ImageId,
}

/// Answers about all images at once.
pub trait Fleet {
    /// The images that a filter lets through.
    fn select(&self, filter: &ImageFilter) -> Result<ImageSet>;
    /// How many of the images have which release; empty for unknown.
    fn releases(&self, images: &ImageSet) -> Result<BTreeMap<String, u64>>;
    /// The images that hold at least one of the occurrences.
    fn holding(&self, occurrences: &[OccurrenceId]) -> Result<ImageSet>;
    /// The images that held at least one of the occurrences at a revision ([`NEWEST`](crate::NEWEST): hold now): of an image
    /// that was analysed anew since, what it was before counts.
    fn holding_at(&self, occurrences: &[OccurrenceId], revision: u64) -> Result<ImageSet>;
    /// For each group of occurrences, how many of the images hold at least one of the group; of all images if `within`
    /// is `None`.
    fn counts(&self, groups: &[Vec<OccurrenceId>], within: Option<&ImageSet>) -> Result<Vec<u64>>;
    /// For each occurrence how many images hold it, or more: what is quick to tell.
    fn bounds(&self, occurrences: &[OccurrenceId]) -> Result<Vec<u64>> {
        let groups: Vec<Vec<OccurrenceId>> = occurrences.iter().map(|occurrence| vec![*occurrence]).collect();
        self.counts(&groups, None)
    }
    /// Hands over every vulnerability with the occurrences that it affects now, by the verdicts that are kept. Complete if
    /// nothing is [`unlisted`](Self::unlisted), and of those that are it may say what no longer holds. The sink must
    /// not ask the store.
    fn exposures(&self, sink: &mut dyn FnMut(&str, OccurrenceSet) -> Result<()>) -> Result<()>;
    /// At most `limit` occurrences after one, in the order of their ids, that [`exposures`](Self::exposures) do not have as
    /// they are judged now: those without a verdict by these rules, and those whose verdicts came since the last
    /// [`list`](Self::list).
    fn unlisted(
        &self,
        rules_version: u32,
        after: Option<OccurrenceId>,
        limit: usize,
    ) -> Result<Vec<(OccurrenceId, Occurrence)>>;
    /// Brings [`exposures`](Self::exposures) up to the verdicts that came since, of at most `limit` occurrences. Whether there
    /// were any.
    fn list(&self, rules_version: u32, limit: usize) -> Result<bool>;
    /// Images in short, in the order asked for; those that are gone are missing.
    fn summaries(&self, images: &[ImageId]) -> Result<Vec<ImageSummary>>;
    /// An image by its id.
    fn image_by_id(&self, image: ImageId) -> Result<Option<ImageRecord>>;
    /// The names of all packages' sources.
    fn source_names(&self) -> Result<BTreeSet<String>>;
    /// The occurrences of packages with this source or binary name, in any version.
    fn occurrences_named(&self, name: &str) -> Result<Vec<(OccurrenceId, Occurrence)>>;
    /// Occurrences by their ids; those that are gone are missing.
    fn occurrences(&self, ids: &[OccurrenceId]) -> Result<BTreeMap<OccurrenceId, Occurrence>>;
    /// The package set nodes that the most of the images go through, at most `limit`, the most shared first and of equally
    /// shared ones the older; and how many more there are.
    fn shared_nodes(&self, images: &ImageSet, limit: usize) -> Result<(Vec<SharedNode>, u64)>;
    /// The images that end in a node, in the order of their ids, at most `limit`.
    fn images_at(&self, node: NodeId, limit: usize) -> Result<Vec<ImageId>>;
    /// Whether [`tend`](Self::tend) has anything to do: quick to tell.
    fn needs_tending(&self) -> Result<bool>;
    /// Does a bounded part of the work that keeps the index fast: for whoever stored images, and beside anybody. Whether
    /// there may be more to do. Answers are the same without it.
    fn tend(&self) -> Result<bool>;
}
