//! Images and their layers.
//!
//! What images share with others is interned first, for all images of a call and in an order that all callers have; then
//! each gets its id and its rows. So nobody who holds the counter of images waits for a row of somebody who waits for it.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Digest;

use super::connection::{Connection, column, text};
use super::ids::{Counter, Lock};
use super::{descriptions, events, feeds, layers, nodes, occurrences, references};
use crate::column::integer;
use crate::description::{Config, Description};
use crate::image_body::ImageBody;
use crate::kind::Kind;
use crate::store::{ImageId, ImageRecord, LayerRecord, NewImage, NodeId};
use crate::{Error, Result, codec};

fn image_id(connection: &mut Connection, digest: &Digest) -> Result<Option<i64>> {
    let row = connection
        .row("SELECT image_id FROM image WHERE manifest_digest = $1", &[&digest.as_bytes().as_slice()])?;
    row.map(|row| column(&row, 0)).transpose()
}

pub(super) fn image(connection: &mut Connection, digest: &Digest) -> Result<Option<(ImageId, ImageRecord)>> {
    let id = image_id(connection, digest)?;
    with_record(connection, id)
}

pub(super) fn image_by_reference(
    connection: &mut Connection,
    reference: &str,
) -> Result<Option<(ImageId, ImageRecord)>> {
    let id = references::image(connection, reference)?;
    with_record(connection, id)
}

fn with_record(connection: &mut Connection, id: Option<i64>) -> Result<Option<(ImageId, ImageRecord)>> {
    let Some(id) = id.map(ImageId) else { return Ok(None) };
    Ok(image_by_id(connection, id)?.map(|record| (id, record)))
}

pub(super) fn image_by_id(connection: &mut Connection, id: ImageId) -> Result<Option<ImageRecord>> {
    let row = connection.row(
        "SELECT i.manifest_digest, i.release, i.body, c.body FROM image i
         JOIN config c ON c.config_id = i.config_id WHERE i.image_id = $1",
        &[&id.0],
    )?;
    let Some(row) = row else { return Ok(None) };
    let body = ImageBody::decode(&column::<Vec<u8>>(&row, 2)?)?;
    let config = descriptions::config(&column::<Vec<u8>>(&row, 3)?)?;
    let labels = descriptions::labels(connection, &body.labels)?;
    let layers = descriptions::layers(connection, &body.layers().collect::<Vec<_>>())?;
    let digest = crate::column::digest(&column::<Vec<u8>>(&row, 0)?)?;
    Ok(Some(body.into_record(digest, text(&row, 1)?, config, labels, layers)))
}

/// An image whose layers and nodes are there.
struct Kept<'a> {
    record: ImageRecord,
    layers: Vec<i64>,
    reference: &'a str,
}

pub(super) fn put_image(
    connection: &mut Connection,
    image: &ImageRecord,
    reference: &str,
    now: i64,
) -> Result<ImageId> {
    Lock::Tree.share(connection)?;
    lock_said(connection, &[image])?;
    let digests = image.metadata.layers.iter().map(|layer| layer.digest).collect();
    let ids = layers::ids(connection, &digests)?;
    let mut layers = Vec::with_capacity(image.metadata.layers.len());
    for layer in &image.metadata.layers {
        let id = ids.get(&layer.digest).copied();
        layers.push(id.ok_or_else(|| Error::Gone(format!("layer {}", layer.digest)))?);
    }
    nodes::expect(connection, &image.nodes.iter().map(|node| node.0).collect())?;
    let kept = keep(connection, &[Kept { record: image.clone(), layers, reference }], now)?;
    kept.first().copied().ok_or_else(|| Error::Engine("an image was not stored".to_owned()))
}

/// Beside others who add images; alone if one of these replaces what is there.
fn lock_said(connection: &mut Connection, images: &[&ImageRecord]) -> Result<()> {
    let is_known = |connection: &mut Connection| -> Result<bool> {
        let digests: Vec<&[u8]> =
            images.iter().map(|image| image.metadata.manifest_digest.as_bytes().as_slice()).collect();
        connection.value("SELECT EXISTS (SELECT 1 FROM image WHERE manifest_digest = ANY($1))", &[&digests])
    };
    if !is_known(connection)? {
        Lock::Said.share(connection)?;
        // Somebody may have stored it meanwhile: of two who want the lock alone while they share it one begins again.
        if !is_known(connection)? {
            return Ok(());
        }
    }
    Lock::Said.take(connection)
}

