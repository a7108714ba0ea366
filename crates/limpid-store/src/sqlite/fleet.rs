//! Answers about all images: a walk from occurrences over the tree of nodes to images.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{digest, nodes};
use crate::Result;
use crate::store::{ImageId, ImageSummary, OccurrenceId};
use limpid_model::Occurrence;

pub(super) fn images(connection: &Connection) -> Result<Vec<ImageSummary>> {
    let mut statement = connection
        .prepare_cached("SELECT image_id, manifest_digest, release FROM image ORDER BY image_id")?;
    let mut references = connection
        .prepare_cached("SELECT reference FROM reference WHERE image_id = ?1 ORDER BY reference")?;
    let mut rows = statement.query([])?;
    let mut images = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        images.push(ImageSummary {
            id: ImageId(id),
            manifest_digest: digest(&row.get::<_, Vec<u8>>(1)?)?,
            release: row.get(2)?,
            references: references.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?,
        });
    }
    Ok(images)
}

pub(super) fn source_names(connection: &Connection) -> Result<BTreeSet<String>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT source_name FROM package")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

pub(super) fn occurrences_named(
    connection: &Connection,
    name: &str,
) -> Result<Vec<(OccurrenceId, Occurrence)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT o.occurrence_id, {} WHERE p.source_name = ?1 OR p.name = ?1 ORDER BY o.occurrence_id",
        nodes::OCCURRENCE_COLUMNS
    ))?;
    let mut rows = statement.query([name])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((OccurrenceId(row.get(0)?), nodes::read_occurrence(row, 1)?));
    }
    Ok(found)
}

pub(super) fn images_with(
    connection: &mut Connection,
    occurrences: &[OccurrenceId],
) -> Result<Vec<(ImageId, OccurrenceId)>> {
    let transaction = connection.transaction()?;
    // A node holds what it brings and what its parent holds, but for what it takes away.
    let mut statement = transaction.prepare_cached(
        "WITH RECURSIVE holds (node_id) AS (
            SELECT node_id FROM node_change WHERE occurrence_id = ?1 AND brings = 1
            UNION
            SELECT child.node_id FROM holds JOIN node child ON child.parent_id = holds.node_id
            WHERE NOT EXISTS (SELECT 1 FROM node_change WHERE occurrence_id = ?1
                              AND node_id = child.node_id AND brings = 0)
         )
         SELECT image_id FROM holds JOIN image USING (node_id)",
    )?;
    let mut found = BTreeSet::new();
    for occurrence in occurrences {
        let mut rows = statement.query(params![occurrence.0])?;
        while let Some(row) = rows.next()? {
            found.insert((ImageId(row.get(0)?), *occurrence));
        }
    }
    Ok(found.into_iter().collect())
}
