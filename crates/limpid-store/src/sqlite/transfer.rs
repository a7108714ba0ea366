//! The tables as streams of rows; see `crate::transfer`.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, TransactionBehavior, params};

use super::SqliteStore;
use crate::kind::Kind;
use crate::transfer::{
    EVENT_STATE, Holds, KINDS, Moving, MovingSink, MovingSource, NUMBERED, Row, TABLES, Table, Transfer,
    Value, misplaced,
};
use crate::{Error, Result};

impl Transfer for SqliteStore {
    fn export(&self, sink: &mut MovingSink<'_>) -> Result<()> {
        let mut connection = self.place.connect()?;
        let transaction = connection.transaction()?;
        for table in TABLES {
            let mut statement =
                transaction.prepare(&format!("SELECT {} FROM \"{}\"", table.names(), table.name))?;
            let width = table.columns().len();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let value = |position| {
                    Ok(match row.get_ref(position)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(value) => Value::Integer(value),
                        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                        ValueRef::Real(_) => return Err(misplaced(table)),
                    })
                };
                sink(Moving::Row(table, Row((0..width).map(value).collect::<Result<_>>()?)))?;
            }
        }
        for kind in KINDS {
            sink(Moving::LastId(kind.table(), kind.next_id(&transaction)? - 1))?;
        }
        for (table, _) in NUMBERED {
            let last: Option<i64> = transaction
                .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
                .optional()?;
            sink(Moving::LastId(table, last.unwrap_or(0)))?;
        }
        Ok(())
    }

    fn import(&self, source: &mut MovingSource<'_>) -> Result<()> {
        let mut connection = self.place.connect()?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for table in TABLES.iter().filter(|table| table.name != EVENT_STATE) {
            if transaction.prepare(&format!("SELECT 1 FROM \"{}\" LIMIT 1", table.name))?.exists([])? {
                return Err(Error::NotEmpty(self.place.path().display().to_string()));
            }
        }
        transaction.execute(&format!("DELETE FROM {EVENT_STATE}"), [])?;
        source(&mut |moving| match moving {
            Moving::Row(table, row) => insert(&transaction, table, row),
            Moving::LastId(table, last) => remember(&transaction, table, last),
        })?;
        transaction.commit()?;
        Ok(())
    }
}

/// A value as its column has it.
struct Placed(Holds, Value);

impl ToSql for Placed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match (&self.1, self.0) {
            (Value::Null, _) => ValueRef::Null,
            (Value::Integer(value), _) => ValueRef::Integer(*value),
            (Value::Bytes(bytes), Holds::Texts) => ValueRef::Text(bytes),
            (Value::Bytes(bytes), _) => ValueRef::Blob(bytes),
        }))
    }
}

fn insert(connection: &Connection, table: &Table, row: Row) -> Result<()> {
    let columns = table.columns();
    let places = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO \"{}\" ({}) VALUES ({places})", table.name, table.names());
    let mut values = Vec::with_capacity(columns.len());
    for ((_, holds), value) in columns.into_iter().zip(row.0) {
        if holds == Holds::Texts
            && let Value::Bytes(bytes) = &value
            && std::str::from_utf8(bytes).is_err()
        {
            return Err(misplaced(table));
        }
        values.push(Placed(holds, value));
    }
    connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

/// Sees to it that ids up to the last are never given again.
fn remember(connection: &Connection, table: &str, last: i64) -> Result<()> {
    if let Some(kind) = KINDS.into_iter().find(|kind: &Kind| kind.table() == table) {
        connection
            .execute("INSERT INTO freed (kind, greatest_id) VALUES (?1, ?2)", params![kind as i64, last])?;
        return Ok(());
    }
    let known =
        connection.execute("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1", params![table, last])?;
    if known == 0 {
        connection
            .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, last])?;
    }
    Ok(())
}
