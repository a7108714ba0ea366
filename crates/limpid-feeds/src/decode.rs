//! Decompression, told by magic: gzip, zstd, xz and bzip2, multi-member forms included, up to two deep (a
//! compressed file sent with a content encoding). Anything else passes as it is.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::limits::Limits;

/// Bytes that tell the formats apart.
const MAGIC_BYTES: usize = 6;
/// A gzip file within a gzip content encoding; no feed has more.
const LAYERS_MAX: usize = 2;
const BUFFER_BYTES: usize = 64 << 10;

/// Wraps a reader so that what comes out is plain, and bounded by `limits`.
pub fn decoded<'a>(input: &'a mut dyn Read, limits: &Limits) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut reader: Box<dyn Read + 'a> = Box::new(input);
    for _ in 0..LAYERS_MAX {
        let (magic, rest) = peek(reader)?;
        let plain = BufReader::with_capacity(BUFFER_BYTES, rest);
        reader = match Compression::of(&magic) {
            None => return Ok(bounded(Box::new(plain), limits)),
            Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(plain)),
            Some(Compression::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(plain)),
            Some(Compression::Zstd) => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(plain)?;
                decoder.window_log_max(limits.window_bytes_max.max(1 << 10).ilog2())?;
                Box::new(decoder)
            }
            Some(Compression::Xz) => {
                let flags = liblzma::stream::CONCATENATED;
                // The decoder's own needs come on top of the dictionary.
                let memory_bytes_max = limits.window_bytes_max.saturating_add(4 << 20);
                let stream = liblzma::stream::Stream::new_stream_decoder(memory_bytes_max, flags)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(plain, stream))
            }
        };
    }
    Ok(bounded(reader, limits))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Gzip,
    Bzip2,
    Zstd,
    Xz,
}

impl Compression {
    fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Some(Self::Bzip2),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }
}

fn peek<'a>(mut reader: Box<dyn Read + 'a>) -> io::Result<(Vec<u8>, Box<dyn Read + 'a>)> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    reader.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    let rest = Cursor::new(magic.clone()).chain(reader);
    Ok((magic, Box::new(rest)))
}

fn bounded<'a>(inner: Box<dyn Read + 'a>, limits: &Limits) -> Box<dyn BufRead + 'a> {
    let bounded =
        Bounded { inner, left_bytes: limits.decoded_bytes_max, limit_bytes: limits.decoded_bytes_max };
    Box::new(BufReader::with_capacity(BUFFER_BYTES, bounded))
}

struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    left_bytes: u64,
    limit_bytes: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left_bytes = self.left_bytes.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than the limit of {} bytes", self.limit_bytes))
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn read(mut data: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoded(&mut data, limits)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_is_told_by_its_magic() {
        let data = b"{\"a\": 1}".repeat(1000);
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bz.write_all(&data).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(&data).unwrap();
        let zst = zstd::encode_all(&data[..], 3).unwrap();
        let twice = [gzip(&data[..4000]), gzip(&data[4000..])].concat();
        let forms = [
            data.clone(),
            gzip(&data),
            twice,
            gzip(&gzip(&data)),
            bz.finish().unwrap(),
            xz.finish().unwrap(),
            zst,
        ];
        for form in forms {
            assert_eq!(read(&form, &Limits::default()).unwrap(), data);
        }
        assert_eq!(read(b"", &Limits::default()).unwrap(), b"");
        assert_eq!(read(b"{", &Limits::default()).unwrap(), b"{");
    }

    #[test]
    fn a_bomb_is_refused_and_a_cut_is_an_error() {
        let limits = Limits { decoded_bytes_max: 1 << 20, ..Limits::default() };
        let bomb = gzip(&vec![0; 16 << 20]);
        assert!(read(&bomb, &limits).unwrap_err().to_string().contains("limit of 1048576 bytes"));
        for form in [gzip(&[7; 5000]), zstd::encode_all(&[7; 5000][..], 3).unwrap()] {
            assert!(read(&form[..form.len() - 3], &limits).is_err());
        }
    }

    #[test]
    fn a_dictionary_beyond_the_limit_is_refused() {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 9);
        xz.write_all(&[7; 5000]).unwrap();
        let limits = Limits { window_bytes_max: 1 << 20, ..Limits::default() };
        assert!(read(&xz.finish().unwrap(), &limits).is_err());
    }
}
