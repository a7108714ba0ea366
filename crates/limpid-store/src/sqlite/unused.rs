//! What of the rows that a collection comes to is used, and freeing what is not. All but [`used_paths`] is to be called
//! inside a write transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::exposures;
use crate::diff::StoredDiff;
use crate::kind::Kind;
use crate::upkeep::Freed;
use crate::{Error, Result};

/// Whether an image ends in the node, or did before it was analysed anew, or a child of it is not marked.
pub(super) fn is_node_used(connection: &Connection, node: i64) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM image WHERE node_id = ?1) OR EXISTS (SELECT 1 FROM image_former WHERE node_id = ?1)
            OR EXISTS (SELECT 1 FROM node c
            WHERE c.parent_id = ?1 AND NOT EXISTS (SELECT 1 FROM unused WHERE kind = ?2 AND id = c.node_id))",
    )?;
    Ok(statement.query_row(params![node, Kind::Node as i64], |row| row.get(0))?)
}

/// Frees a node, and what of its diff nothing else names. How many rows that were.
pub(super) fn free_node(connection: &Connection, node: i64, freed: &mut Freed) -> Result<usize> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached("SELECT diff FROM node WHERE node_id = ?1")?
        .query_row([node], |row| row.get(0))
        .optional()?;
    let Some(body) = body else {
        // A mark of a node that is gone.
        Kind::Node.unmark(connection, node)?;
        return Ok(1);
    };
    let diff = StoredDiff::decode(&body)?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM node_change WHERE occurrence_id = ?1 AND node_id = ?2 AND brings = ?3",
    )?;
    let mut rows = 1;
    for (occurrence, brings) in diff.changes() {
        rows += delete.execute(params![occurrence, node, brings])?;
    }
    freed.nodes += Kind::Node.delete(connection, node)?;
    for occurrence in diff.occurrences() {
        rows += free_occurrence(connection, occurrence, freed)?;
    }
    for path in diff.paths() {
        Kind::Text.mark(connection, path, 0)?;
    }
    Ok(rows)
}

/// Frees an occurrence that no node names, and its package and verdicts if no other has them.
fn free_occurrence(connection: &Connection, occurrence: i64, freed: &mut Freed) -> Result<usize> {
    let row: Option<(i64, i64)> = connection
        .prepare_cached(
            "SELECT package_id, context_id FROM occurrence o WHERE occurrence_id = ?1
             AND NOT EXISTS (SELECT 1 FROM node_change c WHERE c.occurrence_id = o.occurrence_id)",
        )?
        .query_row([occurrence], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((package, context)) = row else { return Ok(0) };
    exposures::free(connection, occurrence, package, context)?;
    freed.occurrences += Kind::Occurrence.delete(connection, occurrence)?;
    let verdicts = connection
        .prepare_cached(
            "DELETE FROM verdict WHERE package_id = ?1 AND context_id = ?2 AND NOT EXISTS (
                SELECT 1 FROM occurrence WHERE package_id = ?1 AND context_id = ?2)",
        )?
        .execute([package, context])?;
    connection
        .prepare_cached(
            "DELETE FROM former_verdict WHERE package_id = ?1 AND context_id = ?2 AND NOT EXISTS (
                SELECT 1 FROM occurrence WHERE package_id = ?1 AND context_id = ?2)",
        )?
        .execute([package, context])?;
    let packages = connection
        .prepare_cached(
            "DELETE FROM package WHERE package_id = ?1
             AND NOT EXISTS (SELECT 1 FROM occurrence WHERE package_id = ?1)",
        )?
        .execute([package])?;
    if packages > 0 {
        connection.prepare_cached("DELETE FROM signed_source WHERE package_id = ?1")?.execute([package])?;
    }
    Kind::Context.mark(connection, context, 0)?;
    freed.verdicts += verdicts as u64;
    freed.packages += packages as u64;
    Ok(1 + verdicts + packages)
}

/// The rows of a kind that are marked.
pub(super) fn marked(connection: &Connection, kind: Kind) -> Result<BTreeSet<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM unused WHERE kind = ?1")?;
    Ok(statement.query_map([kind as i64], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Tells the paths that diffs name, of at most `nodes_max` nodes after one; the last of them.
pub(super) fn used_paths(
    connection: &Connection,
    after: i64,
    nodes_max: usize,
    tell: &mut dyn FnMut(i64),
) -> Result<Option<i64>> {
    let mut statement = connection
        .prepare_cached("SELECT node_id, diff FROM node WHERE node_id > ?1 ORDER BY node_id LIMIT ?2")?;
    let limit = i64::try_from(nodes_max).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after, limit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        let diff = row.get_ref(1)?.as_blob().map_err(|error| Error::Corrupt(error.to_string()))?;
        StoredDiff::decode(diff)?.paths().into_iter().for_each(&mut *tell);
    }
    Ok(last)
}
