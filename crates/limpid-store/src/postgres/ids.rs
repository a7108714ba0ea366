//! Ids, locks and marks.
//!
//! Ids of nodes, images, revisions and events come from counter rows, which stay locked until their transaction has ended: so
//! they commit in their order, and who has seen one has seen all before it. They are taken as late as possible. Other
//! ids come from sequences. Neither gives an id twice.
//!
//! Writers that store what uses other rows share a lock that a collection takes alone for each of its short
//! transactions. So what a writer found is there when it has stored what uses it, as in an engine with one writer.

use std::collections::BTreeMap;

use super::connection::{Connection, column};
use crate::Result;
use crate::kind::Kind;

/// What commits in the order of its ids. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    Node = 2,
    Image = 4,
    Revision = 7,
    Event = 8,
    Job = 9,
}

impl Counter {
    /// As many ids as are wanted, of which this is the last.
    pub(super) fn next_of(self, connection: &mut Connection, wanted: i64) -> Result<i64> {
        connection.value(
            "UPDATE counter SET last = last + $2 WHERE kind = $1 RETURNING last",
            &[&(self as i64), &wanted],
        )
    }

    /// The last id that was given. No other transaction gets one until this one has ended.
    pub(super) fn hold(self, connection: &mut Connection) -> Result<i64> {
        connection.value("SELECT last FROM counter WHERE kind = $1 FOR UPDATE", &[&(self as i64)])
    }

    /// The last id that was given by a transaction that has ended.
    pub(super) fn last(self, connection: &mut Connection) -> Result<i64> {
        connection.value("SELECT last FROM counter WHERE kind = $1", &[&(self as i64)])
    }

    /// The next id. No other transaction gets one until this one has ended.
    pub(super) fn next(self, connection: &mut Connection) -> Result<i64> {
        connection
            .value("UPDATE counter SET last = last + 1 WHERE kind = $1 RETURNING last", &[&(self as i64)])
    }
}

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Layers, nodes, images, and what they use.
    Tree,
    /// Texts.
    Texts,
    /// What images say alike, and repositories: shared by who adds an image, alone for who takes one away or replaces it.
    Said,
}

impl Lock {
    /// The key of the advisory lock: "Lmpd" and a name.
    fn key(self) -> i64 {
        match self {
            Self::Tree => 0x4c6d_7064_7472_6565,
            Self::Texts => 0x4c6d_7064_7465_7874,
            Self::Said => 0x4c6d_7064_7361_6964,
        }
    }

    /// Beside other writers, until the transaction ends. Who takes several takes them in this order: tree, texts, said. Of counters the order is: node, revision, image, event.
    pub(super) fn share(self, connection: &mut Connection) -> Result<()> {
        connection.execute("SELECT pg_advisory_xact_lock_shared($1)", &[&self.key()]).map(drop)
    }

    /// Alone, until the transaction ends.
    pub(super) fn take(self, connection: &mut Connection) -> Result<()> {
        connection.execute("SELECT pg_advisory_xact_lock($1)", &[&self.key()]).map(drop)
    }
}

/// Notes that nothing uses the rows since `since`, if that is not noted yet.
pub(super) fn mark(connection: &mut Connection, kind: Kind, ids: &[i64], since: i64) -> Result<()> {
    if !ids.is_empty() {
        connection.execute(
            "INSERT INTO unused (kind, id, since) SELECT $1::bigint, id, $3::bigint FROM unnest($2::bigint[]) AS w (id) ORDER BY id
             ON CONFLICT (kind, id) DO NOTHING",
            &[&(kind as i64), &ids, &since],
        )?;
    }
    Ok(())
}

/// Notes that the rows are used, or no longer there.
pub(super) fn unmark(connection: &mut Connection, kind: Kind, ids: &[i64]) -> Result<()> {
    if !ids.is_empty() {
        connection.execute("DELETE FROM unused WHERE kind = $1 AND id = ANY($2)", &[&(kind as i64), &ids])?;
    }
    Ok(())
}

/// Deletes rows by their ids, with their marks. How many that were.
pub(super) fn delete(connection: &mut Connection, kind: Kind, ids: &[i64]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let table = kind.table();
    let deleted = connection.execute(&format!("DELETE FROM {table} WHERE {table}_id = ANY($1)"), &[&ids])?;
    unmark(connection, kind, ids)?;
    Ok(deleted)
}

/// The values of two columns as a map.
pub(super) fn pairs(rows: &[postgres::Row]) -> Result<BTreeMap<Vec<u8>, i64>> {
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}
