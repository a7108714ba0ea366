//! Answers from segments and the tail behind them.
//!
//! Counting stays in positions: the lengths of runs add up. Only where some images do not count, because they are displaced
//! or the question is about others, a segment's list of images is read to tell which positions do. Answers that are sets
//! of images read the pieces of that list that they touch.

use std::collections::{BTreeMap, HashMap, HashSet};

use roaring::RoaringBitmap;

use crate::segment::{Head, IMAGES_PER_PIECE, Member, Run, Segment, decode_images, decode_postings};
use crate::segment_build::{Tree, add_run, build};
use crate::store::OccurrenceId;
use crate::{Error, ImageSet, Result};

/// Above so many occurrences all postings of a segment are read.
const LOOKED_UP_MAX: usize = 256;

/// A stored segment, without its pieces.
#[derive(Debug, Clone)]
pub(crate) struct SegmentRow {
    /// Its id.
    pub(crate) id: i64,
    /// It covers the images from this id.
    pub(crate) first_image: i64,
    /// To this.
    pub(crate) last_image: i64,
    /// How many positions it has.
    pub(crate) images: u32,
    /// The encoded [`Head`].
    pub(crate) body: Vec<u8>,
}

/// Takes the pieces of a list, each with its first position or occurrence.
pub(crate) type PieceSink<'a> = dyn FnMut(i64, &[u8]) -> Result<()> + 'a;

/// Segments and what lies beside them, as an engine reads them at one moment.
pub(crate) trait Segments: Tree {
    /// All segments, by the images that they cover.
    fn rows(&mut self) -> Result<Vec<SegmentRow>>;
    /// The images that are displaced, sorted.
    fn displaced(&mut self) -> Result<Vec<i64>>;
    /// The images behind an id, and before it those that are displaced and still there.
    fn tail(&mut self, after: i64) -> Result<Vec<Member>>;
    /// Tells pieces of a segment's list of images, in order: those with these first positions, or all.
    fn image_pieces(&mut self, segment: i64, firsts: Option<&[u32]>, tell: &mut PieceSink<'_>) -> Result<()>;
    /// Tells pieces of a segment's postings, in order: those that may have one of the occurrences, which are sorted, or all.
    fn posting_pieces(
        &mut self,
        segment: i64,
        occurrences: Option<&[i64]>,
        tell: &mut PieceSink<'_>,
    ) -> Result<()>;
}

/// The index at one moment.
struct Index<'a> {
    source: &'a mut dyn Segments,
    rows: Vec<(SegmentRow, Head)>,
    displaced: RoaringBitmap,
    tail: Vec<Member>,
}

impl<'a> Index<'a> {
    fn open(source: &'a mut dyn Segments) -> Result<Self> {
        let mut rows = Vec::new();
        for row in source.rows()? {
            let head = Head::decode(&row.body)?;
            rows.push((row, head));
        }
        let tail = source.tail(rows.last().map_or(0, |(row, _)| row.last_image))?;
        let displaced =
            source.displaced()?.into_iter().filter_map(|image| u32::try_from(image).ok()).collect();
        Ok(Self { source, rows, displaced, tail })
    }

    /// The tail as a segment, with postings of these occurrences.
    fn tail(&mut self, only: &HashSet<i64>) -> Result<Segment> {
        build(&mut self.tail, self.source, Some(only))
    }

    fn tail_images(&self) -> ImageSet {
        self.tail.iter().map(|member| crate::ImageId(member.image)).collect()
    }

    /// Adds the images at positions of a segment, but for those that are displaced.
    fn scatter(&mut self, number: usize, runs: &[Run], images: &mut RoaringBitmap) -> Result<()> {
        let (row, head) = &self.rows[number];
        if length(runs) == u64::from(row.images) {
            *images |= &head.images - &self.displaced;
            return Ok(());
        }
        let firsts = firsts(runs);
        let is_most = firsts.len() > row.images.div_ceil(IMAGES_PER_PIECE) as usize / 2;
        let mut found: Vec<u32> = Vec::new();
        let (mut next, mut seen) = (0, 0);
        self.source.image_pieces(row.id, (!is_most).then_some(&firsts), &mut |first, bytes| {
            let ids = decode_images(bytes)?;
            let first = u32::try_from(first).unwrap_or(u32::MAX);
            let end = first.saturating_add(IMAGES_PER_PIECE);
            while next < runs.len() && runs[next].1 <= first {
                next += 1;
            }
            for (from, until) in runs[next..].iter().take_while(|(from, _)| *from < end) {
                let (from, until) = ((*from).max(first) - first, (*until).min(end) - first);
                let ids = ids.get(from as usize..until as usize);
                let ids = ids.ok_or_else(|| Error::Corrupt("a segment lacks images".to_owned()))?;
                seen += ids.len() as u64;
                found.extend(ids.iter().filter_map(|id| u32::try_from(*id).ok()));
            }
            Ok(())
        })?;
        if seen != length(runs) {
            return Err(Error::Corrupt("a segment lacks images".to_owned()));
        }
        *images |= set_of(found) - &self.displaced;
        Ok(())
    }

