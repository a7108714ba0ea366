//! The header of a dynamic block (RFC 1951, section 3.2.7): the code lengths of its two alphabets.

use crate::error::Defect;
use crate::input::{Bits, Input};
use crate::table::{self, EXCEPTIONAL, Incomplete, PRECODE_ENTRIES, PRECODE_ROOT, PRECODE_SIZE, Tables};

/// The longest header takes 3 + 14 + 19 * 3 bits and 316 code lengths of at most 7 + 7 bits.
pub(crate) const MAX_HEADER_BYTES: usize = (3 + 14 + 19 * 3 + 316 * 14) / 8 + 8;

/// The order in which the lengths of the codes for code lengths are given.
const PRECODE_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Symbols in use: the last two of either alphabet never are.
const MAX_LITLEN: usize = 286;
const MAX_DISTANCE: usize = 30;

/// Reads the header, of which the block's type is already read, and builds the tables.
pub(crate) fn read_dynamic(bits: &mut Bits, input: &mut Input, tables: &mut Tables) -> Result<(), Defect> {
    let litlen_count = bits.take(5, input)? as usize + 257;
    let distance_count = bits.take(5, input)? as usize + 1;
    let precode_count = bits.take(4, input)? as usize + 4;
    if litlen_count > MAX_LITLEN || distance_count > MAX_DISTANCE {
        return Err(Defect::InvalidCodeLengths);
    }
    let mut precode_lengths = [0u8; 19];
    for &symbol in &PRECODE_ORDER[..precode_count] {
        precode_lengths[symbol] = bits.take(3, input)? as u8;
    }
    let mut precode = [0u32; PRECODE_SIZE];
    table::build(&mut precode, PRECODE_ROOT, &precode_lengths, &PRECODE_ENTRIES, Incomplete::Refused)?;

    let total = litlen_count + distance_count;
    // Room for the longest repeat beyond the last length, refused after it is written.
    let mut lengths = [0u8; MAX_LITLEN + MAX_DISTANCE + 138];
    let mut at = 0;
    while at < total {
        if bits.count < 14 {
            bits.refill(input);
        }
        let entry = precode[bits.hold as usize & (PRECODE_SIZE - 1)];
        if entry & EXCEPTIONAL != 0 {
            return Err(Defect::InvalidCodeLengths);
        }
        bits.consume(entry & 0xff)?;
        let (value, repeat) = match entry >> 16 {
            16 if at == 0 => return Err(Defect::InvalidCodeLengths),
            16 => (lengths[at - 1], 3 + bits.consume(2)?),
            17 => (0, 3 + bits.consume(3)?),
            18 => (0, 11 + bits.consume(7)?),
            length => {
                lengths[at] = length as u8;
                at += 1;
                continue;
            }
        };
        let repeat = repeat as usize;
        lengths[at..at + repeat].fill(value);
        at += repeat;
    }
    if at > total {
        return Err(Defect::InvalidCodeLengths);
    }
    tables.build(&lengths[..litlen_count], &lengths[litlen_count..total])
}
