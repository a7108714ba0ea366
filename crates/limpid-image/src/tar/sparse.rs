//! Sparse files: where the stored bytes belong in the file's logical content.
//!
//! Source of truth: the GNU tar manual, "Storing Sparse Files" (old GNU, PAX 0.0, 0.1 and 1.0). Numbers of
//! format 1.0 are decimal, whatever the manual says: GNU tar writes them so.

use super::BLOCK;
use super::header::number;

/// A stretch of stored bytes. Unchecked until it is in a [`SparseMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: i64,
    pub(super) length: i64,
}

/// The checked regions of a file: in order, without overlap, within its size.
#[derive(Debug, Default)]
pub(super) struct SparseMap {
    /// Offset and length.
    regions: Vec<(u64, u64)>,
}

impl SparseMap {
    /// Checks the regions of a file whose logical size is `size` and of which `stored` bytes follow.
    pub(super) fn new(regions: &[Region], size: u64, stored: u64) -> Result<Self, &'static str> {
        let wrong = "the regions of a sparse file overlap or leave the file";
        let (mut end, mut total) = (0, 0_u64);
        let mut checked = Vec::with_capacity(regions.len());
        for region in regions {
            let offset = u64::try_from(region.offset).map_err(|_| wrong)?;
            let length = u64::try_from(region.length).map_err(|_| wrong)?;
            // Both were positive 64-bit integers: their sum fits an unsigned one.
            if offset < end || offset + length > size {
                return Err(wrong);
            }
            end = offset + length;
            total += length;
            checked.push((offset, length));
        }
        if total != stored {
            return Err("the regions of a sparse file do not have the size of its stored data");
        }
        Ok(Self { regions: checked })
    }

    /// The regions, first to last.
    pub(super) fn regions(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.regions.iter().copied()
    }
}

/// Adds the regions of an old GNU header (4 entries at 386) or of an extension block (21 entries).
/// Returns whether another extension block follows.
pub(super) fn take_old_gnu(
    block: &[u8; BLOCK],
    is_extension: bool,
    regions: &mut Vec<Region>,
) -> Result<bool, &'static str> {
    let table = if is_extension { &block[..505] } else { &block[386..483] };
    let (entries, continued) = table.split_at(table.len() - 1);
    for entry in entries.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let field = |field: &[u8]| number(field).ok_or("a sparse map has no number where one belongs");
        regions.push(Region { offset: field(&entry[..12])?, length: field(&entry[12..])? });
    }
    Ok(continued[0] > 0)
}

/// The map of format 1.0, which is read a block at a time until it is complete.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    text: Vec<u8>,
    newlines: u64,
    /// Newlines that the whole map has, once its first line is there.
    needed: Option<u64>,
}

impl MapReader {
    /// Takes the next block; gives the regions once all are there.
    pub(super) fn take(
        &mut self,
        block: &[u8; BLOCK],
        limit: usize,
    ) -> Result<Option<Vec<Region>>, &'static str> {
        if self.text.len() + BLOCK > limit {
            return Err("a sparse map is longer than readers accept");
        }
        self.text.extend_from_slice(block);
        self.newlines += block.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let wrong = "a sparse map has no number where one belongs";
        if self.needed.is_none() && self.newlines > 0 {
            let line = self.text.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let count = signed(line).and_then(|count| u64::try_from(count).ok()).ok_or(wrong)?;
            self.needed = Some(count.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or(wrong)?);
        }
        let Some(needed) = self.needed.filter(|&needed| needed <= self.newlines) else { return Ok(None) };
        let mut numbers = self.text.split(|&byte| byte == b'\n').skip(1);
        let mut regions = Vec::new();
        for _ in 0..(needed - 1) / 2 {
            let mut next = || numbers.next().and_then(signed).ok_or(wrong);
            regions.push(Region { offset: next()?, length: next()? });
        }
        Ok(Some(regions))
    }
}

/// A decimal number with an optional sign, as Go's `ParseInt` reads it.
pub(super) fn signed(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
