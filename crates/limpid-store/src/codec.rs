//! How structured values become blobs: postcard, and zstd around it where a value is large.
//!
//! Stored values are derived and can be computed again, but not cheaply: types that are stored say so where
//! they are declared, and only ever grow at the end.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The largest blob that is decoded, in bytes: what one layer's findings may come to, with room.
const DECODED_BYTES_MAX: usize = 1 << 30;

/// `value` as postcard bytes.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| Error::Engine(format!("cannot encode a value: {error}")))
}

/// The value that [`encode`] wrote; `what` names it in an error.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|error| Error::Corrupt(format!("{what} cannot be decoded: {error}")))
}

/// `value` as compressed postcard bytes.
pub(crate) fn pack<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    zstd::bulk::compress(&encode(value)?, 3)
        .map_err(|error| Error::Engine(format!("cannot compress a value: {error}")))
}

/// The value that [`pack`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let corrupt = |reason: String| Error::Corrupt(format!("{what} cannot be decompressed: {reason}"));
    let size = zstd::bulk::Decompressor::upper_bound(bytes).unwrap_or(DECODED_BYTES_MAX);
    if size > DECODED_BYTES_MAX {
        return Err(corrupt(format!("it claims {size} bytes")));
    }
    let plain = zstd::bulk::decompress(bytes, size).map_err(|error| corrupt(error.to_string()))?;
    decode(&plain, what)
}
