//! The tables as streams of rows; see `crate::transfer`. Rows come in by `COPY`, a piece at a time.

use std::collections::BTreeMap;

use postgres::types::{ToSql, Type};

use super::PostgresStore;
use super::connection::{Connection, column};
use super::ids::{Counter, Lock};
use crate::transfer::{
    EVENT_STATE, Holds, KINDS, Moving, MovingSink, MovingSource, NUMBERED, Row, TABLES, Table, Transfer,
    Value, misplaced,
};
use crate::{Error, Result};

/// Rows and bytes that are gathered before they are sent.
const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 8 << 20;
/// Tables whose ids come from sequences, and their ids.
const SEQUENCES: [(&str, &str); 13] = [
    ("text", "text_id"),
    ("extractors", "extractors_id"),
    ("layer", "layer_id"),
    ("package", "package_id"),
    ("context", "context_id"),
    ("occurrence", "occurrence_id"),
    ("config", "config_id"),
    ("label", "label_id"),
    ("repository", "repository_id"),
    ("segment", "segment_id"),
    ("feed", "feed_id"),
    ("advisory", "advisory_id"),
    ("affected", "affected_id"),
];

impl Transfer for PostgresStore {
    fn export(&self, sink: &mut MovingSink<'_>) -> Result<()> {
        // What was told is not told again: a connection that breaks ends it.
        let mut told = false;
        self.pool.snapshot(|connection| {
            if std::mem::replace(&mut told, true) {
                return Err(Error::Engine(
                    "the connection broke while the store was read; begin again".to_owned(),
                ));
            }
            for table in TABLES {
                export(connection, table, sink)?;
            }
            let kinds = KINDS.map(|kind| kind.table());
            for table in kinds.into_iter().chain(NUMBERED.map(|(table, _)| table)) {
                sink(Moving::LastId(table, last_id(connection, table)?))?;
            }
            Ok(())
        })
    }

    fn import(&self, source: &mut MovingSource<'_>) -> Result<()> {
        let mut told = false;
        self.pool.write(|connection| {
            if std::mem::replace(&mut told, true) {
                return Err(Error::Engine(
                    "the connection broke while the store was written; begin again".to_owned(),
                ));
            }
            for lock in [Lock::Tree, Lock::Texts, Lock::Said] {
                lock.take(connection)?;
            }
            for table in TABLES.iter().filter(|table| table.name != EVENT_STATE) {
                let any: bool =
                    connection.value(&format!("SELECT EXISTS (SELECT 1 FROM {})", table.name), &[])?;
                if any {
                    return Err(Error::NotEmpty(self.pool.address().shown.clone()));
                }
            }
            connection.batch(&format!("DELETE FROM {EVENT_STATE}"))?;
            let (mut gathered, mut last_ids) = (Gathered::default(), BTreeMap::new());
            source(&mut |moving| match moving {
                Moving::Row(table, row) => gathered.add(connection, table, row),
                Moving::LastId(table, last) => {
                    gathered.send(connection)?;
                    last_ids.insert(table, last);
                    Ok(())
                }
            })?;
            gathered.send(connection)?;
            restart(connection, &last_ids)?;
            connection.batch("ANALYZE")
        })
    }
}

fn export(connection: &mut Connection, table: &'static Table, sink: &mut MovingSink<'_>) -> Result<()> {
    let columns = table.columns();
    connection.each(&format!("SELECT {} FROM {}", table.names(), table.name), &[], &mut |row| {
        let value = |(position, (_, holds)): (usize, &(&str, Holds))| {
            Ok(match holds {
                Holds::Integers => column::<Option<i64>>(row, position)?.map_or(Value::Null, Value::Integer),
                Holds::Texts | Holds::Bytes => {
                    column::<Option<Vec<u8>>>(row, position)?.map_or(Value::Null, Value::Bytes)
                }
            })
        };
        let values = columns.iter().enumerate().map(value).collect::<Result<_>>()?;
        sink(Moving::Row(table, Row(values)))
    })
}

/// The counter that a table's ids come from, if they do.
fn counter(table: &str) -> Option<Counter> {
    match table {
        "node" => Some(Counter::Node),
        "image" => Some(Counter::Image),
        "revision" => Some(Counter::Revision),
        "event" => Some(Counter::Event),
        "job" => Some(Counter::Job),
        _ => None,
    }
}

fn last_id(connection: &mut Connection, table: &str) -> Result<i64> {
    if let Some(counter) = counter(table) {
        return counter.last(connection);
    }
    connection.value(
        "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('limpid.' || $1::text, $1::text || '_id')::regclass), 0)",
        &[&table],
    )
}

/// Sees to it that ids up to the last are never given again.
fn restart(connection: &mut Connection, last_ids: &BTreeMap<&'static str, i64>) -> Result<()> {
    for (table, last) in last_ids {
        if let Some(counter) = counter(table) {
            connection.execute("UPDATE counter SET last = $2 WHERE kind = $1", &[&(counter as i64), last])?;
        }
    }
    for (table, id) in SEQUENCES {
        let greatest: i64 = connection.value(&format!("SELECT coalesce(max({id}), 0) FROM {table}"), &[])?;
        let next = greatest.max(last_ids.get(table).copied().unwrap_or(0)).saturating_add(1);
        connection.batch(&format!("ALTER TABLE {table} ALTER COLUMN {id} RESTART WITH {next}"))?;
    }
    Ok(())
}

/// Rows of one table that are not sent yet.
#[derive(Default)]
struct Gathered {
    table: Option<&'static Table>,
    rows: Vec<Row>,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, connection: &mut Connection, table: &'static Table, row: Row) -> Result<()> {
        let is_other = self.table.is_some_and(|gathered| gathered.name != table.name);
        if is_other || self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            self.send(connection)?;
        }
        self.table = Some(table);
        let size = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) => 8,
        };
        self.bytes += row.0.iter().map(size).sum::<usize>();
        self.rows.push(row);
        Ok(())
    }

    fn send(&mut self, connection: &mut Connection) -> Result<()> {
        let (rows, Some(table)) = (std::mem::take(&mut self.rows), self.table) else { return Ok(()) };
        self.bytes = 0;
        let columns = table.columns();
        let kind = |(_, holds): &(&str, Holds)| match holds {
            Holds::Integers => Type::INT8,
            Holds::Texts | Holds::Bytes => Type::BYTEA,
        };
        let types: Vec<Type> = columns.iter().map(kind).collect();
        let sql = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.names());
        connection.copy(&sql, &types, &mut |copy| {
            for row in &rows {
                let (integer, bytes): (Option<i64>, Option<&[u8]>) = (None, None);
                let values = columns.iter().zip(&row.0).map(|((_, holds), value)| {
                    Ok(match (value, holds) {
                        (Value::Integer(value), Holds::Integers) => value as &(dyn ToSql + Sync),
                        (Value::Bytes(value), Holds::Texts | Holds::Bytes) => value,
                        (Value::Null, Holds::Integers) => &integer,
                        (Value::Null, _) => &bytes,
                        _ => return Err(misplaced(table)),
                    })
                });
                copy.write(&values.collect::<Result<Vec<_>>>()?)?;
            }
            Ok(())
        })
    }
}
