//! What images say of themselves and of their layers, where many say the same: configs, labels, descriptions of layers.
//!
//! Each is found by a hash or under its layer, compared whole, and freed with the last image that has it. Who adds an
//! image shares a lock that who takes one away has alone (`Lock::Said`), so that nothing goes that was just found.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Digest, Hasher, LayerMetadata};

use super::connection::{Connection, column, text};
use super::texts::pieces;
use crate::column::{count, digest, integer};
use crate::description::{Config, Description};
use crate::{Error, Result, codec};

fn missing() -> Error {
    Error::Corrupt("what was stored is missing".to_owned())
}

/// The ids of configs by their encoded bodies, made if need be, in the order of the bodies.
pub(super) fn put_configs(
    connection: &mut Connection,
    bodies: &BTreeSet<Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, i64>> {
    let mut ids = BTreeMap::new();
    for piece in pieces(bodies.iter().collect(), |body| body.len()) {
        let hashes: Vec<Vec<u8>> = piece.iter().map(|body| Digest::of(body).as_bytes().to_vec()).collect();
        let find = "SELECT body, config_id FROM config WHERE whole = ANY($1)";
        let mut found = super::ids::pairs(&connection.query(find, &[&hashes])?)?;
        let new: Vec<&[u8]> =
            piece.iter().filter(|body| !found.contains_key(**body)).map(|body| body.as_slice()).collect();
        if !new.is_empty() {
            let numbers: Vec<i64> = new.iter().map(|body| codec::hash(&[body])).collect();
            connection.execute(
                "INSERT INTO config (hash, body) SELECT hash, body FROM unnest($1::bigint[], $2::bytea[])
                    WITH ORDINALITY AS w (hash, body, n) ORDER BY n ON CONFLICT (whole) DO NOTHING",
                &[&numbers, &new],
            )?;
            found = super::ids::pairs(&connection.query(find, &[&hashes])?)?;
        }
        ids.extend(found);
    }
    Ok(ids)
}

/// What a label is found by, as the database computes it.
fn label_hash(key: &str, value: &str) -> Vec<u8> {
    let mut hasher = Hasher::new();
    hasher.update(Digest::of(key.as_bytes()).as_bytes());
    hasher.update(Digest::of(value.as_bytes()).as_bytes());
    hasher.finish().as_bytes().to_vec()
}

/// The id of a label, if any image has it.
pub(super) fn label_id(connection: &mut Connection, key: &str, value: &str) -> Result<Option<i64>> {
    let row = connection.row("SELECT label_id FROM label WHERE whole = $1", &[&label_hash(key, value)])?;
    row.map(|row| column(&row, 0)).transpose()
}

/// The ids of labels, made if need be, in their order.
pub(super) fn put_labels<'a>(
    connection: &mut Connection,
    labels: &BTreeSet<&'a (String, String)>,
) -> Result<BTreeMap<&'a (String, String), i64>> {
    let mut ids = BTreeMap::new();
    for piece in pieces(labels.iter().copied().collect(), |label| label.0.len() + label.1.len()) {
        let hashes: Vec<Vec<u8>> = piece.iter().map(|(key, value)| label_hash(key, value)).collect();
        let find = "SELECT whole, label_id FROM label WHERE whole = ANY($1)";
        let mut found = super::ids::pairs(&connection.query(find, &[&hashes])?)?;
        if found.len() < hashes.len() {
            let numbers: Vec<i64> =
                piece.iter().map(|(key, value)| codec::hash(&[key.as_bytes(), value.as_bytes()])).collect();
            let keys: Vec<&[u8]> = piece.iter().map(|label| label.0.as_bytes()).collect();
            let values: Vec<&[u8]> = piece.iter().map(|label| label.1.as_bytes()).collect();
            connection.execute(
                "INSERT INTO label (hash, key, value)
                 SELECT hash, key, value FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
                    WITH ORDINALITY AS w (hash, key, value, n) ORDER BY n ON CONFLICT (whole) DO NOTHING",
                &[&numbers, &keys, &values],
            )?;
            found = super::ids::pairs(&connection.query(find, &[&hashes])?)?;
        }
        for (label, hash) in piece.into_iter().zip(&hashes) {
            ids.insert(label, *found.get(hash).ok_or_else(missing)?);
        }
    }
    Ok(ids)
}

