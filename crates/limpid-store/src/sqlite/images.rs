//! Images, the references that name them, and their layers.

use std::collections::BTreeSet;

use limpid_model::{Digest, Distribution, ImageMetadata, LayerProblem};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::ids::Kind;
use super::nodes;
use crate::store::{ImageId, ImageRecord, NodeId};
use crate::{Error, Result, codec};

/// What of an image has no column of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) metadata: ImageMetadata,
    distribution: Option<Distribution>,
    problems: Vec<LayerProblem>,
    indexer_state: String,
}

pub(super) fn image(connection: &Connection, digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT image_id FROM image WHERE manifest_digest = ?1")?
        .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    with_record(connection, id)
}

pub(super) fn image_by_reference(
    connection: &Connection,
    reference: &str,
) -> Result<Option<(ImageId, ImageRecord)>> {
    let id: Option<i64> = connection
        .prepare_cached(
            "SELECT image_id FROM reference WHERE reference = ?1 ORDER BY last_seen DESC, image_id DESC LIMIT 1",
        )?
        .query_row([reference], |row| row.get(0))
        .optional()?;
    with_record(connection, id)
}

fn with_record(connection: &Connection, id: Option<i64>) -> Result<Option<(ImageId, ImageRecord)>> {
    let Some(id) = id.map(ImageId) else { return Ok(None) };
    Ok(image_by_id(connection, id)?.map(|record| (id, record)))
}

pub(super) fn image_by_id(connection: &Connection, id: ImageId) -> Result<Option<ImageRecord>> {
    let row: Option<(Vec<u8>, String)> = connection
        .prepare_cached("SELECT body, release FROM image WHERE image_id = ?1")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((body, release)) = row else { return Ok(None) };
    let body: Body = codec::unpack(&body, "an image")?;
    let mut statement =
        connection.prepare_cached("SELECT node_id FROM image_layer WHERE image_id = ?1 ORDER BY position")?;
    let nodes = statement.query_map([id.0], |row| row.get(0).map(NodeId))?.collect::<Result<Vec<_>, _>>()?;
    if nodes.len() != body.metadata.layers.len() {
        return Err(Error::Corrupt(format!("image {} has lost layers", body.metadata.manifest_digest)));
    }
    Ok(Some(ImageRecord {
        metadata: body.metadata,
        nodes,
        distribution: body.distribution,
        release,
        problems: body.problems,
        indexer_state: body.indexer_state,
    }))
}

pub(super) fn put_image(
    connection: &mut Connection,
    image: &ImageRecord,
    reference: &str,
    now: i64,
) -> Result<ImageId> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let digest = image.metadata.manifest_digest;
    let known = self::image(&transaction, &digest)?;
    if let Some((_, known)) = &known {
        let digests = |record: &ImageRecord| {
            record.metadata.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>()
        };
        if digests(known) != digests(image) {
            return Err(Error::Conflict(digest));
        }
    }
    let body = codec::pack(&Body {
        metadata: image.metadata.clone(),
        distribution: image.distribution.clone(),
        problems: image.problems.clone(),
        indexer_state: image.indexer_state.clone(),
    })?;
    for node in image.nodes.iter().collect::<BTreeSet<_>>() {
        nodes::expect(&transaction, *node)?;
    }
    // An image without layers has no node; no node has id 0.
    let node = image.nodes.last().map_or(0, |node| node.0);
    let new = Kind::Image.next_id(&transaction)?;
    transaction
        .prepare_cached(
            "INSERT INTO image (manifest_digest, node_id, release, body, analysed_at, first_seen, image_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
             ON CONFLICT (manifest_digest) DO UPDATE SET node_id = ?2, release = ?3, body = ?4, analysed_at = ?5",
        )?
        .execute(params![digest.as_bytes().as_slice(), node, image.release, body, now, new])?;
    let id: i64 = transaction
        .prepare_cached("SELECT image_id FROM image WHERE manifest_digest = ?1")?
        .query_row([digest.as_bytes().as_slice()], |row| row.get(0))?;
    put_layers(&transaction, id, image)?;
    put_reference(&transaction, ImageId(id), reference, now)?;
    transaction.commit()?;
    Ok(ImageId(id))
}

fn put_layers(connection: &Connection, id: i64, image: &ImageRecord) -> Result<()> {
    connection.prepare_cached("DELETE FROM image_layer WHERE image_id = ?1")?.execute([id])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO image_layer (image_id, position, layer_id, node_id)
         SELECT ?1, ?2, layer_id, ?4 FROM layer WHERE digest = ?3",
    )?;
    for (position, (layer, node)) in image.metadata.layers.iter().zip(&image.nodes).enumerate() {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let inserted = insert.execute(params![id, position, layer.digest.as_bytes().as_slice(), node.0])?;
        if inserted != 1 {
            return Err(Error::Gone(format!("layer {}", layer.digest)));
        }
    }
    Ok(())
}

pub(super) fn put_reference(
    connection: &Connection,
    image: ImageId,
    reference: &str,
    now: i64,
) -> Result<()> {
    if !reference.is_empty() {
        let noted = connection
            .prepare_cached(
                "INSERT INTO reference (reference, image_id, first_seen, last_seen)
                 SELECT ?1, image_id, ?3, ?3 FROM image WHERE image_id = ?2
                 ON CONFLICT (reference, image_id) DO UPDATE SET last_seen = max(last_seen, ?3)",
            )?
            .execute(params![reference, image.0, now])?;
        if noted == 0 {
            return Err(Error::Gone(format!("image {}", image.0)));
        }
    }
    Ok(())
}
