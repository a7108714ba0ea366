//! How structured values become blobs: postcard, and zstd around it where a value is large.
//!
//! Stored values are derived and can be computed again, but not cheaply: types that are stored say so where
//! they are declared, and only ever grow at the end.

use limpid_model::Hasher;
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

/// Values of fewer bytes are not worth a compressor's time: most of them do not get smaller.
const COMPRESSED_BYTES_MIN: usize = 512;
/// What a packed value begins with.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// `value` as postcard bytes, compressed where that pays.
pub(crate) fn pack<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut plain = postcard::to_extend(value, vec![PLAIN])
        .map_err(|error| Error::Engine(format!("cannot encode a value: {error}")))?;
    if plain.len() > COMPRESSED_BYTES_MIN {
        let packed = zstd::bulk::compress(&plain[1..], 3)
            .map_err(|error| Error::Engine(format!("cannot compress a value: {error}")))?;
        if packed.len() + 1 < plain.len() {
            plain.clear();
            plain.push(ZSTD);
            plain.extend_from_slice(&packed);
        }
    }
    Ok(plain)
}

/// The value that [`pack`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    let corrupt = |reason: String| Error::Corrupt(format!("{what} cannot be decompressed: {reason}"));
    let packed = match bytes.split_first() {
        Some((&PLAIN, plain)) => return decode(plain, what),
        Some((&ZSTD, packed)) => packed,
        _ => return Err(corrupt("it does not say how".to_owned())),
    };
    let size = zstd::bulk::Decompressor::upper_bound(packed).unwrap_or(DECODED_BYTES_MAX);
    if size > DECODED_BYTES_MAX {
        return Err(corrupt(format!("it claims {size} bytes")));
    }
    let plain = zstd::bulk::decompress(packed, size).map_err(|error| corrupt(error.to_string()))?;
    decode(&plain, what)
}

/// 64 bits of a hash, for indexes: whoever finds something by it compares the whole.
pub(crate) fn hash(parts: &[&[u8]]) -> i64 {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finish().as_bytes()[..8]);
    i64::from_le_bytes(first)
}
