//! Images and their layers.

use limpid_model::{Digest, ImageMetadata};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::descriptions::{self, Config};
use super::ids::Kind;
use super::{count, events, feeds, integer, layers, nodes, references};
use crate::store::{ImageId, ImageRecord, NewImage, NodeId};
use crate::{Error, Result, codec};

/// What of an image no other says, and what it shares with others, by id.
#[derive(Serialize, Deserialize)]
pub(super) struct Body {
    config_digest: Option<Digest>,
    created: String,
    pub(super) labels: Vec<u64>,
    /// Layer, number of its description, node after it; 0 for that of the layer below.
    layers: Vec<(u64, u64, u64)>,
}

impl Body {
    pub(super) fn decode(body: &[u8]) -> Result<Self> {
        codec::unpack(body, "an image")
    }

    /// Layers with the numbers of their descriptions, base first.
    pub(super) fn layers(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.layers.iter().map(|(layer, number, _)| (integer(*layer), integer(*number)))
    }

    /// The node after each layer.
    pub(super) fn nodes(&self) -> Vec<i64> {
        let mut last = 0;
        let node = |(_, _, node): &(u64, u64, u64)| {
            if *node != 0 {
                last = integer(*node);
            }
            last
        };
        self.layers.iter().map(node).collect()
    }
}

fn image_id(connection: &Connection, digest: &Digest) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT image_id FROM image
         WHERE substr(manifest_digest, 1, 8) = substr(?1, 1, 8) AND manifest_digest = ?1",
    )?;
    Ok(statement.query_row([digest.as_bytes().as_slice()], |row| row.get(0)).optional()?)
}

pub(super) fn image(connection: &Connection, digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>> {
    with_record(connection, image_id(connection, digest)?)
}

pub(super) fn image_by_reference(
    connection: &Connection,
    reference: &str,
) -> Result<Option<(ImageId, ImageRecord)>> {
    with_record(connection, references::image(connection, reference)?)
}

fn with_record(connection: &Connection, id: Option<i64>) -> Result<Option<(ImageId, ImageRecord)>> {
    let Some(id) = id.map(ImageId) else { return Ok(None) };
    Ok(image_by_id(connection, id)?.map(|record| (id, record)))
}

pub(super) fn image_by_id(connection: &Connection, id: ImageId) -> Result<Option<ImageRecord>> {
    type Columns = (Vec<u8>, String, Vec<u8>, Vec<u8>);
    let row: Option<Columns> = connection
        .prepare_cached(
            "SELECT i.manifest_digest, i.release, i.body, c.body FROM image i JOIN config c USING (config_id)
             WHERE image_id = ?1",
        )?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((digest, release, body, config)) = row else { return Ok(None) };
    let body = Body::decode(&body)?;
    let config: Config = codec::unpack(&config, "an image's config")?;
    let labels = body.labels.iter().map(|label| descriptions::label(connection, integer(*label)));
    let layers = body.layers().map(|(layer, number)| descriptions::layer(connection, layer, number));
    Ok(Some(ImageRecord {
        metadata: ImageMetadata {
            manifest_digest: super::digest(&digest)?,
            config_digest: body.config_digest,
            platform: config.platform,
            os_version: config.os_version,
            created: body.created.clone(),
            environment: config.environment,
            labels: labels.collect::<Result<_>>()?,
            layers: layers.collect::<Result<_>>()?,
        },
        nodes: body.nodes().into_iter().map(NodeId).collect(),
        distribution: config.distribution,
        release,
        problems: config.problems,
        indexer_state: config.indexer_state,
    }))
}

pub(super) fn put_image(
    connection: &mut Connection,
    image: &ImageRecord,
    reference: &str,
    now: i64,
) -> Result<ImageId> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut layer_ids = Vec::with_capacity(image.metadata.layers.len());
    for layer in &image.metadata.layers {
        let id = layers::layer_id(&transaction, &layer.digest)?;
        layer_ids.push(id.ok_or_else(|| Error::Gone(format!("layer {}", layer.digest)))?);
    }
    for (position, node) in image.nodes.iter().enumerate() {
        if position == 0 || image.nodes[position - 1] != *node {
            nodes::expect(&transaction, *node)?;
        }
    }
    let id = keep(&transaction, image, &layer_ids, now)?;
    references::put(&transaction, id, reference, now)?;
    transaction.commit()?;
    Ok(id)
}

