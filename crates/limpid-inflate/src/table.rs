//! Decoding tables of prefix codes (RFC 1951, section 3.2).
//!
//! A table is indexed with the next bits of the stream. An entry says in 32 bits all there is to do:
//!
//! | bits   | meaning                                                             |
//! |--------|---------------------------------------------------------------------|
//! | 0..8   | bits to consume: of the code (its rest in a subtable) and the extra |
//! | 8..12  | bits of the code alone, where extra bits follow                     |
//! | 12     | exceptional: a subtable, the end of the block, or no valid code     |
//! | 13     | with 12: a subtable                                                 |
//! | 14     | with 12: the end of the block; with 15: two literals                |
//! | 15     | literal                                                             |
//! | 16..32 | literal(s), base of a length or distance, or start of the subtable  |
//!
//! For a subtable, bits 8..12 are the number of bits of its index.

use crate::error::Defect;

pub(crate) const EXCEPTIONAL: u32 = 1 << 12;
pub(crate) const SUBTABLE: u32 = 1 << 13;
pub(crate) const END_OF_BLOCK: u32 = 1 << 14;
pub(crate) const LITERAL: u32 = 1 << 15;

/// Longest code of the format.
const MAX_BITS: usize = 15;
/// Symbols of the largest alphabet.
pub(crate) const MAX_SYMBOLS: usize = 288;

/// Index bits of the three kinds of table.
pub(crate) const LITLEN_ROOT: u32 = 11;
pub(crate) const DISTANCE_ROOT: u32 = 8;
pub(crate) const PRECODE_ROOT: u32 = 7;

/// Room for the root and all subtables: at most 2342 and 402 for the alphabets of 288 and 32 symbols,
/// rounded up so that an index can be masked instead of checked.
pub(crate) const LITLEN_SIZE: usize = 4096;
pub(crate) const DISTANCE_SIZE: usize = 512;
pub(crate) const PRECODE_SIZE: usize = 128;

/// What stands for a bit pattern that is no code.
const INVALID: u32 = EXCEPTIONAL | 1;

/// The tables of a compressed block.
pub(crate) struct Tables {
    pub(crate) litlen: [u32; LITLEN_SIZE],
    pub(crate) distance: [u32; DISTANCE_SIZE],
}

impl Tables {
    pub(crate) fn new() -> Box<Tables> {
        Box::new(Tables { litlen: [INVALID; LITLEN_SIZE], distance: [INVALID; DISTANCE_SIZE] })
    }

    /// Builds both tables. The end of the block must have a code.
    pub(crate) fn build(&mut self, litlen: &[u8], distance: &[u8]) -> Result<(), Defect> {
        if litlen.get(256).is_none_or(|&length| length == 0) {
            return Err(Defect::InvalidCodeLengths);
        }
        build(&mut self.litlen[..], LITLEN_ROOT, litlen, &LITLEN_ENTRIES, Incomplete::SingleCode)?;
        build(&mut self.distance[..], DISTANCE_ROOT, distance, &DISTANCE_ENTRIES, Incomplete::SingleCode)
    }

    /// The codes of section 3.2.6.
    pub(crate) fn build_fixed(&mut self) -> Result<(), Defect> {
        let mut lengths = [8; MAX_SYMBOLS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.build(&lengths, &[5; 32])
    }
}

/// Whether a code may leave bit patterns unused. zlib is the model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// Never.
    Refused,
    /// If it has no code at all, or a single one of one bit.
    SingleCode,
}

/// Entries of the literal and length alphabet, without the length of the code.
static LITLEN_ENTRIES: [u32; MAX_SYMBOLS] = litlen_entries();
/// Entries of the distance alphabet.
static DISTANCE_ENTRIES: [u32; 32] = distance_entries();
/// Entries of the alphabet of code lengths.
pub(crate) static PRECODE_ENTRIES: [u32; 19] = precode_entries();

const fn litlen_entries() -> [u32; MAX_SYMBOLS] {
    let mut entries = [EXCEPTIONAL; MAX_SYMBOLS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    entries[256] = EXCEPTIONAL | END_OF_BLOCK;
    let mut base = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries[285] = 258 << 16;
    entries
}

const fn distance_entries() -> [u32; 32] {
    let mut entries = [EXCEPTIONAL; 32];
    let mut base = 1;
    let mut symbol = 0;
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u32 - 2) / 2 };
        entries[symbol] = base << 16 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    entries
}

const fn precode_entries() -> [u32; 19] {
    let mut entries = [0; 19];
    let mut symbol = 0;
    while symbol < 19 {
        entries[symbol] = (symbol as u32) << 16;
        symbol += 1;
    }
    entries
}

