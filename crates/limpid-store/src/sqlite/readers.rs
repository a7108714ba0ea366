//! Connections for reading, so that readers stand behind neither writers nor each other.
//!
//! In WAL mode a reader sees what was committed when it began, whatever is written meanwhile. A connection that was
//! used is kept for the next reader; there are never more than threads that read at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::open::Place;
use crate::Result;

/// Connections that are kept for the next reader. Each may hold a page cache of 16 MiB.
const IDLE_MAX: usize = 8;

/// The connections for reading of one store.
#[derive(Debug, Default)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Does `work` with a connection that nobody else uses meanwhile. One whose reader panicked is not used again.
    pub(super) fn with<T>(
        &self,
        place: &Place,
        work: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        let idle = self.idle().pop();
        let mut connection = idle.map_or_else(|| place.connect(), Ok)?;
        let result = work(&mut connection);
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX && connection.is_autocommit() {
            idle.push(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::{SqliteStore, Store as _};

    #[test]
    fn a_reader_does_not_wait_for_a_writer_and_sees_what_was_committed_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
        let writer = store.connection();
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO text (value) VALUES ('x');").unwrap();
        let texts = |store: &SqliteStore| {
            store.reading(|reader| Ok(reader.query_row("SELECT count(*) FROM text", [], |row| row.get(0))?))
        };
        assert_eq!((store.revision().unwrap(), texts(&store).unwrap()), (0, 0_i64));
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(texts(&store).unwrap(), 1);
    }
}
