//! How a blob is compressed, told by its first bytes and never by what a media type claims.

use std::io::{BufReader, Read};

use limpid_inflate::GzipDecoder;

use crate::{Error, Limits};

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    None,
    /// gzip, one member or several.
    Gzip,
    /// zstd, one frame or several, skippable ones among them.
    Zstd,
}

/// Bytes that are needed to tell.
const MAGIC_BYTES: usize = 6;
/// Bytes that are read, and handed on, at a time where the decoder does not say.
const CHUNK_BYTES: usize = 256 << 10;

impl Compression {
    fn of(magic: &[u8], what: &str) -> Result<Self, Error> {
        let refuse = |name: &str| {
            Err(Error::unsupported(
                what,
                format!("it is compressed with {name}; only gzip and zstd are read"),
            ))
        };
        match magic {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => refuse("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => refuse("bzip2"),
            _ => Ok(Self::None),
        }
    }
}

/// A blob's bytes, decompressed, in chunks.
pub(crate) struct Decoded<R: Read> {
    what: String,
    compression: Compression,
    decoder: Decoder<R>,
    bytes: u64,
    bytes_max: u64,
}

/// A blob with the bytes put back that its magic was told by.
type Whole<R> = std::io::Chain<std::io::Cursor<Vec<u8>>, R>;

enum Decoder<R: Read> {
    Plain(Whole<R>, Vec<u8>),
    Gzip(Box<GzipDecoder<Whole<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Whole<R>>>, Vec<u8>),
}

impl<R: Read> Decoded<R> {
    /// Looks at the first bytes; `what` names the blob in errors.
    pub(crate) fn new(mut reader: R, what: &str, limits: &Limits) -> Result<Self, Error> {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        let mut head = (&mut reader).take(MAGIC_BYTES as u64);
        head.read_to_end(&mut magic).map_err(|error| Error::io(what, error))?;
        let compression = Compression::of(&magic, what)?;
        let whole = std::io::Cursor::new(magic).chain(reader);
        let decoder = match compression {
            Compression::None => Decoder::Plain(whole, vec![0; CHUNK_BYTES]),
            Compression::Gzip => Decoder::Gzip(Box::new(GzipDecoder::new(whole))),
            Compression::Zstd => {
                let buffered = BufReader::with_capacity(CHUNK_BYTES, whole);
                let decoder = zstd::stream::read::Decoder::with_buffer(buffered)
                    .and_then(|mut decoder| decoder.window_log_max(limits.zstd_window_log).map(|()| decoder))
                    .map_err(|error| Error::io(what, error))?;
                Decoder::Zstd(decoder, vec![0; CHUNK_BYTES])
            }
        };
        Ok(Self {
            what: what.to_owned(),
            compression,
            decoder,
            bytes: 0,
            bytes_max: limits.uncompressed_bytes,
        })
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes handed out so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next chunk, empty at the end.
    pub(crate) fn fill(&mut self) -> Result<&[u8], Error> {
        let what = &self.what;
        let chunk: &[u8] = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.fill().map_err(|error| gzip_error(what, error))?,
            Decoder::Plain(reader, buffer) => {
                let read = read_some(reader, buffer).map_err(|error| Error::io(what.as_str(), error))?;
                &buffer[..read]
            }
            Decoder::Zstd(reader, buffer) => {
                let read = read_some(reader, buffer).map_err(|error| zstd_error(what, error))?;
                &buffer[..read]
            }
        };
        self.bytes += chunk.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Error::limit(what, format!("{} bytes once decompressed", self.bytes_max)));
        }
        Ok(chunk)
    }

    /// The reader below.
    pub(crate) fn into_inner(self) -> R {
        match self.decoder {
            Decoder::Plain(reader, _) => reader.into_inner().1,
            Decoder::Gzip(decoder) => decoder.into_inner().into_inner().1,
            Decoder::Zstd(decoder, _) => decoder.finish().into_inner().into_inner().1,
        }
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn gzip_error(what: &str, error: limpid_inflate::Error) -> Error {
    match error {
        limpid_inflate::Error::Io(source) => Error::io(what, source),
        error => Error::malformed(what, error.to_string()),
    }
}

/// The zstd library reports damage as an I/O error of kind `Other`; the reader below has its own kinds.
fn zstd_error(what: &str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::Other | std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
            Error::malformed(what, format!("its zstd data is damaged or cut short ({error})"))
        }
        _ => Error::io(what, error),
    }
}