/// The numbers of what is said of layers, made if need be, in the order of layers and bodies.
pub(super) fn put_descriptions(
    connection: &mut Connection,
    said: &BTreeSet<(i64, Vec<u8>)>,
) -> Result<BTreeMap<(i64, Vec<u8>), u64>> {
    let layers: Vec<i64> =
        said.iter().map(|(layer, _)| *layer).collect::<BTreeSet<_>>().into_iter().collect();
    let mut known: BTreeMap<(i64, i64), Vec<u8>> = BTreeMap::new();
    connection.each(
        "SELECT layer_id, number, body FROM description WHERE layer_id = ANY($1)",
        &[&layers],
        &mut |row| {
            known.insert((column(row, 0)?, column(row, 1)?), column(row, 2)?);
            Ok(())
        },
    )?;
    let mut numbers = BTreeMap::new();
    for (layer, body) in said {
        let mut number = 0;
        loop {
            match known.get(&(*layer, number)) {
                Some(there) if there == body => break,
                None => {
                    let made = connection.execute(
                        "INSERT INTO description (layer_id, number, body) VALUES ($1, $2, $3)
                         ON CONFLICT (layer_id, number) DO NOTHING",
                        &[layer, &number, body],
                    )?;
                    let there = match made {
                        0 => connection.value(
                            "SELECT body FROM description WHERE layer_id = $1 AND number = $2",
                            &[layer, &number],
                        )?,
                        _ => body.clone(),
                    };
                    known.insert((*layer, number), there);
                }
                // 31 bits, and not 0: that of the first is taken.
                Some(_) if number == 0 => number = codec::hash(&[body]) & 0x7fff_ffff | 1,
                Some(_) => number += 1,
            }
        }
        numbers.insert((*layer, body.clone()), count(number));
    }
    Ok(numbers)
}

/// Labels by their ids.
pub(super) fn labels(connection: &mut Connection, ids: &[u64]) -> Result<Vec<(String, String)>> {
    let wanted: Vec<i64> = ids.iter().map(|id| integer(*id)).collect();
    let rows =
        connection.query("SELECT label_id, key, value FROM label WHERE label_id = ANY($1)", &[&wanted])?;
    let mut found: BTreeMap<i64, (String, String)> = BTreeMap::new();
    for row in &rows {
        found.insert(column(row, 0)?, (text(row, 1)?, text(row, 2)?));
    }
    let label =
        |id: &i64| found.get(id).cloned().ok_or_else(|| Error::Corrupt(format!("label {id} is missing")));
    wanted.iter().map(label).collect()
}

/// What images say of layers under numbers.
pub(super) fn layers(connection: &mut Connection, wanted: &[(i64, i64)]) -> Result<Vec<LayerMetadata>> {
    let ids: Vec<i64> = wanted.iter().map(|(layer, _)| *layer).collect();
    let numbers: Vec<i64> = wanted.iter().map(|(_, number)| *number).collect();
    let rows = connection.query(
        "SELECT y.digest, d.body FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (layer_id, number, n)
         JOIN layer y ON y.layer_id = w.layer_id
         JOIN description d ON d.layer_id = w.layer_id AND d.number = w.number ORDER BY w.n",
        &[&ids, &numbers],
    )?;
    if rows.len() != wanted.len() {
        return Err(Error::Corrupt("a layer of an image or its description is missing".to_owned()));
    }
    rows.iter()
        .map(|row| {
            let description: Description =
                codec::unpack(&column::<Vec<u8>>(row, 1)?, "a layer's description")?;
            Ok(description.into_layer(digest(&column::<Vec<u8>>(row, 0)?)?))
        })
        .collect()
}

/// A config from its column.
pub(super) fn config(body: &[u8]) -> Result<Config> {
    codec::unpack(body, "an image's config")
}

/// Takes labels and layers from an image, and frees what no other image has of them and of the config. The image's own
/// row is gone, or has another config.
pub(super) fn unlink(
    connection: &mut Connection,
    image: i64,
    labels: &[u64],
    layers: &[(i64, i64)],
    config: i64,
) -> Result<()> {
    let labels: Vec<i64> = labels.iter().map(|label| integer(*label)).collect();
    let ids: Vec<i64> = layers.iter().map(|(layer, _)| *layer).collect();
    let numbers: Vec<i64> = layers.iter().map(|(_, number)| *number).collect();
    connection
        .execute("DELETE FROM image_label WHERE label_id = ANY($1) AND image_id = $2", &[&labels, &image])?;
    connection.execute(
        "DELETE FROM label l WHERE label_id = ANY($1)
         AND NOT EXISTS (SELECT 1 FROM image_label i WHERE i.label_id = l.label_id)",
        &[&labels],
    )?;
    connection.execute(
        "DELETE FROM image_layer i USING unnest($1::bigint[], $2::bigint[]) AS w (layer_id, number)
         WHERE i.layer_id = w.layer_id AND i.number = w.number AND i.image_id = $3",
        &[&ids, &numbers, &image],
    )?;
    connection.execute(
        "DELETE FROM description d USING unnest($1::bigint[], $2::bigint[]) AS w (layer_id, number)
         WHERE d.layer_id = w.layer_id AND d.number = w.number AND NOT EXISTS (
            SELECT 1 FROM image_layer i WHERE i.layer_id = d.layer_id AND i.number = d.number)",
        &[&ids, &numbers],
    )?;
    connection.execute(
        "DELETE FROM config WHERE config_id = $1 AND NOT EXISTS (SELECT 1 FROM image WHERE config_id = $1)",
        &[&config],
    )?;
    Ok(())
}