    /// The postings of occurrences in a segment.
    fn postings(&mut self, number: usize, sorted: &[i64], wanted: &HashMap<i64, usize>) -> Result<Postings> {
        let mut postings = Postings { runs: Vec::new(), places: vec![(0, 0); sorted.len()] };
        // Many are told faster in order than looked up one by one.
        let few = (sorted.len() <= LOOKED_UP_MAX).then_some(sorted);
        self.source.posting_pieces(self.rows[number].0.id, few, &mut |first, bytes| {
            let is_wanted = &mut |occurrence| wanted.contains_key(&occurrence);
            decode_postings(first, bytes, is_wanted, &mut |occurrence, runs| {
                let from = postings.runs.len();
                for run in runs {
                    postings.runs.push(run?);
                }
                if let Some(place) = wanted.get(&occurrence).and_then(|slot| postings.places.get_mut(*slot)) {
                    *place = (from, postings.runs.len());
                }
                Ok(())
            })
        })?;
        Ok(postings)
    }

    /// Which positions of a segment count; `None` for all.
    fn counting(&mut self, number: usize, within: Option<&RoaringBitmap>) -> Result<Option<Ranks>> {
        let (row, head) = &self.rows[number];
        if self.displaced.is_disjoint(&head.images)
            && within.is_none_or(|within| head.images.is_subset(within))
        {
            return Ok(None);
        }
        let mut counting = &head.images - &self.displaced;
        if let Some(within) = within {
            counting &= within;
        }
        let first = u32::try_from(row.first_image).unwrap_or(u32::MAX);
        let mut ids = Bits::default();
        counting.iter().for_each(|id| ids.set(id.saturating_sub(first)));
        let mut positions = Bits::default();
        let mut position = 0;
        self.source.image_pieces(row.id, None, &mut |_, bytes| {
            for id in decode_images(bytes)? {
                if u32::try_from(id).is_ok_and(|id| id >= first && ids.has(id - first)) {
                    positions.set(position);
                }
                position += 1;
            }
            Ok(())
        })?;
        Ok(Some(Ranks::of(positions)))
    }
}

/// Runs of the occurrences that were asked for, by the place of each in the question.
struct Postings {
    runs: Vec<Run>,
    places: Vec<(usize, usize)>,
}

impl Postings {
    /// The positions of all of a group.
    fn union<'s>(&self, group: &[usize], scratch: &'s mut (Vec<Run>, Vec<Run>)) -> &'s [Run] {
        let (all, merged) = scratch;
        all.clear();
        merged.clear();
        for slot in group {
            let (from, until) = self.places[*slot];
            all.extend_from_slice(&self.runs[from..until]);
        }
        all.sort_unstable();
        for (from, until) in all.iter() {
            let end = merged.last().map_or(0, |(_, end)| *end);
            add_run(merged, ((*from).max(end), *until));
        }
        merged
    }
}

/// The images that hold at least one of the occurrences.
pub(crate) fn holding(source: &mut dyn Segments, occurrences: &[OccurrenceId]) -> Result<ImageSet> {
    let question = Question::of(&[occurrences]);
    let mut images = RoaringBitmap::new();
    if question.sorted.is_empty() {
        return Ok(ImageSet(images));
    }
    let mut index = Index::open(source)?;
    let mut scratch = Default::default();
    for number in 0..index.rows.len() {
        let postings = index.postings(number, &question.sorted, &question.slots)?;
        let runs = postings.union(&question.groups[0], &mut scratch);
        if !runs.is_empty() {
            index.scatter(number, runs, &mut images)?;
        }
    }
    let tail = index.tail(&question.only())?;
    images |= holding_in(&tail);
    Ok(ImageSet(images))
}

