//! rpm's header: what a database keeps of each package.
//!
//! Source of truth: rpm's "RPM V4 Package format" (docs/manual/format_header.md), `lib/header.c` and
//! `include/rpm/rpmtag.h`. A blob is the number of index entries, the number of data bytes, the entries (tag, type,
//! offset, count) and the data, all numbers big-endian. Entries behind the first region ("dribbles") were added at
//! installation and take the place of those of the region with the same tag. Only the tags below are looked at.

use crate::damage::{Damage, be_u32};

/// rpm's own bound (`headerMaxEntries` and the mask it applies) on index entries.
const ENTRIES_MAX: u32 = 0xffff;

const ENTRY_BYTES: usize = 16;

/// The tags that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    SigPgp = 259,
    SigGpg = 262,
    DsaHeader = 267,
    RsaHeader = 268,
    OpenPgp = 278,
    Name = 1000,
    Version = 1001,
    Release = 1002,
    Epoch = 1003,
    Vendor = 1011,
    Arch = 1022,
    OldFileNames = 1027,
    SourceRpm = 1044,
    DirIndexes = 1116,
    BaseNames = 1117,
    DirNames = 1118,
    ModularityLabel = 5096,
}

const TAGS: [Tag; 17] = [
    Tag::SigPgp,
    Tag::SigGpg,
    Tag::DsaHeader,
    Tag::RsaHeader,
    Tag::OpenPgp,
    Tag::Name,
    Tag::Version,
    Tag::Release,
    Tag::Epoch,
    Tag::Vendor,
    Tag::Arch,
    Tag::OldFileNames,
    Tag::SourceRpm,
    Tag::DirIndexes,
    Tag::BaseNames,
    Tag::DirNames,
    Tag::ModularityLabel,
];

const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
const TYPE_BINARY: u32 = 7;
const TYPE_STRING_ARRAY: u32 = 8;
const TYPE_I18N_STRING: u32 = 9;

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

/// One package's header.
pub(crate) struct Header<'a> {
    entries: [Option<Entry>; TAGS.len()],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the index. Values are looked at when they are asked for.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self, Damage> {
        let (Some(count), Some(data_bytes)) = (be_u32(blob, 0), be_u32(blob, 4)) else {
            return Err(Damage::new(format!("it has {} bytes", blob.len())));
        };
        if count == 0 || count > ENTRIES_MAX {
            return Err(Damage::new(format!("it claims to have {count} entries")));
        }
        let index_bytes = count as usize * ENTRY_BYTES;
        let parts = blob[8..].split_at_checked(index_bytes);
        let data = parts.and_then(|(_, data)| data.get(..data_bytes as usize));
        let (Some((index, _)), Some(data)) = (parts, data) else {
            let reason = format!("it claims {count} entries and {data_bytes} bytes, but has {}", blob.len());
            return Err(Damage::new(reason));
        };
        let mut entries = [None; TAGS.len()];
        for entry in index.chunks_exact(ENTRY_BYTES) {
            let field = |at| be_u32(entry, at).unwrap_or_default();
            let tag = field(0);
            if let Some(place) = TAGS.iter().position(|&known| known as u32 == tag) {
                let entry = Entry { kind: field(4), offset: field(8) as usize, count: field(12) as usize };
                entries[place] = Some(entry);
            }
        }
        Ok(Self { entries, data })
    }

    /// The entry of a tag and the data from its place on.
    fn entry(&self, tag: Tag) -> Result<Option<(Entry, &'a [u8])>, Damage> {
        let place = TAGS.iter().position(|&known| known == tag);
        let Some(entry) = place.and_then(|place| self.entries[place]) else { return Ok(None) };
        match self.data.get(entry.offset..) {
            Some(data) => Ok(Some((entry, data))),
            None => Err(damaged(tag)),
        }
    }

    /// A text; the first one of several.
    pub(crate) fn text(&self, tag: Tag) -> Result<Option<&'a [u8]>, Damage> {
        let Some((entry, data)) = self.entry(tag)? else { return Ok(None) };
        if !matches!(entry.kind, TYPE_STRING | TYPE_STRING_ARRAY | TYPE_I18N_STRING) {
            return Err(damaged(tag));
        }
        Texts { data, left: 1 }.next().transpose().map_err(|()| damaged(tag))
    }

    /// All texts of a tag; an error in place of one that does not end.
    pub(crate) fn texts(&self, tag: Tag) -> Result<Texts<'a>, Damage> {
        match self.entry(tag)? {
            None => Ok(Texts { data: &[], left: 0 }),
            Some((entry, data)) if matches!(entry.kind, TYPE_STRING | TYPE_STRING_ARRAY) => {
                Ok(Texts { data, left: entry.count })
            }
            Some(_) => Err(damaged(tag)),
        }
    }

    /// All numbers of a tag, as they are stored.
    pub(crate) fn numbers(&self, tag: Tag) -> Result<impl Iterator<Item = u32> + use<'a>, Damage> {
        let bytes = match self.entry(tag)? {
            None => &[][..],
            Some((entry, data)) if entry.kind == TYPE_INT32 => entry
                .count
                .checked_mul(4)
                .and_then(|length| data.get(..length))
                .ok_or_else(|| damaged(tag))?,
            Some(_) => return Err(damaged(tag)),
        };
        Ok(bytes.chunks_exact(4).filter_map(|number| be_u32(number, 0)))
    }

    /// The bytes of a tag.
    pub(crate) fn bytes(&self, tag: Tag) -> Result<Option<&'a [u8]>, Damage> {
        match self.entry(tag)? {
            None => Ok(None),
            Some((entry, data)) if entry.kind == TYPE_BINARY => {
                data.get(..entry.count).map(Some).ok_or_else(|| damaged(tag))
            }
            Some(_) => Err(damaged(tag)),
        }
    }
}

fn damaged(tag: Tag) -> Damage {
    Damage::new(format!("its tag {} ({tag:?}) is damaged", tag as u32))
}

/// Texts that end with a NUL each.
pub(crate) struct Texts<'a> {
    data: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<&'a [u8], ()>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Some(end) = memchr::memchr(0, self.data) else {
            self.left = 0;
            return Some(Err(()));
        };
        let (text, rest) = self.data.split_at(end);
        self.data = &rest[1..];
        Some(Ok(text))
    }
}
