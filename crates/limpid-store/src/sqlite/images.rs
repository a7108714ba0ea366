//! Images and their layers.

use limpid_model::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{descriptions, events, feeds, integer, layers, nodes, references};
use crate::description::Config;
use crate::image_body::ImageBody as Body;
use crate::kind::Kind;
use crate::store::{ImageId, ImageRecord, NewImage};
use crate::{Error, Result, codec};

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
    let (labels, layers) = (labels.collect::<Result<_>>()?, layers.collect::<Result<_>>()?);
    Ok(Some(body.into_record(super::digest(&digest)?, release, config, labels, layers)))
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
    let config = descriptions::put_config(connection, &Config::of(image))?;
    let labels = descriptions::put_labels(connection, id, &image.metadata.labels)?;
    let mut numbers = Vec::with_capacity(layer_ids.len());
    for (said, layer) in image.metadata.layers.iter().zip(layer_ids) {
        numbers.push(descriptions::put_layer(connection, id, *layer, said)?);
    }
    let body = Body::of(image, labels, layer_ids, &numbers);
    let last = body.nodes().last().copied().unwrap_or(0);
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
