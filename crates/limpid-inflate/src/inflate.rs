//! The DEFLATE decoder (RFC 1951) between an input buffer and a window.
//!
//! It stops between symbols only, when the window is full or more input is wanted: the input gives it
//! at least [`INPUT_AHEAD`] bytes or all that there are, so a symbol or a block header is never cut.

use crate::error::Defect;
use crate::fast;
use crate::header::{self, MAX_HEADER_BYTES};
use crate::input::{Bits, Input};
use crate::table::{
    DISTANCE_ROOT, DISTANCE_SIZE, END_OF_BLOCK, EXCEPTIONAL, LITERAL, LITLEN_ROOT, LITLEN_SIZE, SUBTABLE,
    Tables,
};
use crate::window::Window;

/// Bytes that must be at hand, unless the input ends, for the decoder to go on.
pub(crate) const INPUT_AHEAD: usize = 1024;
const _: () = assert!(INPUT_AHEAD > MAX_HEADER_BYTES && INPUT_AHEAD > fast::INPUT_MARGIN);

/// Why the decoder stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Fewer than [`INPUT_AHEAD`] bytes are at hand and the reader may have more.
    InputWanted,
    /// The window has no room.
    WindowFull,
    /// The last block ended; the input stands at the next whole byte.
    StreamEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BlockHeader,
    Stored { remaining: usize },
    Compressed,
    End,
}

/// A decoder of one DEFLATE stream.
pub(crate) struct Inflate {
    state: State,
    last_block: bool,
    bits: Bits,
    tables: Box<Tables>,
    /// The tables at hand are those of the fixed codes.
    fixed: bool,
}

impl Inflate {
    pub(crate) fn new() -> Inflate {
        Inflate {
            state: State::BlockHeader,
            last_block: false,
            bits: Bits::default(),
            tables: Tables::new(),
            fixed: false,
        }
    }

    /// Starts on another stream. Tables are kept, in case they serve again.
    pub(crate) fn reset(&mut self) {
        self.state = State::BlockHeader;
        self.last_block = false;
        self.bits = Bits::default();
    }

    /// Decodes until there is a reason to stop.
    pub(crate) fn run(&mut self, input: &mut Input, window: &mut Window) -> Result<Stop, Defect> {
        loop {
            if self.state == State::End {
                self.bits.align(input);
                return Ok(Stop::StreamEnd);
            }
            if window.room() == 0 {
                return Ok(Stop::WindowFull);
            }
            if input.available().len() < INPUT_AHEAD && !input.at_eof {
                return Ok(Stop::InputWanted);
            }
            match self.state {
                State::BlockHeader => self.read_block_header(input)?,
                State::Stored { remaining } => self.copy_stored(remaining, input, window)?,
                State::Compressed => {
                    let ended = fast::decode(&self.tables, &mut self.bits, input, window)?
                        || (input.at_eof && self.decode_to_the_end(input, window)?);
                    self.bits.give_back(input);
                    if ended {
                        self.end_block();
                    }
                }
                State::End => {}
            }
        }
    }

    fn end_block(&mut self) {
        self.state = if self.last_block { State::End } else { State::BlockHeader };
    }

    fn read_block_header(&mut self, input: &mut Input) -> Result<(), Defect> {
        self.last_block = self.bits.take(1, input)? == 1;
        match self.bits.take(2, input)? {
            0 => {
                self.bits.align(input);
                let length = self.bits.take(16, input)?;
                let complement = self.bits.take(16, input)?;
                self.bits.align(input);
                if length != complement ^ 0xffff {
                    return Err(Defect::StoredLengthMismatch);
                }
                self.state = State::Stored { remaining: length as usize };
            }
            1 => {
                if !self.fixed {
                    self.tables.build_fixed()?;
                    self.fixed = true;
                }
                self.state = State::Compressed;
            }
            2 => {
                self.fixed = false;
                header::read_dynamic(&mut self.bits, input, &mut self.tables)?;
                self.state = State::Compressed;
            }
            _ => return Err(Defect::InvalidBlockType),
        }
        self.bits.give_back(input);
        Ok(())
    }

    fn copy_stored(
        &mut self,
        remaining: usize,
        input: &mut Input,
        window: &mut Window,
    ) -> Result<(), Defect> {
        let available = input.available();
        let count = remaining.min(window.room()).min(available.len());
        if count == 0 && remaining > 0 {
            return Err(Defect::Truncated);
        }
        window.extend(&available[..count]);
        input.pos += count;
        if count == remaining {
            self.end_block();
        } else {
            self.state = State::Stored { remaining: remaining - count };
        }
        Ok(())
    }

    /// Decodes symbol by symbol with all of the input at hand, until the end of the block (true) or a
    /// full window (false).
    fn decode_to_the_end(&mut self, input: &mut Input, window: &mut Window) -> Result<bool, Defect> {
        while window.room() > 0 {
            self.bits.refill(input);
            let mut entry = self.tables.litlen[self.bits.hold as usize & ((1 << LITLEN_ROOT) - 1)];
            if entry & SUBTABLE != 0 {
                self.bits.consume(entry & 0xff)?;
                entry = self.tables.litlen[subtable_index(entry, self.bits.hold) & (LITLEN_SIZE - 1)];
            }
            let before = self.bits.hold;
            self.bits.consume(entry & 0xff)?;
            if entry & LITERAL != 0 {
                window.push((entry >> 16) as u8);
                continue;
            }
            if entry & EXCEPTIONAL != 0 {
                return if entry & END_OF_BLOCK != 0 { Ok(true) } else { Err(Defect::InvalidSymbol) };
            }
            let length = value(entry, before);
            self.bits.refill(input);
            let mut entry = self.tables.distance[self.bits.hold as usize & ((1 << DISTANCE_ROOT) - 1)];
            if entry & SUBTABLE != 0 {
                self.bits.consume(entry & 0xff)?;
                entry = self.tables.distance[subtable_index(entry, self.bits.hold) & (DISTANCE_SIZE - 1)];
            }
            let before = self.bits.hold;
            self.bits.consume(entry & 0xff)?;
            if entry & EXCEPTIONAL != 0 {
                return Err(Defect::InvalidSymbol);
            }
            let distance = value(entry, before);
            if !window.reaches(distance) {
                return Err(Defect::DistanceTooFar);
            }
            window.copy_match(distance, length);
        }
        Ok(false)
    }
}

/// Where in the table the entry is that a subtable's pointer and the bits after the root select.
pub(crate) fn subtable_index(entry: u32, hold: u64) -> usize {
    (entry >> 16) as usize + (hold as usize & ((1 << ((entry >> 8) & 15)) - 1))
}

/// The length or distance of an entry: its base plus the extra bits, which follow the code in `hold`.
pub(crate) fn value(entry: u32, hold: u64) -> usize {
    let extra = (hold & ((1 << (entry & 63)) - 1)) >> ((entry >> 8) & 15);
    (entry >> 16) as usize + extra as usize
}
