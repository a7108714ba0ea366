//! Package set nodes: a tree of diffs over interned occurrences.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use limpid_model::{Context, Digest, Hasher, Occurrence, Owner, Package, PackageDiff};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::{digest, texts};
use crate::diff::StoredDiff;
use crate::kind::Kind;
use crate::store::{LayerContents, NodeId, OccurrenceId};
use crate::{Error, Result, codec};

pub(super) fn node(connection: &Connection, chain_key: &Digest) -> Result<Option<NodeId>> {
    let mut statement = connection.prepare_cached("SELECT node_id FROM chain WHERE chain_key = ?1")?;
    let row = statement.query_row([chain_key.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    Ok(row.map(NodeId))
}

pub(super) fn put_node(
    connection: &mut Connection,
    chain_key: &Digest,
    parent: Option<NodeId>,
    diff: &PackageDiff,
) -> Result<NodeId> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let id = ensure(&transaction, chain_key, parent, diff)?;
    transaction.commit()?;
    Ok(id)
}

/// The node that a chain leads to, made if need be. To be called inside a write transaction.
pub(super) fn ensure(
    connection: &Connection,
    chain_key: &Digest,
    parent: Option<NodeId>,
    diff: &PackageDiff,
) -> Result<NodeId> {
    if let Some(known) = node(connection, chain_key)? {
        return Ok(known);
    }
    if let Some(parent) = parent {
        expect(connection, parent)?;
    }
    let id = match parent {
        Some(parent) if diff.is_empty() => parent,
        parent => insert_node(connection, parent, diff)?,
    };
    connection
        .prepare_cached("INSERT INTO chain (chain_key, node_id) VALUES (?1, ?2)")?
        .execute(params![chain_key.as_bytes().as_slice(), id.0])?;
    // A collection that found the node unused has let its chains go already, and must begin again.
    Kind::Node.unmark(connection, id.0)?;
    Ok(id)
}

/// Fails if the node was freed meanwhile. To be called inside a write transaction.
pub(super) fn expect(connection: &Connection, node: NodeId) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM node WHERE node_id = ?1")?;
    match statement.exists([node.0])? {
        true => Ok(()),
        false => Err(Error::Gone(format!("package set node {}", node.0))),
    }
}

fn insert_node(connection: &Connection, parent: Option<NodeId>, diff: &PackageDiff) -> Result<NodeId> {
    let key = node_key(connection, parent, diff)?;
    let mut statement = connection.prepare_cached(
        "SELECT node_id FROM node WHERE substr(node_key, 1, 8) = substr(?1, 1, 8) AND node_key = ?1",
    )?;
    if let Some(known) = statement.query_row([key.as_bytes().as_slice()], |row| row.get(0)).optional()? {
        return Ok(NodeId(known));
    }
    let stored = store_diff(connection, diff)?;
    let id = Kind::Node.next_id(connection)?;
    connection
        .prepare_cached("INSERT INTO node (node_id, node_key, parent_id, diff) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            id,
            key.as_bytes().as_slice(),
            parent.map(|parent| parent.0),
            codec::encode(&stored)?
        ])?;
    let mut change = connection
        .prepare_cached("INSERT INTO node_change (occurrence_id, node_id, brings) VALUES (?1, ?2, ?3)")?;
    for (occurrence, brings) in stored.changes() {
        change.execute(params![occurrence, id, brings])?;
    }
    Ok(NodeId(id))
}

/// The node's identity: its parent's, and what it did.
fn node_key(connection: &Connection, parent: Option<NodeId>, diff: &PackageDiff) -> Result<Digest> {
    let mut hasher = Hasher::new();
    if let Some(parent) = parent {
        let mut statement = connection.prepare_cached("SELECT node_key FROM node WHERE node_id = ?1")?;
        let key: Vec<u8> = statement.query_row([parent.0], |row| row.get(0))?;
        hasher.update(digest(&key)?.as_bytes());
    }
    hasher.update(&codec::encode(diff)?);
    Ok(hasher.finish())
}

fn store_diff(connection: &Connection, diff: &PackageDiff) -> Result<StoredDiff> {
    let mut contexts = HashMap::new();
    StoredDiff::of(
        diff,
        &mut |occurrence| intern_occurrence(connection, occurrence, &mut contexts),
        &mut |path| texts::intern(connection, path),
    )
}

