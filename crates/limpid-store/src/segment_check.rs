//! Whether a segment says what its images say: it is built anew from those that are not displaced, and compared.
//!
//! Displaced images are taken out of what is stored first. What is left stands in the same order as in a segment that never
//! had them, since the order follows from the nodes and ids alone.

use std::collections::{BTreeMap, HashSet};

use crate::Result;
use crate::segment::{Head, Member, Run, Segment, decode_images, decode_postings};
use crate::segment_build::{add_run, build};
use crate::segment_query::{SegmentRow, Segments};

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Something in it cannot be decoded, or its parts disagree about how many images it has.
    Unreadable,
    /// It has other images than are there, or in another order.
    Images,
    /// It has other releases than its images have.
    Releases,
    /// Its images hold other occurrences than it says.
    Postings,
}

/// Compares a segment with what is built from `members`, all images that it covers.
pub(crate) fn compare(
    source: &mut dyn Segments,
    row: &SegmentRow,
    displaced: &HashSet<i64>,
    mut members: Vec<Member>,
) -> Result<Option<Wrong>> {
    let Some(stored) = read(source, row).ok().flatten() else { return Ok(Some(Wrong::Unreadable)) };
    let stored = without(&stored, displaced);
    members.retain(|member| !displaced.contains(&member.image));
    let built = build(&mut members, source, None)?;
    Ok(if stored.images != built.images {
        Some(Wrong::Images)
    } else if stored.releases != built.releases {
        Some(Wrong::Releases)
    } else if stored.postings != built.postings {
        Some(Wrong::Postings)
    } else {
        None
    })
}

/// The whole of a stored segment, unless its parts disagree.
fn read(source: &mut dyn Segments, row: &SegmentRow) -> Result<Option<Segment>> {
    let head = Head::decode(&row.body)?;
    let mut segment = Segment { images: Vec::new(), releases: head.releases.clone(), postings: Vec::new() };
    let mut is_gapless = true;
    source.image_pieces(row.id, None, &mut |first, bytes| {
        is_gapless &= usize::try_from(first).is_ok_and(|first| first == segment.images.len());
        segment.images.extend(decode_images(bytes)?);
        Ok(())
    })?;
    source.posting_pieces(row.id, None, &mut |first, bytes| {
        decode_postings(first, bytes, &mut |_| true, &mut |occurrence, runs| {
            segment.postings.push((occurrence, runs.collect::<Result<_>>()?));
            Ok(())
        })
    })?;
    let is_whole = is_gapless
        && segment.images.len() == row.images as usize
        && segment.head().images == head.images
        && segment.images.iter().all(|image| (row.first_image..=row.last_image).contains(image));
    Ok(is_whole.then_some(segment))
}

fn without(segment: &Segment, displaced: &HashSet<i64>) -> Segment {
    // How many of the positions before each are left.
    let mut before = Vec::with_capacity(segment.images.len() + 1);
    let mut left = 0_u32;
    for image in &segment.images {
        before.push(left);
        left += u32::from(!displaced.contains(image));
    }
    before.push(left);
    let place = |position: u32| before.get(position as usize).copied().unwrap_or(u32::MAX);
    let moved = |runs: &[Run]| -> Vec<Run> {
        let mut moved = Vec::with_capacity(runs.len());
        runs.iter().for_each(|(from, until)| add_run(&mut moved, (place(*from), place(*until))));
        moved
    };
    let is_left = |image: &&i64| !displaced.contains(image);
    let releases = segment.releases.iter().map(|(release, runs)| (release.clone(), moved(runs)));
    let postings: BTreeMap<i64, Vec<Run>> =
        segment.postings.iter().map(|(occurrence, runs)| (*occurrence, moved(runs))).collect();
    Segment {
        images: segment.images.iter().filter(is_left).copied().collect(),
        releases: releases.filter(|(_, runs)| !runs.is_empty()).collect(),
        postings: postings.into_iter().filter(|(_, runs)| !runs.is_empty()).collect(),
    }
}
