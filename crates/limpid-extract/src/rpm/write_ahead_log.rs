//! `rpmdb.sqlite-wal`: changes that SQLite has not written to the database yet. It is empty once rpm has ended; in an
//! image that was made while rpm ran, or after it was killed, it may not be, and then the database alone is not the truth.

use limpid_model::Record;

use super::DATABASE_BYTES_MAX;
use crate::damage::be_u32;
use crate::extractor::{Anchor, ExtractError, Extracted, Extractor};
use crate::read_at::ReadAt;

/// The log.
#[derive(Debug)]
pub(crate) struct RpmSqliteLog;

impl Extractor for RpmSqliteLog {
    fn name(&self) -> &'static str {
        "rpm-sqlite-wal"
    }

    fn version(&self) -> u32 {
        1
    }

    fn limit(&self) -> u64 {
        DATABASE_BYTES_MAX
    }

    fn reads(&self, path: &str) -> bool {
        path.ends_with("/rpm/rpmdb.sqlite-wal")
    }

    fn anchors(&self) -> &'static [Anchor] {
        &[
            Anchor::File("var/lib/rpm/rpmdb.sqlite-wal"),
            Anchor::File("usr/lib/sysimage/rpm/rpmdb.sqlite-wal"),
            Anchor::File("usr/share/rpm/rpmdb.sqlite-wal"),
        ]
    }

    fn reads_in_pieces(&self) -> bool {
        true
    }

    fn extract(&self, path: &str, content: &[u8]) -> Result<Extracted, ExtractError> {
        self.extract_in_pieces(path, &content)
    }

    fn extract_in_pieces(&self, _path: &str, content: &dyn ReadAt) -> Result<Extracted, ExtractError> {
        if !holds_changes(content) {
            return Ok(Record::Packages(Vec::new()).into());
        }
        Err(ExtractError::NotRead(
            "it holds changes to rpm's database that were never written there and are not read; the list of \
             packages may be out of date",
        ))
    }
}

/// Whether a write-ahead log has a frame that SQLite would take: one with the salts of the log's header ("SQLite
/// Database File Format", section 4.1).
fn holds_changes(content: &dyn ReadAt) -> bool {
    const HEADER_BYTES: usize = 32;
    const FRAME_HEADER_BYTES: usize = 24;
    let mut start = [0; HEADER_BYTES + FRAME_HEADER_BYTES];
    if content.read_exact_at(0, &mut start).is_err() {
        return false;
    }
    let (header, frame) = start.split_at(HEADER_BYTES);
    matches!(be_u32(header, 0), Some(0x377f_0682 | 0x377f_0683)) && header[16..24] == frame[8..16]
}
