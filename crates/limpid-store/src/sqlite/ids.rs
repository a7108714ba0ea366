//! Ids that are never given twice, and marks of what nothing uses.
//!
//! SQLite gives the id of the last row again once that row is deleted. Callers hold ids of nodes, occurrences and images
//! between two calls, so the greatest id that was freed is kept, and new rows go above it: an id names what
//! it named or nothing.

use rusqlite::{Connection, params};

use crate::Result;
use crate::kind::Kind;

impl Kind {
    /// An id that no row has or had. To be called inside a write transaction.
    pub(super) fn next_id(self, connection: &Connection) -> Result<i64> {
        let table = self.table();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT 1 + max(coalesce((SELECT max({table}_id) FROM {table}), 0),
                            coalesce((SELECT greatest_id FROM freed WHERE kind = ?1), 0))"
        ))?;
        Ok(statement.query_row([self as i64], |row| row.get(0))?)
    }

    /// Deletes the row with this id, which will not be given again, and its mark. To be called inside a write
    /// transaction. How many rows that were: none if it was gone already.
    pub(super) fn delete(self, connection: &Connection, id: i64) -> Result<u64> {
        let table = self.table();
        let deleted = connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE {table}_id = ?1"))?
            .execute([id])?;
        connection
            .prepare_cached(
                "INSERT INTO freed (kind, greatest_id) VALUES (?1, ?2)
                 ON CONFLICT (kind) DO UPDATE SET greatest_id = max(greatest_id, ?2)",
            )?
            .execute(params![self as i64, id])?;
        self.unmark(connection, id)?;
        Ok(deleted as u64)
    }

    /// Notes that nothing uses the row since `since`, if that is not noted yet.
    pub(super) fn mark(self, connection: &Connection, id: i64, since: i64) -> Result<()> {
        connection
            .prepare_cached("INSERT OR IGNORE INTO unused (kind, id, since) VALUES (?1, ?2, ?3)")?
            .execute(params![self as i64, id, since])?;
        Ok(())
    }

    /// Notes that the row is used, or no longer there.
    pub(super) fn unmark(self, connection: &Connection, id: i64) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM unused WHERE kind = ?1 AND id = ?2")?
            .execute(params![self as i64, id])?;
        Ok(())
    }
}
