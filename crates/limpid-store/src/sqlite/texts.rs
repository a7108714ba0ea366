//! Interned strings.

use rusqlite::{Connection, OptionalExtension};

use crate::{Error, Result};

/// The id of `value`, made if need be. To be called inside a write transaction.
pub(super) fn intern(connection: &Connection, value: &str) -> Result<i64> {
    if let Some(id) = find(connection, value)? {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO text (value) VALUES (?1)")?.execute([value])?;
    Ok(connection.last_insert_rowid())
}

/// The id of `value`, if it was ever interned.
pub(super) fn find(connection: &Connection, value: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT text_id FROM text WHERE value = ?1")?;
    Ok(statement.query_row([value], |row| row.get(0)).optional()?)
}

/// The string of an id.
pub(super) fn value(connection: &Connection, id: i64) -> Result<String> {
    let mut statement = connection.prepare_cached("SELECT value FROM text WHERE text_id = ?1")?;
    statement
        .query_row([id], |row| row.get(0))
        .optional()?
        .ok_or_else(|| Error::Corrupt(format!("text {id} is missing")))
}
