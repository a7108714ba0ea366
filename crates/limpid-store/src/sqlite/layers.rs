//! Findings by layer digest, and the leases under which they are made.

use limpid_model::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{count, integer};
use crate::store::{LayerRecord, Lease};
use crate::{Result, codec};

pub(super) fn layer(connection: &Connection, digest: &Digest) -> Result<Option<LayerRecord>> {
    let mut statement = connection
        .prepare_cached("SELECT size_bytes, uncompressed_bytes, findings FROM layer WHERE digest = ?1")?;
    let row = statement
        .query_row([digest.as_bytes().as_slice()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    row.map(|(size, uncompressed, findings)| {
        Ok(LayerRecord {
            digest: *digest,
            size_bytes: count(size),
            uncompressed_bytes: count(uncompressed),
            findings: codec::unpack(&findings, "a layer's findings")?,
        })
    })
    .transpose()
}

pub(super) fn put_layer(connection: &Connection, layer: &LayerRecord) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO layer (digest, size_bytes, uncompressed_bytes, findings) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (digest) DO UPDATE SET size_bytes = ?2, uncompressed_bytes = ?3, findings = ?4",
        )?
        .execute(params![
            layer.digest.as_bytes().as_slice(),
            integer(layer.size_bytes),
            integer(layer.uncompressed_bytes),
            codec::pack(&layer.findings)?,
        ])?;
    Ok(())
}

pub(super) fn lease(
    connection: &mut Connection,
    task: &str,
    owner: &str,
    now: i64,
    until: i64,
) -> Result<Lease> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let held: Option<(String, i64)> = transaction
        .prepare_cached("SELECT owner, expires_at FROM lease WHERE task = ?1")?
        .query_row([task], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((holder, expires_at)) = held
        && holder != owner
        && expires_at > now
    {
        return Ok(Lease::Held { until: expires_at });
    }
    transaction
        .prepare_cached(
            "INSERT INTO lease (task, owner, expires_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (task) DO UPDATE SET owner = ?2, expires_at = ?3",
        )?
        .execute(params![task, owner, until])?;
    transaction.commit()?;
    Ok(Lease::Granted)
}

pub(super) fn release(connection: &Connection, task: &str, owner: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM lease WHERE task = ?1 AND owner = ?2")?
        .execute(params![task, owner])?;
    Ok(())
}
