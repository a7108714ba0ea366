//! What of a layer is stored encoded.

use limpid_model::{Digest, FileRecord, LayerFindings, Problem, TreeEntry};

use crate::column::count;
use crate::store::LayerRecord;
use crate::{Result, codec};

/// Findings as stored: the list of extractors, which all layers share, has a row of its own.
pub(crate) type StoredFindings = (Vec<TreeEntry>, Vec<FileRecord>, Vec<Problem>);

/// What of a layer is stored encoded.
pub(crate) struct Packed {
    pub(crate) findings: Vec<u8>,
    pub(crate) searched: Vec<u8>,
    pub(crate) extractors: Vec<u8>,
}

impl Packed {
    pub(crate) fn of(layer: &LayerRecord) -> Result<Self> {
        let LayerFindings { extractors, entries, records, problems } = &layer.findings;
        Ok(Self {
            findings: codec::pack(&(entries, records, problems))?,
            searched: codec::encode(&layer.searched)?,
            extractors: codec::encode(extractors)?,
        })
    }
}

/// A layer from its columns: sizes of the blob and of the archive in it, and what is encoded.
pub(crate) fn record(
    digest: Digest,
    (size, uncompressed): (i64, i64),
    findings: &[u8],
    searched: &[u8],
    extractors: &[u8],
) -> Result<LayerRecord> {
    let (entries, records, problems): StoredFindings = codec::unpack(findings, "a layer's findings")?;
    let extractors = codec::decode(extractors, "a list of extractors")?;
    Ok(LayerRecord {
        digest,
        size_bytes: count(size),
        uncompressed_bytes: count(uncompressed),
        findings: LayerFindings { extractors, entries, records, problems },
        searched: codec::decode(searched, "what was searched for in a layer")?,
    })
}