pub(super) fn put_images(
    connection: &mut Connection,
    images: &[NewImage<'_>],
    now: i64,
) -> Result<Vec<Result<(ImageId, ImageRecord)>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(images.len());
    for image in images {
        let outcome = put_new(&transaction, image, now);
        match outcome {
            // Found before anything was written.
            Ok(_) | Err(Error::Conflict(_)) => outcomes.push(outcome),
            Err(error) => return Err(error),
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

fn put_new(connection: &Connection, image: &NewImage<'_>, now: i64) -> Result<(ImageId, ImageRecord)> {
    let digest = image.record.metadata.manifest_digest;
    let mut layer_ids = Vec::with_capacity(image.layers.len());
    for layer in image.layers {
        layer_ids.push(layers::layer_id(connection, &layer.digest)?);
    }
    if let Some(known) = image_id(connection, &digest)? {
        let body: Vec<u8> = connection
            .prepare_cached("SELECT body FROM image WHERE image_id = ?1")?
            .query_row([known], |row| row.get(0))?;
        // The layers of a known image are all known.
        if !Body::decode(&body)?.layers().map(|(layer, _)| Some(layer)).eq(layer_ids.iter().copied()) {
            return Err(Error::Conflict(digest));
        }
    }
    let layers = layer_ids.into_iter().zip(image.layers);
    let ensured = layers.map(|(id, layer)| id.map_or_else(|| layers::ensure(connection, layer), Ok));
    let layer_ids: Vec<i64> = ensured.collect::<Result<_>>()?;
    let mut record = image.record.clone();
    record.nodes.clear();
    for (chain_key, diff) in image.steps {
        let parent = record.nodes.last().copied();
        record.nodes.push(nodes::ensure(connection, chain_key, parent, diff)?);
    }
    let id = keep(connection, &record, &layer_ids, now)?;
    references::put(connection, id, image.reference, now)?;
    Ok((id, record))
}

/// Keeps an image whose layers and nodes are there. To be called inside a write transaction.
fn keep(connection: &Connection, image: &ImageRecord, layer_ids: &[i64], now: i64) -> Result<ImageId> {
    let digest = image.metadata.manifest_digest;
    if layer_ids.len() != image.metadata.layers.len() || image.nodes.len() != layer_ids.len() {
        return Err(Error::Engine(format!("image {digest} has not one node and one finding for each layer")));
    }
    let known = image_id(connection, &digest)?;
    let (id, former) = match known {
        Some(known) => (known, Some(replaces(connection, known, image, layer_ids)?)),
        None => (Kind::Image.next_id(connection)?, None),
    };
    let config = descriptions::put_config(
        connection,
        &Config {
            platform: image.metadata.platform.clone(),
            os_version: image.metadata.os_version.clone(),
            environment: image.metadata.environment.clone(),
            distribution: image.distribution.clone(),
            problems: image.problems.clone(),
            indexer_state: image.indexer_state.clone(),
        },
    )?;
    let mut body = Body {
        config_digest: image.metadata.config_digest,
        created: image.metadata.created.clone(),
        labels: descriptions::put_labels(connection, id, &image.metadata.labels)?,
        layers: Vec::with_capacity(layer_ids.len()),
    };
    let mut last = 0;
    for ((said, layer), node) in image.metadata.layers.iter().zip(layer_ids).zip(&image.nodes) {
        let number = descriptions::put_layer(connection, id, *layer, said)?;
        body.layers.push((count(*layer), number, if node.0 == last { 0 } else { count(node.0) }));
        last = node.0;
    }
    // Ids grow with it, so that what was there at some time are the images up to an id.
    connection
        .prepare_cached(
            "INSERT INTO image (image_id, manifest_digest, node_id, config_id, analysed_at, first_seen, release, body)
             VALUES (?1, ?2, ?3, ?4, ?5,
                max(?5, coalesce((SELECT first_seen FROM image ORDER BY image_id DESC LIMIT 1), ?5)), ?6, ?7)
             ON CONFLICT (image_id) DO UPDATE SET node_id = ?3, config_id = ?4, analysed_at = ?5, release = ?6, body = ?7",
        )?
        .execute(params![
            id,
            digest.as_bytes().as_slice(),
            // An image without layers has no node; no node has id 0.
            last,
            config,
            now,
            image.release,
            codec::pack(&body)?
        ])?;
    if former != Some(last) {
        events::assessed(connection, ImageId(id), now)?;
    }
    Ok(ImageId(id))
}

/// What of an image that is known goes when it is analysed anew. What it was stays known, where that is asked for. The
/// node that it had.
fn replaces(connection: &Connection, id: i64, image: &ImageRecord, layer_ids: &[i64]) -> Result<i64> {
    let (node, release, body, config): (i64, String, Vec<u8>, i64) = connection
        .prepare_cached("SELECT node_id, release, body, config_id FROM image WHERE image_id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let body = Body::decode(&body)?;
    if !body.layers().map(|(layer, _)| layer).eq(layer_ids.iter().copied()) {
        return Err(Error::Conflict(image.metadata.manifest_digest));
    }
    let now = image.nodes.last().map_or(0, |node| node.0);
    if node != now {
        // Of several within one revision the first: that is what its advisories were held against.
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO image_former (image_id, until_revision, node_id) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![id, integer(feeds::revision(connection)?), node])?;
    }
    if node != now || release != image.release {
        displace(connection, id)?;
    }
    // No image has config 0: the one that is written next is told from the one that goes.
    connection.prepare_cached("UPDATE image SET config_id = 0 WHERE image_id = ?1")?.execute([id])?;
    unlink(connection, id, &body, config)?;
    Ok(node)
}

/// Notes that what segments say of an image does not count.
fn displace(connection: &Connection, id: i64) -> Result<()> {
    connection.prepare_cached("INSERT OR IGNORE INTO displaced (image_id) VALUES (?1)")?.execute([id])?;
    Ok(())
}

/// Frees what only this image said.
fn unlink(connection: &Connection, id: i64, body: &Body, config: i64) -> Result<()> {
    for label in &body.labels {
        descriptions::drop_label(connection, id, integer(*label))?;
    }
    for (layer, number) in body.layers() {
        descriptions::drop_layer(connection, id, layer, number)?;
    }
    descriptions::drop_config(connection, config)
}

pub(super) fn forget(connection: &mut Connection, image: ImageId, now: i64) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let row: Option<(Vec<u8>, i64)> = transaction
        .prepare_cached("SELECT body, config_id FROM image WHERE image_id = ?1")?
        .query_row([image.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((body, config)) = row else { return Ok(false) };
    let body = Body::decode(&body)?;
    // What it used may be unused from now on; a collection looks.
    let former: Vec<i64> = transaction
        .prepare_cached("SELECT node_id FROM image_former WHERE image_id = ?1")?
        .query_map([image.0], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut unused = transaction.prepare_cached(
        "INSERT INTO unused (kind, id, since) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, id) DO UPDATE SET since = ?3",
    )?;
    for node in body.nodes().into_iter().chain(former).filter(|node| *node != 0) {
        unused.execute(params![Kind::Node as i64, node, now])?;
    }
    for (layer, _) in body.layers() {
        unused.execute(params![Kind::Layer as i64, layer, now])?;
    }
    drop(unused);
    references::forget(&transaction, image)?;
    transaction.prepare_cached("DELETE FROM image_former WHERE image_id = ?1")?.execute([image.0])?;
    Kind::Image.delete(&transaction, image.0)?;
    unlink(&transaction, image.0, &body, config)?;
    displace(&transaction, image.0)?;
    transaction.commit()?;
    Ok(true)
}
