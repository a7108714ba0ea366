//! Findings by layer digest, and the leases under which they are made.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Digest;

use super::connection::{Connection, column, text};
use super::ids::pairs;
use crate::Result;
use crate::column::{count, integer};
use crate::layer_body::{Packed, record};
use crate::store::{ABANDONED_SECONDS, LayerRecord, Lease};

pub(super) fn layer(connection: &mut Connection, digest: &Digest) -> Result<Option<LayerRecord>> {
    read_layer(connection, digest, "")
}

fn read_layer(connection: &mut Connection, digest: &Digest, locking: &str) -> Result<Option<LayerRecord>> {
    let sql = format!(
        "SELECT l.size_bytes, l.uncompressed_bytes, l.findings, l.searched, e.body FROM layer l
         JOIN extractors e ON e.extractors_id = l.extractors_id WHERE l.digest = $1{locking}"
    );
    let Some(row) = connection.row(&sql, &[&digest.as_bytes().as_slice()])? else { return Ok(None) };
    let sizes = (column(&row, 0)?, column(&row, 1)?);
    let blob = |position: usize| column::<Vec<u8>>(&row, position);
    record(*digest, sizes, &blob(2)?, &blob(3)?, &blob(4)?).map(Some)
}

pub(super) fn put_layer(connection: &mut Connection, layer: &LayerRecord, packed: &Packed) -> Result<()> {
    let digest = layer.digest.as_bytes().as_slice();
    let extractors = extractors_id(connection, &packed.extractors)?;
    // A reader that was held up for so long that another took its place must not undo what that one searched for.
    let known = read_layer(connection, &layer.digest, " FOR UPDATE OF l")?;
    if known.is_some_and(|known| known.says_more_than(layer)) {
        connection.execute("UPDATE layer SET analysed = analysed + 1 WHERE digest = $1", &[&digest])?;
        return Ok(());
    }
    connection.execute(
        "INSERT INTO layer AS l (digest, size_bytes, uncompressed_bytes, findings, searched, extractors_id, analysed)
         VALUES ($1, $2, $3, $4, $5, $6, 1)
         ON CONFLICT (digest) DO UPDATE SET size_bytes = $2, uncompressed_bytes = $3, findings = $4,
         searched = $5, extractors_id = $6, analysed = l.analysed + 1",
        &[
            &digest,
            &integer(layer.size_bytes),
            &integer(layer.uncompressed_bytes),
            &packed.findings,
            &packed.searched,
            &extractors,
        ],
    )?;
    Ok(())
}

/// The ids of layers by their digests, those that are there.
pub(super) fn ids(connection: &mut Connection, digests: &BTreeSet<Digest>) -> Result<BTreeMap<Digest, i64>> {
    let wanted: Vec<&[u8]> = digests.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    let found =
        pairs(&connection.query("SELECT digest, layer_id FROM layer WHERE digest = ANY($1)", &[&wanted])?)?;
    found.into_iter().map(|(digest, id)| Ok((crate::column::digest(&digest)?, id))).collect()
}

/// Keeps layers that are not there; the ids of all of them. In the order of their digests, as everybody does.
pub(super) fn ensure(
    connection: &mut Connection,
    layers: &BTreeMap<Digest, &LayerRecord>,
) -> Result<BTreeMap<Digest, i64>> {
    let all: BTreeSet<Digest> = layers.keys().copied().collect();
    let mut known = ids(connection, &all)?;
    if known.len() < all.len() {
        for (digest, layer) in layers.iter().filter(|(digest, _)| !known.contains_key(digest)) {
            let packed = Packed::of(layer)?;
            let extractors = extractors_id(connection, &packed.extractors)?;
            connection.execute(
                "INSERT INTO layer (digest, size_bytes, uncompressed_bytes, findings, searched, extractors_id, analysed)
                 VALUES ($1, $2, $3, $4, $5, $6, 1) ON CONFLICT (digest) DO NOTHING",
                &[
                    &digest.as_bytes().as_slice(),
                    &integer(layer.size_bytes),
                    &integer(layer.uncompressed_bytes),
                    &packed.findings,
                    &packed.searched,
                    &extractors,
                ],
            )?;
        }
        known = ids(connection, &all)?;
    }
    Ok(known)
}

fn extractors_id(connection: &mut Connection, body: &[u8]) -> Result<i64> {
    let hash = Digest::of(body);
    let find = "SELECT extractors_id FROM extractors WHERE hash = $1";
    if let Some(row) = connection.row(find, &[&hash.as_bytes().as_slice()])? {
        return column(&row, 0);
    }
    connection
        .execute("INSERT INTO extractors (body) VALUES ($1) ON CONFLICT (hash) DO NOTHING", &[&body])?;
    connection.value(find, &[&hash.as_bytes().as_slice()])
}

pub(super) fn readings(connection: &mut Connection, digest: &Digest) -> Result<u64> {
    let row =
        connection.row("SELECT analysed FROM layer WHERE digest = $1", &[&digest.as_bytes().as_slice()])?;
    Ok(count(row.map(|row| column(&row, 0)).transpose()?.unwrap_or(0)))
}

/// Somebody else's lease that counts.
pub(super) fn held(
    connection: &mut Connection,
    task: &str,
    lease: &Lease,
    is_over: &dyn Fn(&Lease) -> bool,
    locking: &str,
) -> Result<Option<Lease>> {
    let hash = Digest::of(task.as_bytes());
    let sql = format!("SELECT owner, expires_at FROM lease WHERE hash = $1{locking}");
    let Some(row) = connection.row(&sql, &[&hash.as_bytes().as_slice()])? else { return Ok(None) };
    let held = Lease { owner: text(&row, 0)?, until: column(&row, 1)? };
    Ok(Some(held).filter(|held| held.owner != lease.owner && !is_over(held)))
}

pub(super) fn lease(
    connection: &mut Connection,
    task: &str,
    lease: &Lease,
    is_over: &dyn Fn(&Lease) -> bool,
) -> Result<Option<Lease>> {
    let values: [&(dyn postgres::types::ToSql + Sync); 3] =
        [&task.as_bytes(), &lease.owner.as_bytes(), &lease.until];
    let made = connection.execute(
        "INSERT INTO lease (task, owner, expires_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING",
        &values,
    )?;
    if made == 0 {
        if let Some(held) = held(connection, task, lease, is_over, " FOR UPDATE")? {
            return Ok(Some(held));
        }
        connection.execute(
            "INSERT INTO lease (task, owner, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (hash) DO UPDATE SET owner = $2, expires_at = $3",
            &values,
        )?;
    }
    // Those of processes that ended just before they would have given them back.
    connection.execute(
        "DELETE FROM lease WHERE hash IN
            (SELECT hash FROM lease WHERE expires_at < $1 FOR UPDATE SKIP LOCKED)",
        &[&lease.until.saturating_sub(ABANDONED_SECONDS)],
    )?;
    Ok(None)
}

pub(super) fn release(connection: &mut Connection, task: &str, owner: &str) -> Result<()> {
    let hash = Digest::of(task.as_bytes());
    connection.execute(
        "DELETE FROM lease WHERE hash = $1 AND owner = $2",
        &[&hash.as_bytes().as_slice(), &owner.as_bytes()],
    )?;
    Ok(())
}
