//! Answers about all images, from segments (`segments.rs`) and what is kept by image.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Digest, Occurrence};

use super::connection::{Connection, column, text};
use super::segments::Snapshot;
use super::{descriptions, occurrences, references};
use crate::column::{digest, integer};
use crate::store::{ImageId, NEWEST, NodeId, OccurrenceId};
use crate::{ImageFilter, ImageSet, ImageSummary, Result, SharedNode, segment_query};

pub(super) fn select(connection: &mut Connection, filter: &ImageFilter) -> Result<ImageSet> {
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
            connection.each(
                "SELECT image_id FROM image_label WHERE label_id = $1",
                &[&label],
                &mut |row| {
                    labelled.insert(ImageId(column(row, 0)?));
                    Ok(())
                },
            )?;
        }
        selected = selected.intersection(&labelled);
    }
    Ok(selected)
}

/// The last image that was there at a time: ids grow with the times.
fn last_seen_by(connection: &mut Connection, time: i64) -> Result<ImageId> {
    // Images up to the first were there, from the second on none was.
    let newest: i64 = connection.value("SELECT coalesce(max(image_id), 0) FROM image", &[])?;
    let (mut there, mut later) = (0, newest + 1);
    while later - there > 1 {
        let middle = there + (later - there) / 2;
        let next = connection.row(
            "SELECT image_id, first_seen FROM image WHERE image_id >= $1 ORDER BY image_id LIMIT 1",
            &[&middle],
        )?;
        match next {
            Some(row) if column::<i64>(&row, 1)? <= time => there = column(&row, 0)?,
            _ => later = middle,
        }
    }
    Ok(ImageId(there))
}

pub(super) fn holding_at(
    connection: &mut Connection,
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

pub(super) fn summaries(connection: &mut Connection, images: &[ImageId]) -> Result<Vec<ImageSummary>> {
    let wanted: Vec<i64> = images.iter().map(|image| image.0).collect();
    let rows = connection
        .query("SELECT image_id, manifest_digest, release FROM image WHERE image_id = ANY($1)", &[&wanted])?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let id = ImageId(column(row, 0)?);
        let manifest_digest = digest(&column::<Vec<u8>>(row, 1)?)?;
        found
            .insert(id, ImageSummary { id, manifest_digest, release: text(row, 2)?, references: Vec::new() });
    }
    for (image, references) in references::of_images(connection, &wanted)? {
        if let Some(summary) = found.get_mut(&ImageId(image)) {
            summary.references = references;
        }
    }
    Ok(images.iter().filter_map(|image| found.get(image).cloned()).collect())
}

pub(super) fn source_names(connection: &mut Connection) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    connection.each("SELECT DISTINCT source_name FROM package", &[], &mut |row| {
        names.insert(text(row, 0)?);
        Ok(())
    })?;
    Ok(names)
}

pub(super) fn occurrences_named(
    connection: &mut Connection,
    name: &str,
) -> Result<Vec<(OccurrenceId, Occurrence)>> {
    let sql = format!(
        "SELECT {} WHERE (p.source_key = $1 AND p.source_name = $2) OR (p.name_key = $1 AND p.name = $2)
         ORDER BY o.occurrence_id",
        occurrences::COLUMNS
    );
    let hash = Digest::of(name.as_bytes());
    let rows = connection.query(&sql, &[&hash.as_bytes().get(..8).unwrap_or_default(), &name.as_bytes()])?;
    let read = |row: &postgres::Row| {
        let (id, occurrence) = occurrences::read(row)?;
        Ok((OccurrenceId(id), occurrence))
    };
    rows.iter().map(read).collect()
}

/// Counts images at the nodes that they end in, and adds up the tree: children have greater ids than their parents.
pub(super) fn shared_nodes(
    connection: &mut Connection,
    images: &ImageSet,
    limit: usize,
) -> Result<(Vec<SharedNode>, u64)> {
    let mut counts: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
    // An image without layers has no node; no node has id 0.
    connection.each("SELECT node_id, image_id FROM image WHERE node_id != 0", &[], &mut |row| {
        let (node, image): (i64, i64) = (column(row, 0)?, column(row, 1)?);
        if images.contains(ImageId(image)) {
            add(&mut counts, node, 1, image);
        }
        Ok(())
    })?;
    let parents = parents(connection, counts.keys().copied().collect())?;
    let mut nodes = Vec::new();
    while let Some((node, (images, example))) = counts.pop_last() {
        if let Some(above) = parents.get(&node) {
            add(&mut counts, *above, images, example);
        }
        nodes.push(SharedNode { node: NodeId(node), images, example: ImageId(example) });
    }
    let others = nodes.len().saturating_sub(limit);
    nodes.sort_by_key(|node| (std::cmp::Reverse(node.images), node.node));
    nodes.truncate(limit);
    Ok((nodes, others as u64))
}

/// The parents of nodes, and of these, up to the roots.
fn parents(connection: &mut Connection, mut nodes: Vec<i64>) -> Result<BTreeMap<i64, i64>> {
    let mut parents = BTreeMap::new();
    while !nodes.is_empty() {
        let mut next = BTreeSet::new();
        connection.each(
            "SELECT node_id, parent_id FROM node WHERE node_id = ANY($1) AND parent_id IS NOT NULL",
            &[&nodes],
            &mut |row| {
                let (node, parent): (i64, i64) = (column(row, 0)?, column(row, 1)?);
                parents.insert(node, parent);
                next.insert(parent);
                Ok(())
            },
        )?;
        nodes = next.into_iter().filter(|node| !parents.contains_key(node)).collect();
    }
    Ok(parents)
}

fn add(counts: &mut BTreeMap<i64, (u64, i64)>, node: i64, images: u64, example: i64) {
    let entry = counts.entry(node).or_insert((0, example));
    *entry = (entry.0 + images, entry.1.min(example));
}

pub(super) fn images_at(connection: &mut Connection, node: NodeId, limit: usize) -> Result<Vec<ImageId>> {
    let images = connection.values(
        "SELECT image_id FROM image WHERE node_id = $1 ORDER BY image_id LIMIT $2",
        &[&node.0, &i64::try_from(limit).unwrap_or(i64::MAX)],
    )?;
    Ok(images.into_iter().map(ImageId).collect())
}
