//! Compares the decoder with zlib-rs on gzip files: megabytes of output per second, median of five
//! alternating runs in memory, and the ratio.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

const ROUNDS: usize = 5;

fn limpid(compressed: &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut decoder = limpid_inflate::GzipDecoder::new(compressed);
    let mut size = 0;
    loop {
        let chunk = black_box(decoder.fill()?);
        if chunk.is_empty() {
            return Ok(size);
        }
        size += chunk.len() as u64;
    }
}

fn zlib_rs(compressed: &[u8]) -> Result<u64, Box<dyn Error>> {
    let mut decoder = flate2::bufread::MultiGzDecoder::new(compressed);
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let count = black_box(decoder.read(&mut buffer)?);
        if count == 0 {
            return Ok(size);
        }
        size += count as u64;
    }
}

/// Decodes a whole stream and says how many bytes came out.
type Decode = fn(&[u8]) -> Result<u64, Box<dyn Error>>;

fn rate(decode: Decode, compressed: &[u8]) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let size = decode(compressed)?;
    Ok(size as f64 / start.elapsed().as_secs_f64() / 1e6)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args().skip(1) {
        let compressed = std::fs::read(&path)?;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(rate(limpid, &compressed)?);
            other.push(rate(zlib_rs, &compressed)?);
        }
        let (own, other) = (median(own), median(other));
        println!("{path}: limpid-inflate {own:.0} MB/s, zlib-rs {other:.0} MB/s, ratio {:.2}", own / other);
    }
    Ok(())
}
