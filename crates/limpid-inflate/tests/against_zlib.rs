//! The decoder against zlib's: the same streams are accepted, with the same bytes, and the same are refused.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};

use flate2::Compression;
use limpid_inflate::{Error, GzipDecoder};
use proptest::prelude::*;

/// Gives at most so many bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let part = self.1.min(buffer.len());
        self.0.read(&mut buffer[..part])
    }
}

fn ours(bytes: &[u8], step: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = GzipDecoder::new(Trickle(bytes, step));
    let mut output = Vec::new();
    loop {
        let chunk = decoder.fill()?;
        if chunk.is_empty() {
            return Ok(output);
        }
        output.extend_from_slice(chunk);
    }
}

fn zlibs(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut output).ok().map(|_| output)
}

fn gzip(data: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Text with repeats at short and long distances, runs, and noise.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        (any::<u8>(), 1..2000_usize).prop_map(|(byte, length)| vec![byte; length]),
        (prop::collection::vec(any::<u8>(), 1..40), 1..200_usize)
            .prop_map(|(word, times)| word.repeat(times)),
        "[a-e ]{0,600}".prop_map(String::into_bytes),
    ];
    (prop::collection::vec(piece, 0..30), 1..60_usize)
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn what_zlib_writes_is_read(data in data(), level in 0..10_u32, step in 1..5000_usize) {
        let packed = gzip(&data, level);
        prop_assert_eq!(ours(&packed, step).unwrap(), data);
    }

    #[test]
    fn members_follow_one_another(a in data(), b in data(), step in 1..100_usize) {
        let packed = [gzip(&a, 6), gzip(&b, 1)].concat();
        prop_assert_eq!(ours(&packed, step).unwrap(), [a, b].concat());
    }

    #[test]
    fn damage_is_refused_where_zlib_refuses_it(data in data(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut packed = gzip(&data[..data.len().min(20_000)], 6);
        // Behind the header, whose time and name say nothing.
        let at = 10 + at.index(packed.len() - 10);
        packed[at] ^= flip;
        prop_assert_eq!(ours(&packed, 4096).ok(), zlibs(&packed));
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..3000)) {
        let packed = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &noise[..]].concat();
        let _ = ours(&packed, 7);
        let _ = ours(&noise, 4096);
    }
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let packed = gzip(b"an archive of some length, an archive of some length, and an end", 6);
    for end in 1..packed.len() {
        assert!(ours(&packed[..end], 4096).is_err(), "{end}");
    }
    assert!(ours(&packed, 1).is_ok());
}

#[test]
fn a_wrong_checksum_or_size_is_refused() {
    let packed = gzip(b"x", 6);
    for back in 1..=8 {
        let mut wrong = packed.clone();
        let at = wrong.len() - back;
        wrong[at] ^= 1;
        assert!(ours(&wrong, 4096).is_err());
    }
}

#[test]
fn large_data_crosses_the_window_many_times() {
    let mut data = Vec::new();
    let mut state = 1_u64;
    while data.len() < 3_000_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let byte = (state >> 60) as u8;
        let run = (state >> 33) as usize % 40;
        if state & 4 == 0 && data.len() > 40_000 {
            let from = data.len() - 1 - (state >> 40) as usize % 32_000;
            for at in from..from + run {
                data.push(data[at]);
            }
        } else {
            data.extend(std::iter::repeat_n(byte, run % 9));
        }
    }
    for level in [1, 6, 9] {
        assert_eq!(ours(&gzip(&data, level), 65_536).unwrap(), data);
    }
}
