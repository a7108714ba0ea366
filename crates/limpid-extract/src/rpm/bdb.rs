//! `Packages`: a Berkeley DB hash, rpm's database up to 4.15 (RHEL 8, Fedora 32, Amazon Linux 2, CentOS).
//!
//! Sources of truth: Berkeley DB's `dbinc/db_page.h` and `hash.src`, rpm's read-only reader `lib/backend/bdb_ro.c`.
//! Hash versions 7 (DB 3.1 to 4.1) to 10 lie alike on disk, in the byte order of the machine that wrote them. Buckets
//! are walked as the library does, so that pages that were freed are not mistaken for live ones. Keys are numbers of
//! packages; number 0 holds a counter. Most values lie in chains of overflow pages.
//!
//! Left out: B-trees, in which some rpm kept its indexes but never its packages; encrypted databases and those with checksums on pages, which rpm never writes.

use super::{BLOB_BYTES_MAX, BlobSink};
use crate::damage::{Damage, Visited};
use crate::extractor::ExtractError;
use crate::read_at::{ReadAt, Window};

const MAGIC_HASH: u32 = 0x0006_1561;
const META_BYTES: usize = 512;
const PAGE_HEADER_BYTES: usize = 26;
/// Offsets in the meta page of the hash.
const META_MAX_BUCKET: usize = 72;
const META_SPARES: usize = 96;
const SPARES: usize = 32;

const PAGE_UNUSED: u8 = 0;
const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH_META: u8 = 8;
const PAGE_HASH: u8 = 13;

const ITEM_KEY_OR_DATA: u8 = 1;
const ITEM_OFF_PAGE: u8 = 3;

const NOT_A_HASH: ExtractError =
    ExtractError::Unrecognised("a Berkeley DB hash of a version that rpm has written");

#[derive(Debug, Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: &[u8], offset: usize) -> u32 {
        let bytes = bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u16(self, bytes: &[u8], offset: usize) -> u16 {
        let bytes = bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }
}

/// Where a value is.
#[derive(Debug, Clone, Copy)]
enum Item {
    /// In its page: from, to.
    Here(usize, usize),
    /// In a chain of overflow pages: the first one, bytes.
    OffPage(u32, u32),
}

struct Hash<'a> {
    /// Pages of the hash and pages of chains lie apart, each in order: two windows, so that each is read ahead.
    buckets: Window<'a>,
    chains: Window<'a>,
    order: Order,
    page_bytes: usize,
    visited: Visited,
    max_bucket: u32,
    spares: [u32; SPARES],
}

/// Gives every package's header to `sink`.
pub(crate) fn read(content: &dyn ReadAt, sink: &mut BlobSink<'_>) -> Result<(), ExtractError> {
    let mut hash = open(content)?;
    let mut page = Vec::new();
    let mut blob = Vec::new();
    for bucket in 0..=hash.max_bucket {
        if let Err(damage) = hash.bucket(bucket, &mut page, &mut blob, sink) {
            sink(None, Err(Damage::new(format!("bucket {bucket}: {damage}"))));
        }
    }
    Ok(())
}

fn open(content: &dyn ReadAt) -> Result<Hash<'_>, ExtractError> {
    let mut window = Window::new(content);
    let meta = window.get(0, META_BYTES).map_err(|_| NOT_A_HASH)?;
    let order = [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.u32(meta, 12) == MAGIC_HASH)
        .ok_or(NOT_A_HASH)?;
    let version = order.u32(meta, 16);
    let page_bytes = order.u32(meta, 20);
    let is_plain = meta[24] == 0 && (version < 9 || meta[26] & 1 == 0);
    if !(7..=10).contains(&version)
        || !(512..=65536).contains(&page_bytes)
        || !page_bytes.is_power_of_two()
        || meta[25] != PAGE_HASH_META
        || !is_plain
    {
        return Err(NOT_A_HASH);
    }
    let max_bucket = order.u32(meta, META_MAX_BUCKET);
    let spares = std::array::from_fn(|place| order.u32(meta, META_SPARES + 4 * place));
    // A page at the end that is cut off still counts: its bytes are missed when it is read.
    let pages = window.size().div_ceil(u64::from(page_bytes));
    if u64::from(max_bucket) >= pages {
        let reason = format!("it claims {max_bucket} buckets in {pages} pages");
        return Err(ExtractError::Damaged(reason));
    }
    let mut visited = Visited::new(pages);
    // The meta page itself.
    let _ = visited.visit(0);
    let chains = Window::new(content);
    Ok(Hash { buckets: window, chains, order, page_bytes: page_bytes as usize, visited, max_bucket, spares })
}

