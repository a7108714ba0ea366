//! What is wrong with a database, in words.

use std::fmt;

use crate::read_at::WindowError;

/// One sentence on what is wrong; whoever reads it knows which file is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage(String);

impl Damage {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<WindowError> for Damage {
    fn from(error: WindowError) -> Self {
        Self(error.to_string())
    }
}

/// The pages of a file that were read. In a sound database none belongs to two things, so a second visit is
/// damage: what is read stays bounded by the file's size, and nothing goes in circles.
pub(crate) struct Visited {
    bits: Vec<u64>,
    pages: u64,
}

impl Visited {
    /// For a file of so many pages.
    pub(crate) fn new(pages: u64) -> Self {
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(usize::MAX);
        Self { bits: vec![0; words], pages }
    }

    /// Notes a visit, the first one.
    pub(crate) fn visit(&mut self, page: u64) -> Result<(), Damage> {
        if page >= self.pages {
            return Err(Damage::new(format!("page {page} is not in the file, which has {}", self.pages)));
        }
        let word = usize::try_from(page / 64).unwrap_or(usize::MAX);
        let bit = 1 << (page % 64);
        match self.bits.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                Ok(())
            }
            _ => Err(Damage::new(format!("page {page} is used twice"))),
        }
    }
}

/// The number at `offset`, if it is there.
pub(crate) fn be_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

/// The number at `offset`, if it is there.
pub(crate) fn be_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

/// The number at `offset`, if it is there.
pub(crate) fn le_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}
