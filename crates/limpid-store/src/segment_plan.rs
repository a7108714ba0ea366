//! What is to be done next so that segments stay few, and the tail short.

use crate::segment_query::SegmentRow;

/// When segments are built and merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Images that make the tail a segment: so many are still answered for by a walk over their nodes in milliseconds.
    pub(crate) sealed_min: i64,
    /// Ids that one segment takes from the tail at most.
    pub(crate) sealed_max: i64,
    /// How many segments of a size become one of the next, so that each image is written once for each size.
    pub(crate) merged_min: usize,
    /// Images that a merge takes at most: some seconds, and some 100 MB of memory. Larger segments stay as they are.
    pub(crate) merged_images_max: u64,
    /// A segment is built anew when so many of its images are displaced: this part, and no fewer than a new segment has.
    /// Those that are still there lengthen the tail.
    pub(crate) displaced_part: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            sealed_min: 512,
            sealed_max: 1 << 16,
            merged_min: 8,
            merged_images_max: 1 << 20,
            displaced_part: 128,
        }
    }
}

/// A segment to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The segments in whose place it comes, next to each other; none for one of the tail.
    pub(crate) replaces: Vec<i64>,
    /// It covers the images from this id.
    pub(crate) first_image: i64,
    /// To this.
    pub(crate) last_image: i64,
}

/// What is to be done next, if anything. `newest` is the greatest id of an image, `displaced` has for each segment how many
/// of its images are.
pub(crate) fn plan(rows: &[SegmentRow], displaced: &[i64], newest: i64, sizes: &Sizes) -> Option<Plan> {
    let sealed = rows.last().map_or(0, |row| row.last_image);
    if newest - sealed >= sizes.sealed_min {
        let last_image = newest.min(sealed + sizes.sealed_max);
        return Some(Plan { replaces: Vec::new(), first_image: sealed + 1, last_image });
    }
    let worn = rows.iter().zip(displaced).filter(|(row, displaced)| {
        **displaced >= sizes.sealed_min.max(i64::from(row.images) / sizes.displaced_part)
    });
    if let Some((row, _)) = worn.max_by_key(|(_, displaced)| **displaced) {
        return Some(replacing(std::slice::from_ref(row)));
    }
    // Below so many images a segment is of a size or a smaller one.
    let larger = |limit: &u64| limit.checked_mul(sizes.merged_min as u64);
    let limits = std::iter::successors(larger(&sizes.sealed_min.unsigned_abs()), larger);
    let mut limits = limits.take_while(|limit| *limit < sizes.merged_images_max);
    limits.find_map(|limit| merge(rows, limit, sizes))
}

fn replacing(rows: &[SegmentRow]) -> Plan {
    Plan {
        replaces: rows.iter().map(|row| row.id).collect(),
        first_image: rows.first().map_or(0, |row| row.first_image),
        last_image: rows.last().map_or(0, |row| row.last_image),
    }
}

/// Segments next to each other that have fewer images than `limit`, if they are enough to be merged.
fn merge(rows: &[SegmentRow], limit: u64, sizes: &Sizes) -> Option<Plan> {
    let is_small = |row: &SegmentRow| u64::from(row.images) < limit;
    let mut groups = rows.chunk_by(|a, b| is_small(a) && is_small(b));
    let group = groups.find(|group| group.len() >= sizes.merged_min)?;
    let mut images = 0;
    let fitting = group.iter().take_while(|row| {
        images += u64::from(row.images);
        images <= sizes.merged_images_max
    });
    let count = fitting.count();
    (count > 1).then(|| replacing(&group[..count]))
}
