//! The compressed bytes at hand: a buffer with a cursor and the bit reservoir for the careful paths.

use crate::error::{Defect, Error};
use std::io::{ErrorKind, Read};

/// Size of the buffer. Large enough that the refills cost nothing, small enough to stay in cache.
const CAPACITY: usize = 64 * 1024;

/// Compressed bytes `buf[pos..end]`, read ahead of the decoder.
pub(crate) struct Input {
    pub(crate) buf: Box<[u8]>,
    pub(crate) pos: usize,
    pub(crate) end: usize,
    /// The reader has nothing after `end`.
    pub(crate) at_eof: bool,
    /// Offset in the stream of `buf[0]`.
    base: u64,
}

impl Input {
    pub(crate) fn new() -> Input {
        Input { buf: vec![0; CAPACITY].into_boxed_slice(), pos: 0, end: 0, at_eof: false, base: 0 }
    }

    /// The bytes at hand.
    pub(crate) fn available(&self) -> &[u8] {
        &self.buf[self.pos..self.end]
    }

    /// Offset in the stream of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// Reads until `wanted` bytes (at most half of the buffer) are at hand or the reader ends.
    pub(crate) fn ensure(&mut self, wanted: usize, reader: &mut impl Read) -> Result<(), Error> {
        debug_assert!(wanted <= CAPACITY / 2);
        while self.end - self.pos < wanted && !self.at_eof {
            if self.pos > 0 {
                self.buf.copy_within(self.pos..self.end, 0);
                self.base += self.pos as u64;
                self.end -= self.pos;
                self.pos = 0;
            }
            match reader.read(&mut self.buf[self.end..]) {
                Ok(0) => self.at_eof = true,
                // A reader that claims more than it was given room for is broken: do not go out of bounds.
                Ok(count) => self.end = (self.end + count).min(self.buf.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
        Ok(())
    }

    /// The next byte, if one is at hand.
    pub(crate) fn next_byte(&mut self) -> Option<u8> {
        let byte = *self.available().first()?;
        self.pos += 1;
        Some(byte)
    }
}

/// Bits taken from the input and not used yet. Bits above `count` are zero.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bits {
    pub(crate) hold: u64,
    pub(crate) count: u32,
}

impl Bits {
    /// Takes whole bytes in while they fit.
    pub(crate) fn refill(&mut self, input: &mut Input) {
        while self.count <= 56 {
            let Some(byte) = input.next_byte() else { break };
            self.hold |= u64::from(byte) << self.count;
            self.count += 8;
        }
    }

    /// Uses `count` (at most 32) of the bits at hand.
    pub(crate) fn consume(&mut self, count: u32) -> Result<u32, Defect> {
        debug_assert!(count <= 32);
        if count > self.count {
            return Err(Defect::Truncated);
        }
        let value = self.hold & ((1 << count) - 1);
        self.hold >>= count;
        self.count -= count;
        Ok(value as u32)
    }

    /// Refills if need be and uses `count` bits.
    pub(crate) fn take(&mut self, count: u32, input: &mut Input) -> Result<u32, Defect> {
        if self.count < count {
            self.refill(input);
        }
        self.consume(count)
    }

    /// Gives whole unused bytes back to the input.
    pub(crate) fn give_back(&mut self, input: &mut Input) {
        input.pos -= (self.count / 8) as usize;
        self.count %= 8;
        self.hold &= (1 << self.count) - 1;
    }

    /// Skips to the next byte boundary, leaving nothing in the reservoir.
    pub(crate) fn align(&mut self, input: &mut Input) {
        self.give_back(input);
        *self = Bits::default();
    }
}
