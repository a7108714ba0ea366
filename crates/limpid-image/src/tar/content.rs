//! The content of a wanted file while it goes by: in memory, or in a temporary file if it is large and its visitor
//! reads in pieces.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use super::sparse::SparseMap;
use crate::visitor::FileContent;

/// Capacity that is kept from one file to the next.
const KEPT_CAPACITY: usize = 1 << 20;

/// Collects one file's bytes after the other.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Where the stored bytes belong, for a sparse file: offset and length, last one first.
    placement: Vec<(u64, u64)>,
    bytes: Vec<u8>,
    spool: Option<Spool>,
}

/// Is removed by the system as soon as it is closed: it has no name.
#[derive(Debug)]
struct Spool {
    file: File,
    position: u64,
}

impl Content {
    /// Forgets the last file and prepares for the next.
    pub(super) fn begin(&mut self, sparse: Option<&SparseMap>, spooled: bool) -> io::Result<()> {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.placement.clear();
        if let Some(map) = sparse {
            self.placement.extend(map.regions().filter(|&(_, length)| length > 0));
            self.placement.reverse();
        }
        self.spool = if spooled { Some(Spool { file: tempfile::tempfile()?, position: 0 }) } else { None };
        Ok(())
    }

    /// Whether nothing was taken yet, and a file of one chunk could be handed over in place.
    pub(super) fn is_fresh(&self) -> bool {
        self.bytes.is_empty() && self.spool.is_none()
    }

    /// Keeps stored bytes where they belong. Offsets are below the file's size, which its visitor accepted.
    pub(super) fn take(&mut self, mut data: &[u8]) -> io::Result<()> {
        while let Some(&(offset, length)) = self.placement.last() {
            if data.is_empty() {
                return Ok(());
            }
            self.fill_to(offset)?;
            let part = usize::try_from(length).unwrap_or(usize::MAX).min(data.len());
            self.append(&data[..part])?;
            data = &data[part..];
            match self.placement.last_mut() {
                Some(region) if length > part as u64 => {
                    *region = (offset + part as u64, length - part as u64);
                }
                _ => {
                    self.placement.pop();
                }
            }
        }
        self.append(data)
    }

    /// All of it; a hole at the end reads as zeros.
    pub(super) fn finish(&mut self, size_bytes: u64) -> io::Result<FileContent<'_>> {
        self.fill_to(size_bytes)?;
        Ok(match &self.spool {
            Some(spool) => FileContent::Spooled { file: &spool.file, size_bytes },
            None => FileContent::Bytes(&self.bytes),
        })
    }

    /// Lets go of what was handed over, if that takes room elsewhere than in memory.
    pub(super) fn release(&mut self) {
        self.spool = None;
    }

    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.spool {
            Some(spool) => {
                spool.file.write_all(data)?;
                spool.position += data.len() as u64;
            }
            None => self.bytes.extend_from_slice(data),
        }
        Ok(())
    }

    /// Leaves a hole up to `offset`.
    fn fill_to(&mut self, offset: u64) -> io::Result<()> {
        match &mut self.spool {
            Some(spool) if spool.position < offset => {
                spool.file.set_len(offset)?;
                spool.file.seek(SeekFrom::Start(offset))?;
                spool.position = offset;
            }
            Some(_) => {}
            None => {
                let length = usize::try_from(offset).unwrap_or(usize::MAX).max(self.bytes.len());
                self.bytes.resize(length, 0);
            }
        }
        Ok(())
    }
}
