//! What images say of themselves and of their layers, where many say the same: configs, labels, descriptions of layers.
//!
//! Each is found by a hash or under its layer, compared whole, and freed with the last image that has it. All functions that
//! change something are to be called inside a write transaction.

use limpid_model::LayerMetadata;
use rusqlite::{Connection, OptionalExtension, params};

use super::count;
use crate::description::{Config, Description};
use crate::{Error, Result, codec};

/// The id of a config, made if need be.
pub(super) fn put_config(connection: &Connection, config: &Config) -> Result<i64> {
    let body = codec::pack(config)?;
    let hash = codec::hash(&[&body]);
    let mut find = connection.prepare_cached("SELECT config_id FROM config WHERE hash = ?1 AND body = ?2")?;
    if let Some(id) = find.query_row(params![hash, body], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO config (hash, body) VALUES (?1, ?2)")?
        .execute(params![hash, body])?;
    Ok(connection.last_insert_rowid())
}

/// Frees a config if no image has it.
pub(super) fn drop_config(connection: &Connection, config: i64) -> Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM config WHERE config_id = ?1 AND NOT EXISTS (SELECT 1 FROM image WHERE config_id = ?1)",
        )?
        .execute([config])?;
    Ok(())
}

/// The id of a label, if any image has it.
pub(super) fn label_id(connection: &Connection, key: &str, value: &str) -> Result<Option<i64>> {
    let mut find = connection
        .prepare_cached("SELECT label_id FROM label WHERE hash = ?1 AND key = ?2 AND value = ?3")?;
    let hash = codec::hash(&[key.as_bytes(), value.as_bytes()]);
    Ok(find.query_row(params![hash, key, value], |row| row.get(0)).optional()?)
}

/// The ids of an image's labels, made if need be, and noted with the image.
pub(super) fn put_labels(
    connection: &Connection,
    image: i64,
    labels: &[(String, String)],
) -> Result<Vec<u64>> {
    let mut note = connection
        .prepare_cached("INSERT OR IGNORE INTO image_label (label_id, image_id) VALUES (?1, ?2)")?;
    let mut ids = Vec::with_capacity(labels.len());
    for (key, value) in labels {
        let id = match label_id(connection, key, value)? {
            Some(id) => id,
            None => {
                let hash = codec::hash(&[key.as_bytes(), value.as_bytes()]);
                connection
                    .prepare_cached("INSERT INTO label (hash, key, value) VALUES (?1, ?2, ?3)")?
                    .execute(params![hash, key, value])?;
                connection.last_insert_rowid()
            }
        };
        note.execute([id, image])?;
        ids.push(count(id));
    }
    Ok(ids)
}

pub(super) fn label(connection: &Connection, id: i64) -> Result<(String, String)> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM label WHERE label_id = ?1")?;
    statement
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| Error::Corrupt(format!("label {id} is missing")))
}

/// Takes a label from an image, and frees it if no other has it.
pub(super) fn drop_label(connection: &Connection, image: i64, label: i64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM image_label WHERE label_id = ?1 AND image_id = ?2")?
        .execute([label, image])?;
    connection
        .prepare_cached(
            "DELETE FROM label WHERE label_id = ?1 AND NOT EXISTS (SELECT 1 FROM image_label WHERE label_id = ?1)",
        )?
        .execute([label])?;
    Ok(())
}

/// The number of what an image says of a layer, made if need be, and noted with the image.
pub(super) fn put_layer(
    connection: &Connection,
    image: i64,
    layer: i64,
    said: &LayerMetadata,
) -> Result<u64> {
    let body = codec::pack(&Description::of(said))?;
    let mut find =
        connection.prepare_cached("SELECT body FROM description WHERE layer_id = ?1 AND number = ?2")?;
    let mut number = 0;
    loop {
        let known: Option<Vec<u8>> = find.query_row([layer, number], |row| row.get(0)).optional()?;
        match known {
            Some(known) if known == body => break,
            None => {
                connection
                    .prepare_cached("INSERT INTO description (layer_id, number, body) VALUES (?1, ?2, ?3)")?
                    .execute(params![layer, number, body])?;
                break;
            }
            // 31 bits, and not 0: that of the first is taken.
            Some(_) if number == 0 => number = codec::hash(&[&body]) & 0x7fff_ffff | 1,
            Some(_) => number += 1,
        }
    }
    connection
        .prepare_cached("INSERT OR IGNORE INTO image_layer (layer_id, number, image_id) VALUES (?1, ?2, ?3)")?
        .execute([layer, number, image])?;
    Ok(count(number))
}

/// What images say of a layer under a number.
pub(super) fn layer(connection: &Connection, layer: i64, number: i64) -> Result<LayerMetadata> {
    let mut statement = connection.prepare_cached(
        "SELECT digest, body FROM description JOIN layer USING (layer_id) WHERE layer_id = ?1 AND number = ?2",
    )?;
    let (digest, body): (Vec<u8>, Vec<u8>) = statement
        .query_row([layer, number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| Error::Corrupt(format!("layer {layer} or its description {number} is missing")))?;
    let description: Description = codec::unpack(&body, "a layer's description")?;
    Ok(description.into_layer(super::digest(&digest)?))
}

/// Takes a layer from an image, and frees its description if no other has it.
pub(super) fn drop_layer(connection: &Connection, image: i64, layer: i64, number: i64) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM image_layer WHERE layer_id = ?1 AND number = ?2 AND image_id = ?3")?
        .execute([layer, number, image])?;
    connection
        .prepare_cached(
            "DELETE FROM description WHERE layer_id = ?1 AND number = ?2
             AND NOT EXISTS (SELECT 1 FROM image_layer WHERE layer_id = ?1 AND number = ?2)",
        )?
        .execute([layer, number])?;
    Ok(())
}
