//! A segment of the index over occurrences: a batch of images, and which of them hold which occurrences.
//!
//! An occurrence that a package set node brings is held by the node's whole subtree, but for the subtrees of nodes that take
//! it away. So the images of a segment are numbered in preorder of the tree of nodes, and the *positions* of an occurrence's
//! images are a few runs (docs/fleet.md has the picture and the numbers). Segments never change: an image that was
//! forgotten or analysed anew since is *displaced* and counts in none; images behind the last segment are the *tail*.
//!
//! What is engine-neutral stands here and in `segment_build.rs`, `segment_query.rs` and `segment_plan.rs`: an engine gives
//! rows and keeps blobs. Three kinds of blobs: the [`Head`], pieces of the list of images by position, and pieces of the list
//! of postings, each runs of positions under an occurrence.

use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, codec};

/// The positions from the first until before the second.
pub(crate) type Run = (u32, u32);

/// Kinds of pieces. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Images by position.
    Images = 0,
    /// Runs of positions by occurrence.
    Postings = 1,
}

/// Positions in a piece of the list of images.
pub(crate) const IMAGES_PER_PIECE: u32 = 1024;
/// Bytes after which a piece of postings ends: two of them fill a page of SQLite's, and one that is read for the sake of one
/// occurrence costs microseconds.
const PIECE_BYTES: usize = 1900;

/// An image as a segment sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) image: i64,
    /// Its node, 0 for none.
    pub(crate) node: i64,
    /// Its release, empty for unknown.
    pub(crate) release: Arc<str>,
}

/// What a segment knows as a whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// Its images.
    pub(crate) images: RoaringBitmap,
    /// The positions of each release, sorted by release.
    pub(crate) releases: Vec<(String, Vec<Run>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredHead {
    images: Vec<u8>,
    releases: Vec<(String, Vec<Run>)>,
}

impl Head {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut images = Vec::new();
        let mut set = self.images.clone();
        set.optimize();
        set.serialize_into(&mut images).map_err(|error| Error::Engine(error.to_string()))?;
        codec::pack(&StoredHead { images, releases: self.releases.clone() })
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self> {
        let stored: StoredHead = codec::unpack(body, "a segment")?;
        let images = RoaringBitmap::deserialize_from(stored.images.as_slice())
            .map_err(|error| Error::Corrupt(format!("a segment's images cannot be decoded: {error}")))?;
        Ok(Self { images, releases: stored.releases })
    }
}

/// A segment as built: in memory, or about to be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    /// Images by position.
    pub(crate) images: Vec<i64>,
    /// The positions of each release, sorted by release.
    pub(crate) releases: Vec<(String, Vec<Run>)>,
    /// The positions of each occurrence, sorted by occurrence.
    pub(crate) postings: Vec<(i64, Vec<Run>)>,
}

impl Segment {
    pub(crate) fn head(&self) -> Head {
        let mut ids: Vec<u32> = self.images.iter().filter_map(|image| u32::try_from(*image).ok()).collect();
        ids.sort_unstable();
        Head { images: ids.into_iter().collect(), releases: self.releases.clone() }
    }

    /// The pieces to store: kind, first position or occurrence, bytes.
    pub(crate) fn pieces(&self) -> Vec<(Piece, i64, Vec<u8>)> {
        let mut pieces = Vec::new();
        for (number, images) in self.images.chunks(IMAGES_PER_PIECE as usize).enumerate() {
            let mut bytes = Vec::with_capacity(images.len() * 3);
            let mut last = 0_i64;
            for image in images {
                let step = image.wrapping_sub(last);
                put_number(&mut bytes, ((step << 1) ^ (step >> 63)) as u64);
                last = *image;
            }
            pieces.push((Piece::Images, number as i64 * i64::from(IMAGES_PER_PIECE), bytes));
        }
        let (mut bytes, mut runs_bytes, mut first, mut last) = (Vec::new(), Vec::new(), 0, 0);
        for (occurrence, runs) in &self.postings {
            if bytes.is_empty() {
                (first, last) = (*occurrence, *occurrence);
            }
            runs_bytes.clear();
            let mut end = 0;
            for (from, until) in runs {
                put_number(&mut runs_bytes, u64::from(from - end));
                put_number(&mut runs_bytes, u64::from(until - from));
                end = *until;
            }
            put_number(&mut bytes, occurrence.abs_diff(last));
            put_number(&mut bytes, runs_bytes.len() as u64);
            bytes.extend_from_slice(&runs_bytes);
            last = *occurrence;
            if bytes.len() >= PIECE_BYTES {
                pieces.push((Piece::Postings, first, std::mem::take(&mut bytes)));
            }
        }
        if !bytes.is_empty() {
            pieces.push((Piece::Postings, first, bytes));
        }
        pieces
    }
}

/// The images of a piece, by position.
pub(crate) fn decode_images(mut bytes: &[u8]) -> Result<Vec<i64>> {
    let mut images = Vec::with_capacity(IMAGES_PER_PIECE as usize);
    let mut last = 0_i64;
    while !bytes.is_empty() {
        let number = take_number(&mut bytes)?;
        last = last.wrapping_add((number >> 1) as i64 ^ -((number & 1) as i64));
        images.push(last);
    }
    match images.len() > IMAGES_PER_PIECE as usize {
        true => Err(corrupt()),
        false => Ok(images),
    }
}

/// Tells the postings of a piece that begins with the occurrence `first`: those for which `is_wanted` says so.
pub(crate) fn decode_postings(
    first: i64,
    mut bytes: &[u8],
    is_wanted: &mut dyn FnMut(i64) -> bool,
    tell: &mut dyn FnMut(i64, Runs<'_>) -> Result<()>,
) -> Result<()> {
    let mut occurrence = first;
    while !bytes.is_empty() {
        let step = i64::try_from(take_number(&mut bytes)?).map_err(|_| corrupt())?;
        occurrence = occurrence.checked_add(step).ok_or_else(corrupt)?;
        let length = usize::try_from(take_number(&mut bytes)?).map_err(|_| corrupt())?;
        let runs = bytes.get(..length).ok_or_else(corrupt)?;
        bytes = &bytes[length..];
        if is_wanted(occurrence) {
            tell(occurrence, Runs { bytes: runs, end: 0 })?;
        }
    }
    Ok(())
}

/// The runs of a posting, as they are decoded.
pub(crate) struct Runs<'a> {
    bytes: &'a [u8],
    end: u32,
}

impl Runs<'_> {
    fn take(&mut self) -> Result<Run> {
        let mut step = || u32::try_from(take_number(&mut self.bytes)?).map_err(|_| corrupt());
        let (gap, length) = (step()?, step()?);
        let from = self.end.checked_add(gap).ok_or_else(corrupt)?;
        self.end = from.checked_add(length).ok_or_else(corrupt)?;
        Ok((from, self.end))
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Result<Run>> {
        (!self.bytes.is_empty()).then(|| self.take())
    }
}

fn corrupt() -> Error {
    Error::Corrupt("a piece of a segment cannot be decoded".to_owned())
}

/// Seven bits a byte, the lowest first; all but the last byte have the eighth.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(corrupt)?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(corrupt())
}
