//! Answers about all images, from segments (`segments.rs`) and what is kept by image.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Occurrence;
use rusqlite::{Connection, OptionalExtension, params};

use super::segments::Snapshot;
use super::{descriptions, digest, integer, nodes, references};
use crate::store::{ImageId, NEWEST, NodeId, OccurrenceId};
use crate::{ImageFilter, ImageSet, ImageSummary, Result, SharedNode, segment_query};

pub(super) fn select(connection: &Connection, filter: &ImageFilter) -> Result<ImageSet> {
    let mut snapshot = Snapshot(connection);
    let mut selected = match filter.release.as_str() {
        "" => segment_query::all(&mut snapshot)?,
        release => segment_query::of_release(&mut snapshot, release)?,
    };
    if let Some(last) = filter.last {
        selected = selected.up_to(last);
    }
    if let Some(time) = filter.there_at {
        selected = selected.up_to(last_seen_by(connection, time)?);
    }
    let there_at = filter.there_at.unwrap_or(i64::MAX);
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

/// The last image that was there at a time: ids grow with the times.
fn last_seen_by(connection: &Connection, time: i64) -> Result<ImageId> {
    let mut statement = connection.prepare_cached(
        "SELECT image_id, first_seen FROM image WHERE image_id >= ?1 ORDER BY image_id LIMIT 1",
    )?;
    // Images up to the first were there, from the second on none was.
    let newest = connection
        .prepare_cached("SELECT coalesce(max(image_id), 0) FROM image")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    let (mut there, mut later) = (0, newest + 1);
    while later - there > 1 {
        let middle = there + (later - there) / 2;
        let next: Option<(i64, i64)> =
            statement.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match next {
            Some((image, first_seen)) if first_seen <= time => there = image,
            _ => later = middle,
        }
    }
    Ok(ImageId(there))
}

pub(super) fn holding_at(
    connection: &Connection,
    occurrences: &[OccurrenceId],
    revision: u64,
) -> Result<ImageSet> {
    let mut snapshot = Snapshot(connection);
    let holding = segment_query::holding(&mut snapshot, occurrences)?;
    let former = match revision {
        NEWEST => Vec::new(),
        revision => snapshot.former_members(integer(revision))?,
    };
    let changed: ImageSet = former.iter().map(|member| ImageId(member.image)).collect();
    let held = segment_query::holding_among(&mut snapshot, former, occurrences)?;
    Ok(holding.difference(&changed).union(&held))
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
