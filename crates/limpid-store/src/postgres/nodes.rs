//! Package set nodes: a tree of diffs over interned occurrences.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Context, Digest, Hasher, Occurrence, PackageDiff};

use super::connection::{Connection, column};
use super::ids::{Counter, Lock, unmark};
use super::{occurrences, texts};
use crate::diff::StoredDiff;
use crate::kind::Kind;
use crate::store::{LayerContents, NodeId, OccurrenceId};
use crate::{Error, Result, codec};

pub(super) fn node(connection: &mut Connection, chain_key: &Digest) -> Result<Option<NodeId>> {
    let row = connection
        .row("SELECT node_id FROM chain WHERE chain_key = $1", &[&chain_key.as_bytes().as_slice()])?;
    row.map(|row| column(&row, 0).map(NodeId)).transpose()
}

pub(super) fn put_node(
    connection: &mut Connection,
    chain_key: &Digest,
    parent: Option<NodeId>,
    diff: &PackageDiff,
) -> Result<NodeId> {
    Lock::Tree.share(connection)?;
    Lock::Texts.share(connection)?;
    ensure(connection, chain_key, parent, diff)
}

/// The node that a chain leads to, made if need be. The tree and the texts are locked.
pub(super) fn ensure(
    connection: &mut Connection,
    chain_key: &Digest,
    parent: Option<NodeId>,
    diff: &PackageDiff,
) -> Result<NodeId> {
    if let Some(known) = node(connection, chain_key)? {
        return Ok(known);
    }
    let parent_key = match parent {
        Some(parent) => Some(key_of(connection, parent)?),
        None => None,
    };
    let id = match parent {
        Some(parent) if diff.is_empty() => parent,
        parent => insert_node(connection, parent, parent_key, diff)?,
    };
    connection.execute(
        "INSERT INTO chain (chain_key, node_id) VALUES ($1, $2) ON CONFLICT (chain_key) DO NOTHING",
        &[&chain_key.as_bytes().as_slice(), &id.0],
    )?;
    // A collection that found the node unused has let its chains go already, and must begin again.
    unmark(connection, Kind::Node, &[id.0])?;
    Ok(id)
}

fn gone(node: i64) -> Error {
    Error::Gone(format!("package set node {node}"))
}

/// The node's key; fails if it was freed meanwhile.
fn key_of(connection: &mut Connection, node: NodeId) -> Result<Digest> {
    let row = connection.row("SELECT node_key FROM node WHERE node_id = $1", &[&node.0])?;
    let row = row.ok_or_else(|| gone(node.0))?;
    crate::column::digest(&column::<Vec<u8>>(&row, 0)?)
}

/// Fails if one of the nodes was freed meanwhile.
pub(super) fn expect(connection: &mut Connection, nodes: &BTreeSet<i64>) -> Result<()> {
    let wanted: Vec<i64> = nodes.iter().copied().collect();
    let found: BTreeSet<i64> = connection
        .values("SELECT node_id FROM node WHERE node_id = ANY($1)", &[&wanted])?
        .into_iter()
        .collect();
    match nodes.iter().find(|node| !found.contains(node)) {
        Some(node) => Err(gone(*node)),
        None => Ok(()),
    }
}

fn insert_node(
    connection: &mut Connection,
    parent: Option<NodeId>,
    parent_key: Option<Digest>,
    diff: &PackageDiff,
) -> Result<NodeId> {
    // The node's identity: its parent's, and what it did.
    let mut hasher = Hasher::new();
    if let Some(key) = parent_key {
        hasher.update(key.as_bytes());
    }
    hasher.update(&codec::encode(diff)?);
    let key = hasher.finish();
    let known = |connection: &mut Connection| -> Result<Option<NodeId>> {
        let row =
            connection.row("SELECT node_id FROM node WHERE node_key = $1", &[&key.as_bytes().as_slice()])?;
        row.map(|row| column(&row, 0).map(NodeId)).transpose()
    };
    if let Some(known) = known(connection)? {
        return Ok(known);
    }
    let stored = occurrences::store_diff(connection, diff)?;
    let body = codec::encode(&stored)?;
    let id = Counter::Node.next(connection)?;
    // Somebody else may have stored it while this one waited for the counter.
    if let Some(known) = known(connection)? {
        return Ok(known);
    }
    connection.execute(
        "INSERT INTO node (node_id, node_key, parent_id, diff) VALUES ($1, $2, $3, $4)",
        &[&id, &key.as_bytes().as_slice(), &parent.map(|parent| parent.0), &body],
    )?;
    let changes: Vec<(i64, i64)> = stored.changes().collect();
    let changed: Vec<i64> = changes.iter().map(|(occurrence, _)| *occurrence).collect();
    let brings: Vec<i64> = changes.iter().map(|(_, brings)| *brings).collect();
    connection.execute(
        "INSERT INTO node_change (occurrence_id, node_id, brings)
         SELECT occurrence_id, $1::bigint, brings FROM unnest($2::bigint[], $3::bigint[]) AS w (occurrence_id, brings)",
        &[&id, &changed, &brings],
    )?;
    Ok(NodeId(id))
}

pub(super) fn contents(
    connection: &mut Connection,
    nodes: &[NodeId],
) -> Result<(Vec<LayerContents>, BTreeMap<OccurrenceId, Occurrence>)> {
    let wanted: Vec<i64> = nodes.iter().map(|node| node.0).collect::<BTreeSet<_>>().into_iter().collect();
    let rows = connection.query("SELECT node_id, diff FROM node WHERE node_id = ANY($1)", &[&wanted])?;
    let mut diffs: BTreeMap<i64, StoredDiff> = rows
        .iter()
        .map(|row| Ok((column(row, 0)?, StoredDiff::decode(&column::<Vec<u8>>(row, 1)?)?)))
        .collect::<Result<_>>()?;
    let paths = diffs.values().flat_map(StoredDiff::paths).collect();
    let paths = texts::values(connection, &paths)?;
    let named = diffs.values().flat_map(StoredDiff::occurrences).collect();
    let occurrences = occurrences::by_ids(connection, &named)?;
    if let Some(id) = named.iter().find(|id| !occurrences.contains_key(id)) {
        return Err(Error::Corrupt(format!("occurrence {id} is missing")));
    }
    let mut layers = Vec::with_capacity(nodes.len());
    let mut previous = None;
    for node in nodes {
        // A layer that changed nothing shares the node of the layer below it.
        if previous == Some(*node) {
            layers.push(LayerContents::default());
            continue;
        }
        previous = Some(*node);
        let diff = diffs.remove(&node.0).ok_or_else(|| gone(node.0))?;
        layers.push(diff.contents(&mut |path| texts::value(&paths, path))?);
    }
    let occurrences =
        occurrences.into_iter().map(|(id, occurrence)| (OccurrenceId(id), occurrence)).collect();
    Ok((layers, occurrences))
}

/// Occurrences by their ids, those that are there.
pub(super) fn occurrences(
    connection: &mut Connection,
    ids: &[OccurrenceId],
) -> Result<BTreeMap<OccurrenceId, Occurrence>> {
    let ids = ids.iter().map(|id| id.0).collect();
    let found = occurrences::by_ids(connection, &ids)?;
    Ok(found.into_iter().map(|(id, occurrence)| (OccurrenceId(id), occurrence)).collect())
}

pub(super) fn contexts(connection: &mut Connection) -> Result<Vec<Context>> {
    let bodies: Vec<Vec<u8>> = connection.values("SELECT body FROM context ORDER BY release, body", &[])?;
    bodies.iter().map(|body| codec::decode(body, "a context")).collect()
}
