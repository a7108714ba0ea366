//! Reading a large file at any place, a bounded piece at a time.
//!
//! Package databases can be larger than anyone wants to hold. Whoever runs extractors keeps such a file
//! somewhere (in memory if it is small) and hands it over as a [`ReadAt`].

use std::io;

/// A file whose bytes can be read in any order.
pub trait ReadAt {
    /// Its size.
    fn size_bytes(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on; an error if there are not that many.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn size_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|start| self.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Bytes that are read at once where a file is read from front to back.
const AHEAD_BYTES_MAX: usize = 128 << 10;

/// The least that is read at once.
const AHEAD_BYTES_MIN: usize = 4 << 10;

/// The part of a file that is in memory. Reads ahead as long as the file is read from front to back.
pub(crate) struct Window<'a> {
    source: &'a dyn ReadAt,
    size: u64,
    buffer: Vec<u8>,
    start: u64,
    ahead: usize,
}

/// Why a piece of a file could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WindowError {
    #[error("byte {offset} and the {length} from there on are not in the file, which has {size}")]
    Beyond { offset: u64, length: u64, size: u64 },
    #[error("it cannot be read: {0}")]
    Io(String),
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, size: source.size_bytes(), buffer: Vec::new(), start: 0, ahead: AHEAD_BYTES_MIN }
    }

    /// Bytes of the whole file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes from `offset` on. Meant for pages and the like; a long run is for [`append`](Self::append).
    pub(crate) fn get(&mut self, offset: u64, length: usize) -> Result<&[u8], WindowError> {
        self.check(offset, length as u64)?;
        let end = offset + length as u64;
        let buffer_end = self.start + self.buffer.len() as u64;
        if offset < self.start || end > buffer_end {
            let follows = offset >= self.start && offset <= buffer_end + self.ahead as u64;
            self.ahead = if follows { (self.ahead * 2).min(AHEAD_BYTES_MAX) } else { AHEAD_BYTES_MIN };
            let wanted = (self.ahead.max(length) as u64).min(self.size - offset);
            let wanted = usize::try_from(wanted).unwrap_or(length);
            self.buffer.resize(wanted, 0);
            self.start = offset;
            if let Err(error) = self.source.read_exact_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(WindowError::Io(error.to_string()));
            }
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        self.buffer.get(from..from + length).ok_or(WindowError::Beyond {
            offset,
            length: length as u64,
            size: self.size,
        })
    }

    /// Appends `length` bytes from `offset` on to `bytes`. Nothing is allocated for what the file does not have.
    pub(crate) fn append(
        &mut self,
        offset: u64,
        length: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), WindowError> {
        self.check(offset, length as u64)?;
        let old = bytes.len();
        bytes.resize(old + length, 0);
        self.source
            .read_exact_at(offset, &mut bytes[old..])
            .map_err(|error| WindowError::Io(error.to_string()))
    }

    fn check(&self, offset: u64, length: u64) -> Result<(), WindowError> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(WindowError::Beyond { offset, length, size: self.size }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_the_file() {
        let file: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
        let source: &[u8] = &file;
        let mut window = Window::new(&source);
        for offset in [0usize, 10, 5000, 9000, 100_000, 4, 199_990] {
            assert_eq!(window.get(offset as u64, 10).unwrap(), &file[offset..offset + 10], "{offset}");
        }
        for page in 0..48 {
            assert_eq!(window.get(page * 4096, 4096).unwrap()[0], file[page as usize * 4096]);
        }
        let mut bytes = vec![1];
        window.append(7, 100_000, &mut bytes).unwrap();
        assert_eq!(bytes[1..], file[7..100_007]);
    }

    #[test]
    fn what_lies_beyond_the_end_is_refused_before_it_is_allocated() {
        let source: &[u8] = b"abc";
        let mut window = Window::new(&source);
        assert!(matches!(window.get(2, 2), Err(WindowError::Beyond { .. })));
        assert!(matches!(window.get(u64::MAX, 2), Err(WindowError::Beyond { .. })));
        assert!(window.append(0, usize::MAX, &mut Vec::new()).is_err());
        assert_eq!(window.get(3, 0).unwrap(), b"");
    }
}