/// Those of the members that hold at least one of the occurrences.
pub(crate) fn holding_among(
    tree: &mut dyn Tree,
    mut members: Vec<Member>,
    occurrences: &[OccurrenceId],
) -> Result<ImageSet> {
    let question = Question::of(&[occurrences]);
    Ok(ImageSet(holding_in(&build(&mut members, tree, Some(&question.only()))?)))
}

/// The images of a segment in memory that hold anything of which it has postings.
fn holding_in(segment: &Segment) -> RoaringBitmap {
    let runs = segment.postings.iter().flat_map(|(_, runs)| runs);
    let images = runs.flat_map(|(from, until)| &segment.images[*from as usize..*until as usize]);
    images.filter_map(|image| u32::try_from(*image).ok()).collect()
}

/// For each group of occurrences, how many images hold at least one of them; of those in `within` if it is given.
pub(crate) fn counts(
    source: &mut dyn Segments,
    groups: &[Vec<OccurrenceId>],
    within: Option<&ImageSet>,
) -> Result<Vec<u64>> {
    let groups: Vec<&[OccurrenceId]> = groups.iter().map(Vec::as_slice).collect();
    let question = Question::of(&groups);
    let mut counts = vec![0; groups.len()];
    if question.sorted.is_empty() {
        return Ok(counts);
    }
    let mut index = Index::open(source)?;
    let within = within.map(|within| &within.0);
    for number in 0..index.rows.len() {
        if within.is_some_and(|within| index.rows[number].1.images.is_disjoint(within)) {
            continue;
        }
        let postings = index.postings(number, &question.sorted, &question.slots)?;
        if !postings.runs.is_empty() {
            let counting = index.counting(number, within)?;
            question.add(&postings, counting.as_ref(), &mut counts);
        }
    }
    let tail = index.tail(&question.only())?;
    let mut postings = Postings { runs: Vec::new(), places: vec![(0, 0); question.sorted.len()] };
    for (occurrence, runs) in &tail.postings {
        let from = postings.runs.len();
        postings.runs.extend_from_slice(runs);
        if let Some(slot) = question.slots.get(occurrence) {
            postings.places[*slot] = (from, postings.runs.len());
        }
    }
    let counting = within.map(|within| ranks_within(&tail.images, within));
    question.add(&postings, counting.as_ref(), &mut counts);
    Ok(counts)
}

/// All images.
pub(crate) fn all(source: &mut dyn Segments) -> Result<ImageSet> {
    let index = Index::open(source)?;
    let mut images = RoaringBitmap::new();
    for (_, head) in &index.rows {
        images |= &head.images;
    }
    images -= &index.displaced;
    Ok(ImageSet(images | index.tail_images().0))
}

/// The images of a release.
pub(crate) fn of_release(source: &mut dyn Segments, release: &str) -> Result<ImageSet> {
    let mut index = Index::open(source)?;
    let of_release = index.tail.iter().filter(|member| &*member.release == release);
    let mut images: RoaringBitmap =
        of_release.filter_map(|member| u32::try_from(member.image).ok()).collect();
    for number in 0..index.rows.len() {
        let releases = &index.rows[number].1.releases;
        if let Some((_, runs)) = releases.iter().find(|(known, _)| known == release) {
            let runs = runs.clone();
            index.scatter(number, &runs, &mut images)?;
        }
    }
    Ok(ImageSet(images))
}

/// How many of the images have which release.
pub(crate) fn releases(source: &mut dyn Segments, images: &ImageSet) -> Result<BTreeMap<String, u64>> {
    let mut index = Index::open(source)?;
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0..index.rows.len() {
        if index.rows[number].1.images.is_disjoint(&images.0) {
            continue;
        }
        let counting = index.counting(number, Some(&images.0))?;
        for (release, runs) in &index.rows[number].1.releases {
            *found.entry(release.clone()).or_default() += count(runs, counting.as_ref());
        }
    }
    for member in index.tail.iter().filter(|member| images.contains(crate::ImageId(member.image))) {
        *found.entry(member.release.to_string()).or_default() += 1;
    }
    found.retain(|_, count| *count > 0);
    Ok(found)
}