pub(super) fn put_images(
    connection: &mut Connection,
    images: &[NewImage<'_>],
    now: i64,
) -> Result<Vec<Result<(ImageId, ImageRecord)>>> {
    Lock::Tree.share(connection)?;
    Lock::Texts.share(connection)?;
    let records: Vec<&ImageRecord> = images.iter().map(|image| image.record).collect();
    lock_said(connection, &records)?;
    let refused = conflicts(connection, images)?;
    let taken: Vec<&NewImage<'_>> = images
        .iter()
        .enumerate()
        .filter(|(place, _)| !refused.contains(place))
        .map(|(_, image)| image)
        .collect();
    let all: BTreeMap<Digest, &LayerRecord> =
        taken.iter().flat_map(|image| image.layers).map(|layer| (layer.digest, *layer)).collect();
    let ids = layers::ensure(connection, &all)?;
    let diffs: Vec<_> = taken.iter().flat_map(|image| image.steps).map(|(_, diff)| diff).collect();
    occurrences::prepare(connection, &diffs)?;
    let mut kept = Vec::with_capacity(taken.len());
    for image in taken {
        let mut record = image.record.clone();
        record.nodes.clear();
        for (chain_key, diff) in image.steps {
            let parent: Option<NodeId> = record.nodes.last().copied();
            record.nodes.push(nodes::ensure(connection, chain_key, parent, diff)?);
        }
        let layers = image.layers.iter().filter_map(|layer| ids.get(&layer.digest).copied()).collect();
        kept.push(Kept { record, layers, reference: image.reference });
    }
    let mut stored = keep(connection, &kept, now)?.into_iter().zip(kept);
    let outcome = |(place, image): (usize, &NewImage<'_>)| match refused.contains(&place) {
        true => Some(Err(Error::Conflict(image.record.metadata.manifest_digest))),
        false => stored.next().map(|(id, kept)| Ok((id, kept.record))),
    };
    Ok(images.iter().enumerate().filter_map(outcome).collect())
}

/// Those of the images that are known, or stand before in the list, with other layers.
fn conflicts(connection: &mut Connection, images: &[NewImage<'_>]) -> Result<BTreeSet<usize>> {
    let digests: Vec<&[u8]> =
        images.iter().map(|image| image.record.metadata.manifest_digest.as_bytes().as_slice()).collect();
    let rows = connection
        .query("SELECT manifest_digest, body FROM image WHERE manifest_digest = ANY($1)", &[&digests])?;
    let mut known: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for row in &rows {
        let body = ImageBody::decode(&column::<Vec<u8>>(row, 1)?)?;
        let layers = descriptions::layers(connection, &body.layers().collect::<Vec<_>>())?;
        let digest = crate::column::digest(&column::<Vec<u8>>(row, 0)?)?;
        known.insert(digest, layers.into_iter().map(|layer| layer.digest).collect());
    }
    let mut refused = BTreeSet::new();
    for (place, image) in images.iter().enumerate() {
        let layers: Vec<Digest> = image.layers.iter().map(|layer| layer.digest).collect();
        let before = known.entry(image.record.metadata.manifest_digest).or_insert_with(|| layers.clone());
        if *before != layers {
            refused.insert(place);
        }
    }
    Ok(refused)
}

/// Keeps images, in their order.
fn keep(connection: &mut Connection, images: &[Kept<'_>], now: i64) -> Result<Vec<ImageId>> {
    let (mut configs, mut labels, mut said) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut of_images = Vec::with_capacity(images.len());
    for Kept { record, layers, .. } in images {
        let digest = record.metadata.manifest_digest;
        if layers.len() != record.metadata.layers.len() || record.nodes.len() != layers.len() {
            return Err(Error::Engine(format!(
                "image {digest} has not one node and one finding for each layer"
            )));
        }
        let config = codec::pack(&Config::of(record))?;
        configs.insert(config.clone());
        labels.extend(&record.metadata.labels);
        let mut keys = Vec::with_capacity(layers.len());
        for (layer, metadata) in layers.iter().zip(&record.metadata.layers) {
            keys.push((*layer, codec::pack(&Description::of(metadata))?));
        }
        said.extend(keys.iter().cloned());
        of_images.push((config, keys));
    }
    // What is replaced goes first, so that its numbers are free, and its config and labels if nobody else has them.
    let mut known = Vec::with_capacity(images.len());
    let mut replaced = BTreeMap::new();
    for Kept { record, layers, .. } in images {
        let digest = record.metadata.manifest_digest;
        if let Some(id) = image_id(connection, &digest)? {
            let before = replaces(connection, id, record, layers)?;
            replaced.entry(digest).or_insert((id, before));
        }
        known.push(digest);
    }
    let configs = descriptions::put_configs(connection, &configs)?;
    let labels = descriptions::put_labels(connection, &labels)?;
    let numbers = descriptions::put_descriptions(connection, &said)?;
    let names = images.iter().map(|image| image.reference).collect();
    let repositories = references::put_repositories(connection, &names)?;
    let missing = || Error::Corrupt("what was stored is missing".to_owned());
    let mut ids = Vec::with_capacity(images.len());
    for (Kept { record, layers, reference }, (config, keys)) in images.iter().zip(of_images) {
        let of_record: Vec<i64> = record
            .metadata
            .labels
            .iter()
            .map(|label| labels.get(label).copied().ok_or_else(missing))
            .collect::<Result<_>>()?;
        let of_layers: Vec<u64> =
            keys.iter().map(|key| numbers.get(key).copied().ok_or_else(missing)).collect::<Result<_>>()?;
        let body = ImageBody::of(
            record,
            of_record.iter().map(|label| crate::column::count(*label)).collect(),
            layers,
            &of_layers,
        );
        let config = *configs.get(&config).ok_or_else(missing)?;
        let before = replaced.get(&record.metadata.manifest_digest).copied();
        let id = write(connection, record, &body, config, before, now)?;
        replaced.insert(record.metadata.manifest_digest, (id, body.nodes().last().copied().unwrap_or(0)));
        link(connection, id, &of_record, &body)?;
        references::put_in(connection, ImageId(id), reference, &repositories, now)?;
        ids.push(ImageId(id));
    }
    Ok(ids)
}

/// Writes the image's own row and its event. `before` is its id and the node that it had, if it is known.
fn write(
    connection: &mut Connection,
    record: &ImageRecord,
    body: &ImageBody,
    config: i64,
    before: Option<(i64, i64)>,
    now: i64,
) -> Result<i64> {
    // An image without layers has no node; no node has id 0.
    let node = body.nodes().last().copied().unwrap_or(0);
    let packed = codec::pack(body)?;
    let release = record.release.as_bytes();
    // Whoever makes a revision waits from here on, or has made it: an image knows whether it was assessed before one.
    let id = match before {
        Some((id, _)) => {
            Counter::Image.hold(connection)?;
            connection.execute(
                "UPDATE image SET node_id = $2, config_id = $3, analysed_at = $4, release = $5, body = $6
                 WHERE image_id = $1",
                &[&id, &node, &config, &now, &release, &packed],
            )?;
            id
        }
        None => {
            let id = Counter::Image.next(connection)?;
            // Somebody else may have stored it while this one waited for the counter.
            if image_id(connection, &record.metadata.manifest_digest)?.is_some() {
                return Err(connection.again());
            }
            // Ids grow with it, so that what was there at some time are the images up to an id.
            connection.execute(
                "INSERT INTO image (image_id, manifest_digest, node_id, config_id, analysed_at, first_seen, release, body)
                 VALUES ($1, $2, $3, $4, $5,
                    greatest($5, (SELECT first_seen FROM image ORDER BY image_id DESC LIMIT 1)), $6, $7)",
                &[
                    &id,
                    &record.metadata.manifest_digest.as_bytes().as_slice(),
                    &node,
                    &config,
                    &now,
                    &release,
                    &packed,
                ],
            )?;
            id
        }
    };
    if before.map(|(_, before)| before) != Some(node) {
        events::assessed(connection, ImageId(id), now)?;
    }
    Ok(id)
}

/// Notes an image with its labels and layers.
fn link(connection: &mut Connection, id: i64, labels: &[i64], body: &ImageBody) -> Result<()> {
    if !labels.is_empty() {
        connection.execute(
            "INSERT INTO image_label (label_id, image_id) SELECT DISTINCT label_id, $2::bigint
             FROM unnest($1::bigint[]) AS w (label_id) ON CONFLICT (label_id, image_id) DO NOTHING",
            &[&labels, &id],
        )?;
    }
    let (layers, numbers): (Vec<i64>, Vec<i64>) = body.layers().unzip();
    connection.execute(
        "INSERT INTO image_layer (layer_id, number, image_id) SELECT DISTINCT layer_id, number, $3::bigint
         FROM unnest($1::bigint[], $2::bigint[]) AS w (layer_id, number)
         ON CONFLICT (layer_id, number, image_id) DO NOTHING",
        &[&layers, &numbers, &id],
    )?;
    Ok(())
}

/// What of an image that is known goes when it is analysed anew. What it was stays known, where that is asked for. The
/// node that it had.
fn replaces(connection: &mut Connection, id: i64, image: &ImageRecord, layer_ids: &[i64]) -> Result<i64> {
    let row = connection
        .row("SELECT node_id, release, body, config_id FROM image WHERE image_id = $1 FOR UPDATE", &[&id])?
        .ok_or_else(|| Error::Gone(format!("image {id}")))?;
    let (node, release, config): (i64, String, i64) = (column(&row, 0)?, text(&row, 1)?, column(&row, 3)?);
    let body = ImageBody::decode(&column::<Vec<u8>>(&row, 2)?)?;
    if !body.layers().map(|(layer, _)| layer).eq(layer_ids.iter().copied()) {
        return Err(Error::Conflict(image.metadata.manifest_digest));
    }
    let now = image.nodes.last().map_or(0, |node| node.0);
    if node != now {
        let revision = integer(feeds::revision(connection)?);
        // Of several within one revision the first: that is what its advisories were held against.
        connection.execute(
            "INSERT INTO image_former (image_id, until_revision, node_id) VALUES ($1, $2, $3)
             ON CONFLICT (image_id, until_revision) DO NOTHING",
            &[&id, &revision, &node],
        )?;
    }
    if node != now || release != image.release {
        displace(connection, id)?;
    }
    // No image has config 0: the one that is written next is told from the one that goes.
    connection.execute("UPDATE image SET config_id = 0 WHERE image_id = $1", &[&id])?;
    unlink(connection, id, &body, config)?;
    Ok(node)
}

/// Notes that what segments say of an image does not count.
fn displace(connection: &mut Connection, id: i64) -> Result<()> {
    connection
        .execute("INSERT INTO displaced (image_id) VALUES ($1) ON CONFLICT (image_id) DO NOTHING", &[&id])?;
    Ok(())
}

/// Frees what only this image said.
fn unlink(connection: &mut Connection, id: i64, body: &ImageBody, config: i64) -> Result<()> {
    descriptions::unlink(connection, id, &body.labels, &body.layers().collect::<Vec<_>>(), config)
}

pub(super) fn forget(connection: &mut Connection, image: ImageId, now: i64) -> Result<bool> {
    Lock::Said.take(connection)?;
    let row =
        connection.row("SELECT body, config_id FROM image WHERE image_id = $1 FOR UPDATE", &[&image.0])?;
    let Some(row) = row else { return Ok(false) };
    let body = ImageBody::decode(&column::<Vec<u8>>(&row, 0)?)?;
    // What it used may be unused from now on; a collection looks.
    let former: Vec<i64> =
        connection.values("SELECT node_id FROM image_former WHERE image_id = $1", &[&image.0])?;
    let nodes: BTreeSet<i64> = body.nodes().into_iter().chain(former).filter(|node| *node != 0).collect();
    let layers: BTreeSet<i64> = body.layers().map(|(layer, _)| layer).collect();
    for (kind, ids) in [(Kind::Layer, layers), (Kind::Node, nodes)] {
        let ids: Vec<i64> = ids.into_iter().collect();
        connection.execute(
            "INSERT INTO unused (kind, id, since) SELECT $1::bigint, id, $3::bigint
             FROM unnest($2::bigint[]) AS w (id) ORDER BY id
             ON CONFLICT (kind, id) DO UPDATE SET since = excluded.since",
            &[&(kind as i64), &ids, &now],
        )?;
    }
    references::forget(connection, image)?;
    connection.execute("DELETE FROM image_former WHERE image_id = $1", &[&image.0])?;
    connection.execute("DELETE FROM image WHERE image_id = $1", &[&image.0])?;
    unlink(connection, image.0, &body, column(&row, 1)?)?;
    displace(connection, image.0)?;
    Ok(true)
}
