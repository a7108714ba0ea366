//! The output: the last 32 KiB as history for matches, and the chunk that is being put out.

use crate::fast;

/// How far back a match may reach.
pub(crate) const HISTORY: usize = 32 * 1024;

/// Output handed over at once. With the history it fits the second-level cache with room to spare.
const CHUNK: usize = 256 * 1024;

/// Output bytes `buf[..pos]`, of which `buf[chunk_start..pos]` are not handed over yet.
pub(crate) struct Window {
    pub(crate) buf: Box<[u8]>,
    pub(crate) pos: usize,
    /// Matches may not reach before this index: the start of the member, or of the buffer.
    pub(crate) member_start: usize,
    pub(crate) chunk_start: usize,
}

impl Window {
    pub(crate) fn new() -> Window {
        let size = HISTORY + CHUNK + fast::OUTPUT_MARGIN;
        Window { buf: vec![0; size].into_boxed_slice(), pos: 0, member_start: 0, chunk_start: 0 }
    }

    /// The first index at which no further symbol may be decoded: the margin behind it is for overruns.
    pub(crate) fn limit(&self) -> usize {
        self.buf.len() - fast::OUTPUT_MARGIN
    }

    /// Bytes that may still be put out in this chunk.
    pub(crate) fn room(&self) -> usize {
        self.limit().saturating_sub(self.pos)
    }

    /// Starts a new chunk, with the history moved to the front if the room has become small.
    pub(crate) fn start_chunk(&mut self) {
        if self.pos >= HISTORY + CHUNK / 2 {
            let shift = self.pos - HISTORY;
            self.buf.copy_within(shift..self.pos, 0);
            self.pos = HISTORY;
            self.member_start = self.member_start.saturating_sub(shift);
        }
        self.chunk_start = self.pos;
    }

    /// What was put out since the chunk started.
    pub(crate) fn chunk(&self) -> &[u8] {
        &self.buf[self.chunk_start..self.pos]
    }

    /// Forbids matches into what was put out so far.
    pub(crate) fn start_member(&mut self) {
        self.member_start = self.pos;
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.buf[self.pos] = byte;
        self.pos += 1;
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.buf[self.pos..self.pos + bytes.len()].copy_from_slice(bytes);
        self.pos += bytes.len();
    }

    /// Whether a match may reach back that far.
    pub(crate) fn reaches(&self, distance: usize) -> bool {
        distance <= self.pos - self.member_start
    }

    /// Repeats `length` bytes from `distance` back, one by one.
    pub(crate) fn copy_match(&mut self, distance: usize, length: usize) {
        for index in self.pos..self.pos + length {
            self.buf[index] = self.buf[index - distance];
        }
        self.pos += length;
    }
}