/// Builds the table of the canonical code with these lengths (0: the symbol is not used).
///
/// `entries` has what each symbol does. Refuses what zlib refuses: codes with too many members for
/// their lengths, and with too few unless `incomplete` lets them pass.
pub(crate) fn build(
    table: &mut [u32],
    root: u32,
    lengths: &[u8],
    entries: &[u32],
    incomplete: Incomplete,
) -> Result<(), Defect> {
    let mut counts = [0u16; MAX_BITS + 1];
    for &length in lengths {
        counts[usize::from(length) & MAX_BITS] += 1;
    }
    counts[0] = 0;
    let longest = counts.iter().rposition(|&count| count != 0).unwrap_or(0);
    let mut left = 1i32;
    for &count in &counts[1..] {
        left = (left << 1) - i32::from(count);
        if left < 0 {
            return Err(Defect::InvalidCodeLengths);
        }
    }
    if left > 0 {
        if incomplete == Incomplete::Refused || longest > 1 {
            return Err(Defect::InvalidCodeLengths);
        }
        table[..1 << root].fill(INVALID);
    }
    if longest == 0 {
        return Ok(());
    }

    // Symbols in the order of their codes: by length, then by number.
    let mut starts = [0u16; MAX_BITS + 2];
    for length in 1..=MAX_BITS {
        starts[length + 1] = starts[length] + counts[length];
    }
    let mut sorted = [0u16; MAX_SYMBOLS];
    for (symbol, &length) in lengths.iter().enumerate() {
        if length != 0 {
            let slot = &mut starts[usize::from(length) & MAX_BITS];
            sorted[usize::from(*slot)] = symbol as u16;
            *slot += 1;
        }
    }
    if left > 0 {
        let entry = entries[usize::from(sorted[0])] + 0x101;
        table[..1 << root].iter_mut().step_by(2).for_each(|slot| *slot = entry);
        return Ok(());
    }
    fill(table, root, &counts, &sorted, entries);
    Ok(())
}

/// Fills the table of a complete code. Codes are counted up with their first bit lowest, as the stream
/// has them. The table grows by doubling: each code shorter than the root is written once and copied
/// with all others as the next longer codes begin.
fn fill(
    table: &mut [u32],
    root: u32,
    counts: &[u16; MAX_BITS + 1],
    sorted: &[u16; MAX_SYMBOLS],
    entries: &[u32],
) {
    let root = root as usize;
    let mut code = 0usize;
    let mut next = 0;
    let mut filled = 1usize;
    for length in 1..=root {
        let (low, high) = table.split_at_mut(filled);
        high[..filled].copy_from_slice(low);
        filled *= 2;
        for &symbol in &sorted[next..next + usize::from(counts[length])] {
            table[code] = entries[usize::from(symbol)] + length as u32 * 0x101;
            code = successor(code, filled);
        }
        next += usize::from(counts[length]);
    }
    let mut subtable = 0;
    let mut subtable_bits = 0;
    let mut prefix = usize::MAX;
    let mut free = 1 << root;
    for length in root + 1..=MAX_BITS {
        let mut remaining = usize::from(counts[length]);
        for &symbol in &sorted[next..next + remaining] {
            if code & ((1 << root) - 1) != prefix {
                // A subtable just large enough for the codes that share this prefix.
                prefix = code & ((1 << root) - 1);
                subtable_bits = length - root;
                let mut room = remaining;
                while room < 1 << subtable_bits && root + subtable_bits < MAX_BITS {
                    subtable_bits += 1;
                    room = room * 2 + usize::from(counts[root + subtable_bits]);
                }
                subtable = free;
                free += 1 << subtable_bits;
                table[prefix] = EXCEPTIONAL
                    | SUBTABLE
                    | (subtable as u32) << 16
                    | (subtable_bits as u32) << 8
                    | root as u32;
            }
            let entry = entries[usize::from(symbol)] + (length - root) as u32 * 0x101;
            table[subtable..subtable + (1 << subtable_bits)]
                .iter_mut()
                .skip(code >> root)
                .step_by(1 << (length - root))
                .for_each(|slot| *slot = entry);
            code = successor(code, 1 << length);
            remaining -= 1;
        }
        next += usize::from(counts[length]);
    }
}

/// The code after this one among those below `bound`, which is two to the power of their length: adds one
/// at the far end, where the canonical order counts. After the last, zero.
fn successor(code: usize, bound: usize) -> usize {
    let clear = code ^ (bound - 1);
    if clear == 0 {
        return 0;
    }
    let highest = 1 << clear.ilog2();
    (code & (highest - 1)) | highest
}
