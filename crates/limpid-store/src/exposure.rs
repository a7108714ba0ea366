//! Verdicts turned round, as they are stored: the occurrences that a vulnerability affects, and the vulnerabilities whose
//! sets have a verdict's occurrences.

use roaring::RoaringBitmap;

use crate::{Error, Result, codec};

/// The rules' version of verdicts that an update made stale. No rules have it.
pub(crate) const STALE: u32 = 0;

/// The text ids of the vulnerabilities whose sets have a verdict's occurrences, sorted.
pub(crate) type Listed = Vec<i64>;

/// The vulnerabilities that a `listed` column names.
pub(crate) fn listed(column: Option<&[u8]>) -> Result<Listed> {
    column.map_or(Ok(Listed::new()), |column| codec::decode(column, "a verdict's vulnerabilities"))
}

/// The set in an `occurrences` column.
pub(crate) fn decode(blob: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(blob)
        .map_err(|error| Error::Corrupt(format!("a set of occurrences cannot be decoded: {error}")))
}

/// A set for an `occurrences` column.
pub(crate) fn encode(mut set: RoaringBitmap) -> Result<Vec<u8>> {
    set.optimize();
    let mut body = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut body).map_err(|error| Error::Engine(error.to_string()))?;
    Ok(body)
}
