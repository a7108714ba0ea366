//! One pass over a layer: digest check, decompression, tar walk, all streaming.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use limpid_model::{Digest, Hasher};

use crate::compression::{Compression, Decoded};
use crate::image::LayerContent;
use crate::tar::{EntrySink, TarError, Walker};
use crate::{Error, LayerVisitor, Limits, directory};

/// What a blob's descriptor says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size, if that is known.
    pub size_bytes: Option<u64>,
}

/// What reading a layer showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerStats {
    /// The digest of the blob's bytes, computed here.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size_bytes: u64,
    /// Bytes of the archive in it.
    pub uncompressed_bytes: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// How the blob was compressed.
    pub compression: Compression,
}

/// Reads a layer to its last byte and lets `visitor` see it. On an error what the visitor saw is of no use.
pub fn read_layer(
    content: LayerContent,
    expected: Option<&ExpectedBlob>,
    limits: &Limits,
    visitor: &mut dyn LayerVisitor,
    progress: &dyn Fn(u64),
) -> Result<LayerStats, Error> {
    match content {
        LayerContent::Blob(reader) => read_blob(reader, &name(expected), expected, limits, visitor, progress),
        LayerContent::Tree(path) => directory::walk(&path, limits, visitor),
        LayerContent::Withheld(reason) => Ok(withheld(expected, reason, visitor)),
    }
}

/// Reads a blob to its last byte; `what` names it in errors.
pub(crate) fn read_blob(
    reader: impl Read,
    what: &str,
    expected: Option<&ExpectedBlob>,
    limits: &Limits,
    visitor: &mut dyn LayerVisitor,
    progress: &dyn Fn(u64),
) -> Result<LayerStats, Error> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let hashing =
        Hashing { inner: reader, tally: Rc::clone(&tally), size_max: expected.and_then(|e| e.size_bytes) };
    let result = walk(hashing, what, limits, visitor, &|| progress(tally.borrow().bytes));
    let (walked, mut rest) = match result {
        Ok(walked) => walked,
        Err(error) => return Err(too_long(&tally.borrow(), expected, what).unwrap_or(error)),
    };
    // Whatever follows the compressed data belongs to the blob too.
    io::copy(&mut rest, &mut io::sink()).map_err(|error| {
        too_long(&tally.borrow(), expected, what).unwrap_or_else(|| Error::io(what, error))
    })?;
    let tally = tally.take();
    verify(tally, expected, what, walked)
}

/// Of a layer that is not to be had, the visitor sees that and nothing else.
fn withheld(expected: Option<&ExpectedBlob>, reason: String, visitor: &mut dyn LayerVisitor) -> LayerStats {
    visitor.problem("", reason);
    LayerStats {
        digest: expected.map_or_else(|| Digest::of(b""), |expected| expected.digest),
        size_bytes: 0,
        uncompressed_bytes: 0,
        entries: 0,
        compression: Compression::None,
    }
}

/// Reads, hashes and decodes a blob, and nothing else: what reading a layer costs at least.
pub fn decode_layer(reader: Box<dyn Read + Send>, limits: &Limits) -> Result<LayerStats, Error> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let hashing = Hashing { inner: reader, tally: Rc::clone(&tally), size_max: None };
    let mut decoded = Decoded::new(hashing, "the layer", limits)?;
    while !decoded.fill()?.is_empty() {}
    let walked =
        Walked { uncompressed_bytes: decoded.bytes(), entries: 0, compression: decoded.compression() };
    io::copy(&mut decoded.into_inner(), &mut io::sink()).map_err(|error| Error::io("the layer", error))?;
    let tally = tally.take();
    verify(tally, None, "the layer", walked)
}

struct Walked {
    uncompressed_bytes: u64,
    entries: u64,
    compression: Compression,
}

fn name(expected: Option<&ExpectedBlob>) -> String {
    expected.map_or_else(|| "the layer".to_owned(), |expected| format!("layer {}", expected.digest))
}

fn walk<R: Read>(
    reader: R,
    what: &str,
    limits: &Limits,
    visitor: &mut dyn LayerVisitor,
    progress: &dyn Fn(),
) -> Result<(Walked, R), Error> {
    let mut decoded = Decoded::new(reader, what, limits)?;
    let mut walker = Walker::new(limits);
    let mut sink = EntrySink::new(visitor, limits);
    loop {
        let chunk = decoded.fill()?;
        if chunk.is_empty() {
            break;
        }
        walker.feed(chunk, &mut sink).map_err(|error| tar_error(what, error))?;
        progress();
    }
    walker.finish().map_err(|error| tar_error(what, error))?;
    sink.finish();
    let walked = Walked {
        uncompressed_bytes: decoded.bytes(),
        entries: walker.entries(),
        compression: decoded.compression(),
    };
    Ok((walked, decoded.into_inner()))
}

fn tar_error(what: &str, error: TarError) -> Error {
    match error {
        TarError::Malformed { offset, reason } => {
            Error::malformed(what, format!("its tar archive breaks at byte {offset}: {reason}"))
        }
        TarError::Limit { what: limited, limit } => Error::limit(what, format!("{limit} {limited}")),
        TarError::Spool(error) => Error::io("a temporary file", error),
    }
}

fn verify(
    tally: Tally,
    expected: Option<&ExpectedBlob>,
    what: &str,
    walked: Walked,
) -> Result<LayerStats, Error> {
    let digest = tally.hasher.finish();
    if let Some(expected) = expected {
        if let Some(size) = expected.size_bytes.filter(|size| tally.bytes < *size) {
            return Err(Error::TooShort { what: what.to_owned(), expected: size, got: tally.bytes });
        }
        if digest != expected.digest {
            return Err(Error::DigestMismatch {
                what: what.to_owned(),
                expected: expected.digest,
                got: digest,
            });
        }
    }
    Ok(LayerStats {
        digest,
        size_bytes: tally.bytes,
        uncompressed_bytes: walked.uncompressed_bytes,
        entries: walked.entries,
        compression: walked.compression,
    })
}

/// The error that says so, if more bytes came than were declared: the reason behind whatever else failed.
fn too_long(tally: &Tally, expected: Option<&ExpectedBlob>, what: &str) -> Option<Error> {
    let size = expected?.size_bytes?;
    (tally.bytes > size).then(|| Error::TooLong { what: what.to_owned(), expected: size, got: tally.bytes })
}

#[derive(Default)]
struct Tally {
    hasher: Hasher,
    bytes: u64,
}

/// Hashes and counts what passes; ends with an error where more passes than was declared.
struct Hashing<R> {
    inner: R,
    tally: Rc<RefCell<Tally>>,
    size_max: Option<u64>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut tally = self.tally.borrow_mut();
        tally.hasher.update(&buffer[..read]);
        tally.bytes += read as u64;
        if self.size_max.is_some_and(|size| tally.bytes > size) {
            return Err(io::Error::other("more bytes than declared"));
        }
        Ok(read)
    }
}
