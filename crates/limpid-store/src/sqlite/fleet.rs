//! Answers about all images: a walk from occurrences over the tree of nodes to images.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Occurrence;
use rusqlite::{Connection, OptionalExtension, params};

use super::{descriptions, digest, nodes, references};
use crate::store::{ImageId, NodeId, OccurrenceId};
use crate::{ImageFilter, ImageSet, ImageSummary, Result, SharedNode};

pub(super) fn select(connection: &Connection, filter: &ImageFilter) -> Result<ImageSet> {
    let there_at = filter.there_at.unwrap_or(i64::MAX);
    let last = filter.last.map_or(i64::MAX, |last| last.0);
    let mut statement = connection.prepare_cached(
        "SELECT image_id FROM image WHERE image_id <= ?1 AND (?2 = '' OR release = ?2)
         AND first_seen <= ?3 ORDER BY image_id",
    )?;
    let selected =
        statement.query_map(params![last, filter.release, there_at], |row| row.get(0).map(ImageId))?;
    let mut selected: ImageSet = selected.collect::<Result<_, _>>()?;
    if !filter.repository.is_empty() {
        selected = selected.intersection(&references::images_of(connection, &filter.repository, there_at)?);
    }
    for (key, value) in &filter.labels {
        let mut labelled = ImageSet::default();
        if let Some(label) = descriptions::label_id(connection, key, value)? {
            let mut images =
                connection.prepare_cached("SELECT image_id FROM image_label WHERE label_id = ?1")?;
            let mut rows = images.query([label])?;
            while let Some(row) = rows.next()? {
                labelled.insert(ImageId(row.get(0)?));
            }
        }
        selected = selected.intersection(&labelled);
    }
    Ok(selected)
}

pub(super) fn releases(connection: &Connection, images: &ImageSet) -> Result<BTreeMap<String, u64>> {
    let mut statement = connection.prepare_cached("SELECT image_id, release FROM image")?;
    let mut rows = statement.query([])?;
    let mut releases = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if images.contains(ImageId(row.get(0)?)) {
            *releases.entry(row.get(1)?).or_default() += 1;
        }
    }
    Ok(releases)
}

pub(super) fn holding(connection: &Connection, occurrences: &[OccurrenceId]) -> Result<ImageSet> {
    // A node holds what it brings and what its parent holds, but for what it takes away.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE holds (node_id) AS (
            SELECT node_id FROM node_change WHERE occurrence_id = ?1 AND brings = 1
            UNION
            SELECT child.node_id FROM holds JOIN node child ON child.parent_id = holds.node_id
            WHERE NOT EXISTS (SELECT 1 FROM node_change WHERE occurrence_id = ?1
                              AND node_id = child.node_id AND brings = 0)
         )
         SELECT image_id FROM holds JOIN image USING (node_id)",
    )?;
    let mut holding = ImageSet::default();
    for occurrence in occurrences {
        let mut rows = statement.query([occurrence.0])?;
        while let Some(row) = rows.next()? {
            holding.insert(ImageId(row.get(0)?));
        }
    }
    Ok(holding)
}

pub(super) fn counts(
    connection: &Connection,
    groups: &[Vec<OccurrenceId>],
    within: Option<&ImageSet>,
) -> Result<Vec<u64>> {
    let count = |group: &Vec<OccurrenceId>| {
        let holding = holding(connection, group)?;
        Ok(within.map_or(holding.len(), |within| holding.intersection_len(within)))
    };
    groups.iter().map(count).collect()
}

pub(super) fn summaries(connection: &Connection, images: &[ImageId]) -> Result<Vec<ImageSummary>> {
    let mut statement =
        connection.prepare_cached("SELECT manifest_digest, release FROM image WHERE image_id = ?1")?;
    let mut summaries = Vec::with_capacity(images.len());
    for image in images {
        let row: Option<(Vec<u8>, String)> =
            statement.query_row([image.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((manifest_digest, release)) = row else { continue };
        summaries.push(ImageSummary {
            id: *image,
            manifest_digest: digest(&manifest_digest)?,
            release,
            references: references::of_image(connection, *image)?,
        });
    }
    Ok(summaries)
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

/// Counts images at the nodes that they end in, and adds up the tree: children have greater ids than their parents.
pub(super) fn shared_nodes(
    connection: &Connection,
    images: &ImageSet,
    limit: usize,
) -> Result<(Vec<SharedNode>, u64)> {
    let mut counts: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
    // An image without layers has no node; no node has id 0.
    let mut ends = connection.prepare_cached("SELECT node_id, image_id FROM image WHERE node_id != 0")?;
    let mut rows = ends.query([])?;
    while let Some(row) = rows.next()? {
        let (node, image): (i64, i64) = (row.get(0)?, row.get(1)?);
        if images.contains(ImageId(image)) {
            add(&mut counts, node, 1, image);
        }
    }
    let mut parent = connection.prepare_cached("SELECT parent_id FROM node WHERE node_id = ?1")?;
    let mut nodes = Vec::new();
    while let Some((node, (images, example))) = counts.pop_last() {
        let above: Option<Option<i64>> = parent.query_row([node], |row| row.get(0)).optional()?;
        if let Some(above) = above.flatten() {
            add(&mut counts, above, images, example);
        }
        nodes.push(SharedNode { node: NodeId(node), images, example: ImageId(example) });
    }
    let others = nodes.len().saturating_sub(limit);
    nodes.sort_by_key(|node| (std::cmp::Reverse(node.images), node.node));
    nodes.truncate(limit);
    Ok((nodes, others as u64))
}

fn add(counts: &mut BTreeMap<i64, (u64, i64)>, node: i64, images: u64, example: i64) {
    let entry = counts.entry(node).or_insert((0, example));
    *entry = (entry.0 + images, entry.1.min(example));
}

pub(super) fn images_at(connection: &Connection, node: NodeId, limit: usize) -> Result<Vec<ImageId>> {
    let mut statement = connection
        .prepare_cached("SELECT image_id FROM image WHERE node_id = ?1 ORDER BY image_id LIMIT ?2")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(statement
        .query_map(params![node.0, limit], |row| row.get(0).map(ImageId))?
        .collect::<Result<_, _>>()?)
}
