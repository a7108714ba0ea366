//! Questions about all images at once, answered from an index over occurrences.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Digest, Occurrence};
use roaring::RoaringBitmap;

use crate::Result;
use crate::store::{ImageId, ImageRecord, OccurrenceId};

/// A set of images, by their ids.
///
/// Ids are given one after the other, so that they fit 32 bits for the first four thousand million images; one
/// that does not fit is in no set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageSet(RoaringBitmap);

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

/// Answers about all images at once.
pub trait Fleet {
    /// The images that a filter lets through.
    fn select(&self, filter: &ImageFilter) -> Result<ImageSet>;
    /// How many of the images have which release; empty for unknown.
    fn releases(&self, images: &ImageSet) -> Result<BTreeMap<String, u64>>;
    /// The images that hold at least one of the occurrences.
    fn holding(&self, occurrences: &[OccurrenceId]) -> Result<ImageSet>;
    /// For each group of occurrences, how many of the images hold at least one of the group; of all images if `within`
    /// is `None`.
    fn counts(&self, groups: &[Vec<OccurrenceId>], within: Option<&ImageSet>) -> Result<Vec<u64>>;
    /// Images in short, in the order asked for; those that are gone are missing.
    fn summaries(&self, images: &[ImageId]) -> Result<Vec<ImageSummary>>;
    /// An image by its id.
    fn image_by_id(&self, image: ImageId) -> Result<Option<ImageRecord>>;
    /// The names of all packages' sources.
    fn source_names(&self) -> Result<BTreeSet<String>>;
    /// The occurrences of packages with this source or binary name, in any version.
    fn occurrences_named(&self, name: &str) -> Result<Vec<(OccurrenceId, Occurrence)>>;
    /// Does a bounded part of the work that keeps the index fast. Whether there is more to do.
    fn tend(&self) -> Result<bool>;
}