fn intern_occurrence(
    connection: &Connection,
    occurrence: &Occurrence,
    contexts: &mut HashMap<Context, i64>,
) -> Result<i64> {
    let package = intern_package(connection, &occurrence.package)?;
    let context = match contexts.get(&occurrence.context) {
        Some(id) => *id,
        None => {
            let id = intern_context(connection, &occurrence.context)?;
            contexts.insert(occurrence.context.clone(), id);
            id
        }
    };
    let owner = &occurrence.owner.0;
    let mut find = connection.prepare_cached(
        "SELECT occurrence_id FROM occurrence WHERE package_id = ?1 AND context_id = ?2 AND owner = ?3",
    )?;
    if let Some(id) = find.query_row(params![package, context, owner], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let id = Kind::Occurrence.next_id(connection)?;
    connection
        .prepare_cached(
            "INSERT INTO occurrence (occurrence_id, package_id, context_id, owner) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![id, package, context, owner])?;
    connection.prepare_cached("INSERT INTO unlisted (occurrence_id) VALUES (?1)")?.execute([id])?;
    Ok(id)
}

fn intern_package(connection: &Connection, package: &Package) -> Result<i64> {
    let facts = codec::encode(&package.facts)?;
    let values = params![
        package.name,
        package.version,
        package.arch,
        package.kind as i64,
        package.source_name,
        package.source_version,
        facts
    ];
    let mut find = connection.prepare_cached(
        "SELECT package_id FROM package WHERE name = ?1 AND version = ?2 AND arch = ?3 AND kind = ?4
         AND source_name = ?5 AND source_version = ?6 AND facts = ?7",
    )?;
    if let Some(id) = find.query_row(values, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection
        .prepare_cached(
            "INSERT INTO package (name, version, arch, kind, source_name, source_version, facts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(values)?;
    Ok(connection.last_insert_rowid())
}

fn intern_context(connection: &Connection, context: &Context) -> Result<i64> {
    let body = codec::encode(context)?;
    let mut find = connection.prepare_cached("SELECT context_id FROM context WHERE body = ?1")?;
    if let Some(id) = find.query_row([&body], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO context (release, body) VALUES (?1, ?2)")?
        .execute(params![context.release, body])?;
    Ok(connection.last_insert_rowid())
}

/// The columns that [`read_occurrence`] reads, in its order.
pub(super) const OCCURRENCE_COLUMNS: &str =
    "p.kind, p.name, p.version, p.arch, p.source_name, p.source_version, p.facts, c.body, o.owner
     FROM occurrence o JOIN package p USING (package_id) JOIN context c USING (context_id)";

/// An occurrence from [`OCCURRENCE_COLUMNS`], beginning at column `first`.
pub(super) fn read_occurrence(row: &Row<'_>, first: usize) -> Result<Occurrence> {
    let kind: i64 = row.get(first)?;
    let kind = usize::try_from(kind).ok().and_then(|kind| limpid_model::PackageType::ALL.get(kind));
    let facts: &[u8] =
        row.get_ref(first + 6)?.as_blob().map_err(|error| Error::Corrupt(error.to_string()))?;
    let context = row.get_ref(first + 7)?.as_blob().map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(Occurrence {
        package: Package {
            kind: *kind.ok_or_else(|| Error::Corrupt("an unknown kind of package".to_owned()))?,
            name: row.get(first + 1)?,
            version: row.get(first + 2)?,
            arch: row.get(first + 3)?,
            source_name: row.get(first + 4)?,
            source_version: row.get(first + 5)?,
            facts: codec::decode(facts, "a package's facts")?,
        },
        context: codec::decode(context, "a context")?,
        owner: Owner(row.get(first + 8)?),
    })
}

pub(super) fn contents(
    connection: &mut Connection,
    nodes: &[NodeId],
) -> Result<(Vec<LayerContents>, BTreeMap<OccurrenceId, Occurrence>)> {
    // One snapshot for all reads.
    let transaction = connection.transaction()?;
    let mut layers = Vec::with_capacity(nodes.len());
    let mut wanted = BTreeSet::new();
    let mut previous = None;
    for node in nodes {
        // A layer that changed nothing shares the node of the layer below it.
        if previous == Some(*node) {
            layers.push(LayerContents::default());
            continue;
        }
        previous = Some(*node);
        layers.push(layer_contents(&transaction, *node, &mut wanted)?);
    }
    let mut occurrences = BTreeMap::new();
    let mut statement =
        transaction.prepare_cached(&format!("SELECT {OCCURRENCE_COLUMNS} WHERE o.occurrence_id = ?1"))?;
    for id in wanted {
        let mut rows = statement.query([id])?;
        let row = rows.next()?.ok_or_else(|| Error::Corrupt(format!("occurrence {id} is missing")))?;
        occurrences.insert(OccurrenceId(id), read_occurrence(row, 0)?);
    }
    Ok((layers, occurrences))
}

/// Occurrences by their ids, those that are there.
pub(super) fn occurrences(
    connection: &Connection,
    ids: &[OccurrenceId],
) -> Result<BTreeMap<OccurrenceId, Occurrence>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {OCCURRENCE_COLUMNS} WHERE o.occurrence_id = ?1"))?;
    let mut found = BTreeMap::new();
    for id in ids {
        let mut rows = statement.query([id.0])?;
        if let Some(row) = rows.next()? {
            found.insert(*id, read_occurrence(row, 0)?);
        }
    }
    Ok(found)
}

fn layer_contents(
    connection: &Connection,
    node: NodeId,
    wanted: &mut BTreeSet<i64>,
) -> Result<LayerContents> {
    let mut statement = connection.prepare_cached("SELECT diff FROM node WHERE node_id = ?1")?;
    let body: Vec<u8> = statement
        .query_row([node.0], |row| row.get(0))
        .optional()?
        .ok_or_else(|| Error::Gone(format!("package set node {}", node.0)))?;
    let stored = StoredDiff::decode(&body)?;
    wanted.extend(stored.occurrences());
    stored.contents(&mut |path| texts::value(connection, path))
}

pub(super) fn contexts(connection: &Connection) -> Result<Vec<Context>> {
    let mut statement = connection.prepare_cached("SELECT body FROM context ORDER BY release, body")?;
    let mut rows = statement.query([])?;
    let mut contexts = Vec::new();
    while let Some(row) = rows.next()? {
        contexts.push(codec::decode(&row.get::<_, Vec<u8>>(0)?, "a context")?);
    }
    Ok(contexts)
}
