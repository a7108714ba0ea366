//! The hot loop: decodes symbols while there is plenty of input and of room, without asking at each byte.
//!
//! This is the one module of the house with `unsafe` code. It pays: checking each load, each literal and each match
//! against the ends of its buffer costs more than a quarter of the decoder's speed. What makes it sound is checked
//! once a round instead: at its start there are [`INPUT_MARGIN`] bytes of input and [`OUTPUT_MARGIN`] bytes of
//! room, and a round uses less of either. Table indices are masked to the tables' sizes, and a match's distance is
//! compared with what was put out. The careful decoder in `inflate.rs` does everything near the ends.
#![allow(unsafe_code)]

use crate::error::Defect;
use crate::input::{Bits, Input};
use crate::table::{
    DISTANCE_ROOT, DISTANCE_SIZE, END_OF_BLOCK, EXCEPTIONAL, LITERAL, LITLEN_ROOT, LITLEN_SIZE, SUBTABLE,
    Tables,
};
use crate::window::Window;

/// Input that a round of the loop may read: three refills of 8 bytes.
pub(crate) const INPUT_MARGIN: usize = 32;

/// Output that a round of the loop may write beyond where it starts: literals, the longest match and
/// the overrun of its last wide copy.
pub(crate) const OUTPUT_MARGIN: usize = 320;

/// What processors do differently well.
trait Machine {
    /// The low `count` bits of `hold`; only the low byte of `count` counts, and it is below 64.
    fn low(hold: u64, count: u32) -> u64;

    /// Repeats the `distance` bytes before `to` until `length` bytes are put out, for a distance below 16.
    ///
    /// # Safety
    ///
    /// `distance` is 1 to 15, that many bytes stand before `to`, and `length` and 16 more may be written from it.
    unsafe fn repeat(to: *mut u8, distance: usize, length: usize);
}

/// Any processor.
struct Portable;

impl Machine for Portable {
    #[inline(always)]
    fn low(hold: u64, count: u32) -> u64 {
        hold & ((1 << (count & 63)) - 1)
    }

    #[inline(always)]
    unsafe fn repeat(to: *mut u8, distance: usize, length: usize) {
        for at in 0..length {
            // SAFETY: the caller grants `length` bytes from `to` and `distance` before it.
            unsafe { to.add(at).write(to.add(at).sub(distance).read()) };
        }
    }
}

/// x86-64 with BMI2 and AVX2; used after both were detected.
#[cfg(target_arch = "x86_64")]
struct Bmi2;

#[cfg(target_arch = "x86_64")]
impl Machine for Bmi2 {
    #[inline(always)]
    fn low(hold: u64, count: u32) -> u64 {
        // SAFETY: the processor has BMI2.
        unsafe { std::arch::x86_64::_bzhi_u64(hold, count) }
    }

    #[inline(always)]
    unsafe fn repeat(to: *mut u8, distance: usize, length: usize) {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_shuffle_epi8, _mm_storeu_si128};
        // SAFETY: 16 bytes may be read and written at `to`, which reading at `to - distance` stays within; the last
        // write begins before the match's end, so it ends less than 16 bytes behind it.
        unsafe {
            let pattern = _mm_loadu_si128(PATTERNS[distance & 15].as_ptr().cast::<__m128i>());
            let word = _mm_shuffle_epi8(_mm_loadu_si128(to.sub(distance).cast::<__m128i>()), pattern);
            let end = to.add(length);
            let mut to = to;
            while to < end {
                _mm_storeu_si128(to.cast::<__m128i>(), word);
                to = to.add(usize::from(STEPS[distance & 15]));
            }
        }
    }
}

/// For each distance, which of its bytes comes at each of 16 places.
#[cfg(target_arch = "x86_64")]
static PATTERNS: [[u8; 16]; 16] = {
    let mut patterns = [[0; 16]; 16];
    let mut distance = 1;
    while distance < 16 {
        let mut at = 0;
        while at < 16 {
            patterns[distance][at] = (at % distance) as u8;
            at += 1;
        }
        distance += 1;
    }
    patterns
};

/// For each distance, its largest multiple in 16 bytes: there the pattern begins anew.
#[cfg(target_arch = "x86_64")]
static STEPS: [u8; 16] = [1, 16, 16, 15, 16, 15, 12, 14, 16, 9, 10, 11, 12, 13, 14, 15];

/// Decodes while the margins hold. True: the block ended.
pub(crate) fn decode(
    tables: &Tables,
    bits: &mut Bits,
    input: &mut Input,
    window: &mut Window,
) -> Result<bool, Defect> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("avx2")
    {
        // SAFETY: the processor has the features.
        return unsafe { decode_bmi2(tables, bits, input, window) };
    }
    decode_inlined::<Portable>(tables, bits, input, window)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,avx2")]
fn decode_bmi2(
    tables: &Tables,
    bits: &mut Bits,
    input: &mut Input,
    window: &mut Window,
) -> Result<bool, Defect> {
    decode_inlined::<Bmi2>(tables, bits, input, window)
}