/// Groups of occurrences, each occurrence once.
struct Question {
    sorted: Vec<i64>,
    slots: HashMap<i64, usize>,
    groups: Vec<Vec<usize>>,
}

impl Question {
    fn of(groups: &[&[OccurrenceId]]) -> Self {
        let mut sorted: Vec<i64> = groups.iter().flat_map(|group| group.iter().map(|id| id.0)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let slots: HashMap<i64, usize> =
            sorted.iter().enumerate().map(|(slot, occurrence)| (*occurrence, slot)).collect();
        let of_group = |group: &&[OccurrenceId]| -> Vec<usize> {
            group.iter().filter_map(|id| slots.get(&id.0).copied()).collect()
        };
        let groups = groups.iter().map(of_group).collect();
        Self { sorted, slots, groups }
    }

    fn only(&self) -> HashSet<i64> {
        self.sorted.iter().copied().collect()
    }

    fn add(&self, postings: &Postings, counting: Option<&Ranks>, counts: &mut [u64]) {
        let mut scratch = Default::default();
        for (group, sum) in self.groups.iter().zip(counts) {
            *sum += count(postings.union(group, &mut scratch), counting);
        }
    }
}

fn length(runs: &[Run]) -> u64 {
    runs.iter().map(|(from, until)| u64::from(until - from)).sum()
}

/// The positions that count.
fn count(runs: &[Run], counting: Option<&Ranks>) -> u64 {
    match counting {
        None => length(runs),
        Some(ranks) => runs.iter().map(|(from, until)| ranks.below(*until) - ranks.below(*from)).sum(),
    }
}

/// The first positions of the pieces that runs touch.
fn firsts(runs: &[Run]) -> Vec<u32> {
    let mut firsts: Vec<u32> = Vec::new();
    for (from, until) in runs {
        let from = from / IMAGES_PER_PIECE;
        let from = firsts.last().map_or(from, |last| from.max(last / IMAGES_PER_PIECE + 1));
        firsts.extend((from..until.div_ceil(IMAGES_PER_PIECE)).map(|piece| piece * IMAGES_PER_PIECE));
    }
    firsts
}

/// A set from numbers in any order.
fn set_of(mut ids: Vec<u32>) -> RoaringBitmap {
    const FEW: usize = 4096;
    let (Some(least), Some(greatest)) = (ids.iter().min().copied(), ids.iter().max().copied()) else {
        return RoaringBitmap::new();
    };
    if ids.len() < FEW || u64::from(greatest - least) > ids.len() as u64 * 64 {
        ids.sort_unstable();
        return ids.into_iter().collect();
    }
    // Sorting by setting bits.
    let first = least / 64 * 64;
    let mut bits = Bits::default();
    ids.into_iter().for_each(|id| bits.set(id - first));
    let bytes: Vec<u8> = bits.words.iter().flat_map(|word| word.to_le_bytes()).collect();
    RoaringBitmap::from_lsb0_bytes(first, &bytes)
}

fn ranks_within(images: &[i64], within: &RoaringBitmap) -> Ranks {
    let mut positions = Bits::default();
    for (position, image) in images.iter().enumerate() {
        if u32::try_from(*image).is_ok_and(|id| within.contains(id)) {
            positions.set(position as u32);
        }
    }
    Ranks::of(positions)
}

/// A set of numbers that are close to each other.
#[derive(Default)]
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn set(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
    }

    fn has(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// How many numbers of a set are below another.
struct Ranks {
    bits: Bits,
    /// By word, how many are below its first.
    before: Vec<u64>,
}

impl Ranks {
    fn of(bits: Bits) -> Self {
        let mut sum = 0;
        let before = bits.words.iter().map(|word| {
            sum += u64::from(word.count_ones());
            sum - u64::from(word.count_ones())
        });
        Self { before: before.collect(), bits }
    }

    fn below(&self, number: u32) -> u64 {
        let word = number as usize / 64;
        match (self.before.get(word), self.bits.words.get(word)) {
            (Some(before), Some(bits)) => {
                before + u64::from((bits & ((1 << (number % 64)) - 1)).count_ones())
            }
            _ => match (self.before.last(), self.bits.words.last()) {
                (Some(before), Some(bits)) => before + u64::from(bits.count_ones()),
                _ => 0,
            },
        }
    }
}
