//! How plain values stand in columns, in every engine.

use limpid_model::Digest;

use crate::{Error, Result};

/// A digest column.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::Corrupt(format!("a digest of {} bytes instead of 32", bytes.len())))?;
    Ok(Digest::from_bytes(bytes))
}

/// A `u64` as a column; what does not fit is clamped, since no size or count comes near.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column that is never negative.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