#[inline(always)]
fn decode_inlined<M: Machine>(
    tables: &Tables,
    bits: &mut Bits,
    input: &mut Input,
    window: &mut Window,
) -> Result<bool, Defect> {
    assert!(input.pos <= input.end && input.end <= input.buf.len());
    assert!(window.member_start <= window.pos && window.pos <= window.buf.len());
    if input.end - input.pos < INPUT_MARGIN || window.room() == 0 {
        return Ok(false);
    }
    let in_start = input.buf.as_ptr();
    let out_start = window.buf.as_mut_ptr();
    // SAFETY: the assertions above keep every index within its buffer, and the buffers are longer than the
    // margins that are taken off their ends.
    let (mut src, in_limit, mut dst, out_limit, member_start) = unsafe {
        (
            in_start.add(input.pos),
            in_start.add(input.end - INPUT_MARGIN),
            out_start.add(window.pos),
            out_start.add(window.buf.len() - OUTPUT_MARGIN),
            out_start.add(window.member_start),
        )
    };
    let mut hold = bits.hold;
    // Only the low byte counts: entries are subtracted whole.
    let mut count = bits.count;

    macro_rules! refill {
        () => {
            // SAFETY: a round refills three times at most, each reads 8 bytes and moves on by 7 at most.
            hold |= u64::from_le(unsafe { src.cast::<u64>().read_unaligned() }) << (count & 63);
            // SAFETY: as above.
            src = unsafe { src.add(7 - ((count as usize >> 3) & 7)) };
            count |= 56;
        };
    }
    macro_rules! consume {
        ($entry:expr) => {
            hold >>= $entry & 63;
            count = count.wrapping_sub($entry);
        };
    }
    macro_rules! litlen {
        () => {
            tables.litlen[hold as usize & ((1 << LITLEN_ROOT) - 1)]
        };
    }
    macro_rules! literal {
        ($entry:expr) => {
            // SAFETY: three literals and a match are less than the margin.
            unsafe {
                dst.write(($entry >> 16) as u8);
                dst = dst.add(1);
            }
        };
    }

    let mut outcome = Ok(false);
    refill!();
    let mut entry = litlen!();
    while src <= in_limit && dst < out_limit {
        if entry & LITERAL != 0 {
            consume!(entry);
            let literal = entry;
            entry = litlen!();
            literal!(literal);
            if entry & LITERAL != 0 {
                consume!(entry);
                let literal = entry;
                entry = litlen!();
                literal!(literal);
                if entry & LITERAL != 0 {
                    consume!(entry);
                    let literal = entry;
                    entry = litlen!();
                    refill!();
                    literal!(literal);
                    continue;
                }
            }
        }
        let mut before = hold;
        consume!(entry);
        if entry & EXCEPTIONAL != 0 {
            if entry & SUBTABLE != 0 {
                entry = tables.litlen
                    [((entry >> 16) as usize + M::low(hold, (entry >> 8) & 15) as usize) & (LITLEN_SIZE - 1)];
                before = hold;
                consume!(entry);
                if entry & LITERAL != 0 {
                    literal!(entry);
                    entry = litlen!();
                    refill!();
                    continue;
                }
            }
            if entry & EXCEPTIONAL != 0 {
                outcome = if entry & END_OF_BLOCK != 0 { Ok(true) } else { Err(Defect::InvalidSymbol) };
                break;
            }
        }
        let length = (entry >> 16) as usize + (M::low(before, entry) >> ((entry >> 8) & 15)) as usize;
        entry = tables.distance[hold as usize & ((1 << DISTANCE_ROOT) - 1)];
        refill!();
        if entry & EXCEPTIONAL != 0 {
            consume!(entry);
            if entry & SUBTABLE == 0 {
                outcome = Err(Defect::InvalidSymbol);
                break;
            }
            entry = tables.distance
                [((entry >> 16) as usize + M::low(hold, (entry >> 8) & 15) as usize) & (DISTANCE_SIZE - 1)];
            if entry & EXCEPTIONAL != 0 {
                outcome = Err(Defect::InvalidSymbol);
                break;
            }
        }
        before = hold;
        consume!(entry);
        let distance = (entry >> 16) as usize + (M::low(before, entry) >> ((entry >> 8) & 15)) as usize;
        if distance > dst as usize - member_start as usize {
            outcome = Err(Defect::DistanceTooFar);
            break;
        }
        entry = litlen!();
        refill!();
        // SAFETY: the distance was compared with what stands before `dst`; three literals, 258 bytes of a match
        // and 31 of overrun are less than the margin.
        unsafe {
            copy_match::<M>(dst, distance, length);
            dst = dst.add(length);
        }
    }
    count &= 63;
    bits.hold = hold & ((1 << count) - 1);
    bits.count = count;
    input.pos = src as usize - in_start as usize;
    window.pos = dst as usize - out_start as usize;
    outcome
}

/// Puts out a match.
///
/// # Safety
///
/// `distance` is at least 1 and that many bytes stand before `to`; `length` and 31 more may be written from it.
#[inline(always)]
unsafe fn copy_match<M: Machine>(to: *mut u8, distance: usize, length: usize) {
    // SAFETY: the caller's. A piece of 16 bytes never overlaps its source, which is at least 16 bytes before it.
    unsafe {
        if distance < 16 {
            return M::repeat(to, distance, length);
        }
        let from = to.sub(distance).cast_const();
        let mut at = 0;
        loop {
            copy16(from.add(at), to.add(at));
            copy16(from.add(at + 16), to.add(at + 16));
            at += 32;
            if at >= length {
                return;
            }
        }
    }
}

/// Copies 16 bytes.
///
/// # Safety
///
/// 16 bytes may be read at `from` and written at `to`.
#[inline(always)]
unsafe fn copy16(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe { to.cast::<[u8; 16]>().write_unaligned(from.cast::<[u8; 16]>().read_unaligned()) }
}
