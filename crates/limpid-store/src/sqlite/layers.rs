//! Findings by layer digest, and the leases under which they are made.

use limpid_model::Digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{count, integer};
use crate::Result;
use crate::layer_body::{Packed, record};
use crate::store::{ABANDONED_SECONDS, LayerRecord, Lease};

/// The id of a layer.
pub(super) fn layer_id(connection: &Connection, digest: &Digest) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT layer_id FROM layer WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1",
    )?;
    Ok(statement.query_row([digest.as_bytes().as_slice()], |row| row.get(0)).optional()?)
}

pub(super) fn layer(connection: &Connection, digest: &Digest) -> Result<Option<LayerRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT size_bytes, uncompressed_bytes, findings, searched, body FROM layer JOIN extractors USING (extractors_id)
         WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1",
    )?;
    let row = statement
        .query_row([digest.as_bytes().as_slice()], |row| {
            let blobs = (row.get::<_, Vec<u8>>(2)?, row.get::<_, Vec<u8>>(3)?, row.get::<_, Vec<u8>>(4)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, blobs))
        })
        .optional()?;
    row.map(|(size, uncompressed, (findings, searched, extractors))| {
        record(*digest, (size, uncompressed), &findings, &searched, &extractors)
    })
    .transpose()
}

pub(super) fn put_layer(connection: &mut Connection, layer: &LayerRecord) -> Result<()> {
    // Packed before the transaction begins: nobody else waits for that.
    let packed = Packed::of(layer)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(id) = layer_id(&transaction, &layer.digest)? else {
        insert(&transaction, layer, &packed)?;
        return Ok(transaction.commit()?);
    };
    // A reader that was held up for so long that another took its place must not undo what that one searched for.
    if self::layer(&transaction, &layer.digest)?.is_some_and(|known| known.says_more_than(layer)) {
        transaction
            .prepare_cached("UPDATE layer SET analysed = analysed + 1 WHERE layer_id = ?1")?
            .execute([id])?;
    } else {
        transaction
            .prepare_cached(
                "UPDATE layer SET size_bytes = ?2, uncompressed_bytes = ?3, findings = ?4, searched = ?5,
                 extractors_id = ?6, analysed = analysed + 1 WHERE layer_id = ?1",
            )?
            .execute(params![
                id,
                integer(layer.size_bytes),
                integer(layer.uncompressed_bytes),
                packed.findings,
                packed.searched,
                extractors_id(&transaction, &packed.extractors)?,
            ])?;
    }
    transaction.commit()?;
    Ok(())
}

/// Keeps a layer, if it is not there, and says its id. To be called inside a write transaction.
pub(super) fn ensure(connection: &Connection, layer: &LayerRecord) -> Result<i64> {
    match layer_id(connection, &layer.digest)? {
        Some(id) => Ok(id),
        None => insert(connection, layer, &Packed::of(layer)?),
    }
}

fn insert(connection: &Connection, layer: &LayerRecord, packed: &Packed) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO layer (digest, size_bytes, uncompressed_bytes, findings, searched, extractors_id, analysed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
        )?
        .execute(params![
            layer.digest.as_bytes().as_slice(),
            integer(layer.size_bytes),
            integer(layer.uncompressed_bytes),
            packed.findings,
            packed.searched,
            extractors_id(connection, &packed.extractors)?,
        ])?;
    Ok(connection.last_insert_rowid())
}

fn extractors_id(connection: &Connection, body: &[u8]) -> Result<i64> {
    let mut find = connection.prepare_cached("SELECT extractors_id FROM extractors WHERE body = ?1")?;
    if let Some(id) = find.query_row([body], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO extractors (body) VALUES (?1)")?.execute([body])?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn readings(connection: &Connection, digest: &Digest) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT analysed FROM layer WHERE substr(digest, 1, 8) = substr(?1, 1, 8) AND digest = ?1",
    )?;
    let readings = statement.query_row([digest.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    Ok(count(readings.unwrap_or(0)))
}

pub(super) fn lease(
    connection: &mut Connection,
    task: &str,
    lease: &Lease,
    is_over: &dyn Fn(&Lease) -> bool,
) -> Result<Option<Lease>> {
    let others = |connection: &Connection| -> Result<Option<Lease>> {
        let mut statement =
            connection.prepare_cached("SELECT owner, expires_at FROM lease WHERE task = ?1")?;
        let row = statement.query_row([task], |row| Ok(Lease { owner: row.get(0)?, until: row.get(1)? }));
        Ok(row.optional()?.filter(|held| held.owner != lease.owner && !is_over(held)))
    };
    // Those who wait ask often: only who has a chance takes the writers' lock.
    if let Some(held) = others(connection)? {
        return Ok(Some(held));
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(held) = others(&transaction)? {
        return Ok(Some(held));
    }
    // Those of processes that ended just before they would have given them back.
    transaction
        .prepare_cached("DELETE FROM lease WHERE expires_at < ?1")?
        .execute([lease.until.saturating_sub(ABANDONED_SECONDS)])?;
    transaction
        .prepare_cached(
            "INSERT INTO lease (task, owner, expires_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (task) DO UPDATE SET owner = ?2, expires_at = ?3",
        )?
        .execute(params![task, lease.owner, lease.until])?;
    transaction.commit()?;
    Ok(None)
}

pub(super) fn release(connection: &Connection, task: &str, owner: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM lease WHERE task = ?1 AND owner = ?2")?
        .execute(params![task, owner])?;
    Ok(())
}