impl Hash<'_> {
    /// The chain of pages of one bucket. An error ends the bucket.
    fn bucket(
        &mut self,
        bucket: u32,
        page: &mut Vec<u8>,
        blob: &mut Vec<u8>,
        sink: &mut BlobSink<'_>,
    ) -> Result<(), Damage> {
        let doubling = (bucket + 1).next_power_of_two().trailing_zeros();
        let base = self.spares.get(doubling as usize).copied().unwrap_or_default();
        let mut number = base.checked_add(bucket).ok_or_else(|| Damage::new("its page has no number"))?;
        loop {
            page.clear();
            page.extend_from_slice(self.page(number, false)?);
            match page[25] {
                // A bucket that nothing was ever put in.
                PAGE_UNUSED => return Ok(()),
                PAGE_HASH | PAGE_HASH_UNSORTED => {}
                other => {
                    return Err(Damage::new(format!(
                        "page {number} has the type {other}, not that of a hash"
                    )));
                }
            }
            self.items(number, page, blob, sink)?;
            number = self.order.u32(page, 16);
            if number == 0 {
                return Ok(());
            }
        }
    }

    fn page(&mut self, number: u32, in_chain: bool) -> Result<&[u8], Damage> {
        self.visited.visit(u64::from(number))?;
        let window = if in_chain { &mut self.chains } else { &mut self.buckets };
        let page = window.get(u64::from(number) * self.page_bytes as u64, self.page_bytes)?;
        if self.order.u32(page, 8) != number && page[25] != PAGE_UNUSED {
            return Err(Damage::new(format!("page {number} has another number in it")));
        }
        Ok(page)
    }

    /// The pairs of key and value of one page.
    fn items(
        &mut self,
        number: u32,
        page: &[u8],
        blob: &mut Vec<u8>,
        sink: &mut BlobSink<'_>,
    ) -> Result<(), Damage> {
        let entries = usize::from(self.order.u16(page, 20));
        if PAGE_HEADER_BYTES + 2 * entries > self.page_bytes {
            return Err(Damage::new(format!("page {number} claims {entries} items")));
        }
        // Items do not overlap: all of them together are not longer than their page.
        let mut left = self.page_bytes;
        for pair in 0..entries / 2 {
            let key = self.item(page, entries, 2 * pair);
            let package = match key {
                Some(Item::Here(from, to)) if to - from == 4 => Some(self.order.u32(page, from)),
                _ => None,
            };
            if package == Some(0) {
                continue;
            }
            let package = package.map(u64::from);
            let value = match self.item(page, entries, 2 * pair + 1) {
                Some(Item::Here(from, to)) => {
                    left = left
                        .checked_sub(to - from)
                        .ok_or_else(|| Damage::new(format!("the items of page {number} overlap")))?;
                    blob.clear();
                    blob.extend_from_slice(&page[from..to]);
                    Ok(())
                }
                Some(Item::OffPage(first, length)) => self.chain(first, length, blob),
                None => Err(Damage::new(format!("item {} of page {number} is damaged", 2 * pair + 1))),
            };
            sink(package, value.map(|()| blob.as_slice()));
        }
        Ok(())
    }

    /// Where an item of a page is; items lie from the page's end on downwards.
    fn item(&self, page: &[u8], entries: usize, index: usize) -> Option<Item> {
        let place = |index: usize| usize::from(self.order.u16(page, PAGE_HEADER_BYTES + 2 * index));
        let from = place(index);
        let to = if index == 0 { self.page_bytes } else { place(index - 1) };
        let item = page.get(from..to).filter(|_| from >= PAGE_HEADER_BYTES + 2 * entries)?;
        match *item.first()? {
            ITEM_KEY_OR_DATA => Some(Item::Here(from + 1, to)),
            ITEM_OFF_PAGE if item.len() >= 12 => {
                Some(Item::OffPage(self.order.u32(item, 4), self.order.u32(item, 8)))
            }
            _ => None,
        }
    }

    /// Puts a value together that lies in a chain of pages.
    fn chain(&mut self, first: u32, length: u32, blob: &mut Vec<u8>) -> Result<(), Damage> {
        blob.clear();
        let length = length as usize;
        if length > BLOB_BYTES_MAX {
            return Err(Damage::new(format!("it claims {length} bytes")));
        }
        let order = self.order;
        let mut number = first;
        while number != 0 && blob.len() < length {
            let page = self.page(number, true)?;
            if page[25] != PAGE_OVERFLOW {
                let reason = format!("page {number} has the type {}, not that of an overflow page", page[25]);
                return Err(Damage::new(reason));
            }
            let used = usize::from(order.u16(page, 22));
            let data = page.get(PAGE_HEADER_BYTES..).and_then(|data| data.get(..used));
            let data = data.ok_or_else(|| Damage::new(format!("page {number} claims {used} bytes")))?;
            blob.extend_from_slice(&data[..data.len().min(length - blob.len())]);
            number = order.u32(page, 16);
        }
        if blob.len() < length {
            return Err(Damage::new(format!("its pages end after {} of {length} bytes", blob.len())));
        }
        Ok(())
    }
}
