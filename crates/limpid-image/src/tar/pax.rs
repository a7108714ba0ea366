//! PAX extended headers: `LENGTH KEY=VALUE\n`, and in them GNU's sparse maps 0.0 and 0.1.
//!
//! Source of truth: POSIX.1-2001 pax, "pax Extended Header"; the GNU tar manual, "PAX Sparse Formats".
//! A malformed record makes the archive unreadable, as it does for Go.

use super::BLOCK;
use super::sparse::{Region, signed};

/// The records that change how the next entry is read. `None` where the header's own field stands.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: SparseRecords,
}

/// The `GNU.sparse.*` records.
#[derive(Debug, Default)]
pub(super) struct SparseRecords {
    major: Vec<u8>,
    minor: Vec<u8>,
    name: Vec<u8>,
    size: Vec<u8>,
    real_size: Vec<u8>,
    block_count: Vec<u8>,
    map: Vec<u8>,
    /// The records of format 0.0, offset and length in turn, joined as format 0.1 does.
    loose: Vec<u8>,
    loose_count: usize,
}

/// How the records say that a file is sparse.
#[derive(Debug)]
pub(super) enum SparseKind {
    /// It is not, or in a version that nobody knows.
    None,
    /// The regions are in the records.
    InRecords(Vec<Region>),
    /// The regions are at the start of the file's data.
    InData,
}

const WRONG: &str = "an extended header has a malformed record";

impl Records {
    /// Reads the data of one extended header.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !data.is_empty() {
            let (key, value, rest) = record(data).ok_or(WRONG)?;
            data = rest;
            records.take(key, value)?;
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        // An empty value takes back what an earlier record said.
        let owned = || if value.is_empty() { None } else { Some(value.to_vec()) };
        match key {
            b"path" => self.path = owned(),
            b"linkpath" => self.link_path = owned(),
            b"size" if value.is_empty() => self.size = None,
            b"size" => {
                let size = signed(value).ok_or("the size in an extended header is no number")?;
                self.size =
                    Some(u64::try_from(size).map_err(|_| "a size in an extended header is negative")?);
            }
            b"uid" | b"gid" if !value.is_empty() => {
                signed(value).ok_or("an id in an extended header is no number")?;
            }
            b"atime" | b"mtime" | b"ctime" if !value.is_empty() && !is_time(value) => {
                return Err("a time in an extended header is no number");
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.take(name, value);
                }
            }
        }
        Ok(())
    }
}

impl SparseRecords {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match name {
            b"offset" | b"numbytes" => {
                let expects_offset = self.loose_count.is_multiple_of(2);
                if expects_offset != (name == b"offset") || value.contains(&b',') {
                    return Err("the sparse map of an extended header is out of order");
                }
                if self.loose_count > 0 {
                    self.loose.push(b',');
                }
                self.loose.extend_from_slice(value);
                self.loose_count += 1;
            }
            b"major" => self.major = value.to_vec(),
            b"minor" => self.minor = value.to_vec(),
            b"name" => self.name = value.to_vec(),
            b"size" => self.size = value.to_vec(),
            b"realsize" => self.real_size = value.to_vec(),
            b"numblocks" => self.block_count = value.to_vec(),
            b"map" => self.map = value.to_vec(),
            _ => {}
        }
        Ok(())
    }

    fn map(&self) -> &[u8] {
        if self.loose_count > 0 { &self.loose } else { &self.map }
    }

    /// The name and the logical size that replace those of the header, for a file that is sparse.
    pub(super) fn name_and_size(&self) -> Result<(Option<&[u8]>, Option<u64>), &'static str> {
        let size = if self.size.is_empty() { &self.real_size } else { &self.size };
        let number = || signed(size).and_then(|size| u64::try_from(size).ok());
        let size =
            if size.is_empty() { None } else { Some(number().ok_or("a sparse file's size is no number")?) };
        Ok((if self.name.is_empty() { None } else { Some(&self.name) }, size))
    }

    pub(super) fn kind(&self, limit: usize) -> Result<SparseKind, &'static str> {
        match (self.major.as_slice(), self.minor.as_slice()) {
            (b"1", b"0") => return Ok(SparseKind::InData),
            (b"0", b"0" | b"1") => {}
            (b"", b"") if !self.map().is_empty() => {}
            _ => return Ok(SparseKind::None),
        }
        let wrong = "the sparse map of an extended header does not have the number of regions it says";
        let count = signed(&self.block_count).and_then(|count| usize::try_from(count).ok()).ok_or(wrong)?;
        let map = self.map();
        let found = if map.is_empty() { 0 } else { map.split(|&byte| byte == b',').count() };
        if count.checked_mul(2) != Some(found) || count > limit {
            return Err(wrong);
        }
        let mut regions = Vec::with_capacity(count);
        let mut numbers = map.split(|&byte| byte == b',');
        for _ in 0..count {
            let mut next =
                || numbers.next().and_then(signed).ok_or("a sparse map has no number where one belongs");
            regions.push(Region { offset: next()?, length: next()? });
        }
        Ok(SparseKind::InRecords(regions))
    }
}

/// Splits the first record off: key, value, rest.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(signed(&data[..space])?).ok()?;
    if length < 5 || length > data.len() || length <= space + 1 {
        return None;
    }
    let (body, rest) = (&data[space + 1..length], &data[length..]);
    let body = body.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    let has_nul = match key {
        b"" => return None,
        b"path" | b"linkpath" | b"uname" | b"gname" => value.contains(&0),
        _ => key.contains(&0),
    };
    if has_nul { None } else { Some((key, value, rest)) }
}

/// Seconds, with digits behind a point or without.
fn is_time(value: &[u8]) -> bool {
    let (seconds, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(point) => (&value[..point], &value[point + 1..]),
        None => (value, &[][..]),
    };
    signed(seconds).is_some() && fraction.iter().all(u8::is_ascii_digit)
}

/// Whether an extended header of this size is within what Go reads.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_as_go_reads_them() {
        let records = Records::parse(b"12 path=a/b\n13 path=abcd\n15 size=123456\n").unwrap();
        assert_eq!((records.path.as_deref(), records.size), (Some(&b"abcd"[..]), Some(123_456)));
        let records = Records::parse(b"12 path=a/b\n8 path=\n").unwrap();
        assert_eq!(records.path, None);
        for wrong in [
            &b"6 k=v\\n\n"[..],
            b"6 k=1",
            b"4 a=",
            b"99 a=b\n",
            b"-6 a=b\n",
            b"7 =abc\n",
            b"12 path=a\0b\n",
            b"6 a=b\nx",
            b"9 size=x\n",
            b"8 size=-1\n",
            b" 6 a=b\n",
            b"10 abcdef\n",
        ] {
            assert!(Records::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
