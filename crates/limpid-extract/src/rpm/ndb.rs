//! `Packages.db`: rpm's own format ndb (SUSE, openSUSE).
//!
//! Source of truth: rpm's `lib/backend/ndb/rpmpkg.c`. Pages of slots say where each package's blob is; a blob stands
//! between a head and a tail, in blocks of 16 bytes, with an Adler-32 sum. All numbers are little-endian.

use super::{BLOB_BYTES_MAX, BlobSink};
use crate::damage::{Damage, le_u32};
use crate::extractor::ExtractError;
use crate::read_at::{ReadAt, Window};

const HEADER_MAGIC: &[u8; 4] = b"RpmP";
const SLOT_MAGIC: &[u8; 4] = b"Slot";
const HEAD_MAGIC: &[u8; 4] = b"BlbS";
const TAIL_MAGIC: &[u8; 4] = b"BlbE";
const SLOT_BYTES: usize = 16;
/// The header takes the place of the first two slots.
const SLOTS_IN_HEADER: usize = 2;
const PAGE_BYTES: usize = 4096;
const BLOCK_BYTES: u64 = 16;
const HEAD_BYTES: usize = 16;
const TAIL_BYTES: usize = 12;

const NOT_NDB: ExtractError = ExtractError::Unrecognised("a package database in rpm's ndb format");

/// Gives every package's header to `sink`.
pub(crate) fn read(content: &dyn ReadAt, sink: &mut BlobSink<'_>) -> Result<(), ExtractError> {
    let mut slots = Window::new(content);
    let mut blobs = Window::new(content);
    let header = slots.get(0, SLOT_BYTES * SLOTS_IN_HEADER).map_err(|_| NOT_NDB)?;
    let version = le_u32(header, 4).unwrap_or_default();
    let slot_pages = u64::from(le_u32(header, 12).unwrap_or_default());
    if &header[..4] != HEADER_MAGIC || version != 0 {
        return Err(NOT_NDB);
    }
    // In a sound file no two blobs share a byte: all of them together are not longer than the file.
    let mut budget = slots.size();
    let mut blob = Vec::new();
    for page in 0..slot_pages {
        let page = match slots.get(page * PAGE_BYTES as u64, PAGE_BYTES) {
            Ok(page) => page,
            Err(error) => {
                sink(None, Err(Damage::new(format!("page {page} of {slot_pages} with slots: {error}"))));
                break;
            }
        };
        let page_of_slots: &[u8; PAGE_BYTES] = page.first_chunk().ok_or(NOT_NDB)?;
        let first = page_of_slots.starts_with(HEADER_MAGIC);
        for slot in page_of_slots.chunks_exact(SLOT_BYTES).skip(if first { SLOTS_IN_HEADER } else { 0 }) {
            let field = |at| le_u32(slot, at).unwrap_or_default();
            let package = field(4);
            if &slot[..4] != SLOT_MAGIC {
                sink(None, Err(Damage::new("a slot has not the mark of one")));
                continue;
            }
            if package == 0 {
                continue;
            }
            let read = read_blob(&mut blobs, package, field(8), field(12), &mut budget, &mut blob);
            sink(Some(u64::from(package)), read.map(|()| &blob[HEAD_BYTES..]));
        }
    }
    Ok(())
}

/// Reads head and blob; the tail is compared and left out.
fn read_blob(
    window: &mut Window<'_>,
    package: u32,
    offset_blocks: u32,
    blocks: u32,
    budget: &mut u64,
    blob: &mut Vec<u8>,
) -> Result<(), Damage> {
    blob.clear();
    let offset = u64::from(offset_blocks) * BLOCK_BYTES;
    let bytes = u64::from(blocks) * BLOCK_BYTES;
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    if !(HEAD_BYTES + TAIL_BYTES..=BLOB_BYTES_MAX).contains(&length) {
        return Err(Damage::new(format!("it claims {bytes} bytes")));
    }
    *budget = budget.checked_sub(bytes).ok_or_else(|| Damage::new("it overlaps with others"))?;
    window.append(offset, length, blob)?;
    let blob_bytes = le_u32(blob, 12).unwrap_or_default();
    if &blob[..4] != HEAD_MAGIC || le_u32(blob, 4) != Some(package) {
        return Err(Damage::new(format!("at byte {offset} is not the beginning of its data")));
    }
    let sum_end = length - TAIL_BYTES;
    let tail = &blob[sum_end..];
    let fits = (blob_bytes as usize).checked_add(HEAD_BYTES).is_some_and(|end| end <= sum_end);
    if !fits || &tail[8..] != TAIL_MAGIC || le_u32(tail, 4) != Some(blob_bytes) {
        return Err(Damage::new(format!("its data at byte {offset} does not end where it should")));
    }
    if le_u32(tail, 0) != Some(simd_adler32::adler32(&&blob[..sum_end])) {
        return Err(Damage::new(format!("its data at byte {offset} does not match its checksum")));
    }
    blob.truncate(HEAD_BYTES + blob_bytes as usize);
    Ok(())
}
