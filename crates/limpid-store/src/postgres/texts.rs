//! Interned strings.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::Digest;

use super::connection::{Connection, column, text};
use super::ids::pairs;
use crate::{Error, Result};

/// Rows and bytes of one statement's parameters at most: a message to the server has less than a gigabyte.
const ROWS_MAX: usize = 1000;
const BYTES_MAX: usize = 16 << 20;

/// Cuts rows into pieces that one statement takes.
pub(super) fn pieces<T>(rows: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0_usize);
    for row in rows {
        bytes = bytes.saturating_add(size(&row));
        let is_full = pieces.last().is_some_and(|piece: &Vec<T>| {
            piece.len() >= ROWS_MAX || (bytes > BYTES_MAX && !piece.is_empty())
        });
        if is_full {
            bytes = size(&row);
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(row);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Stores rows, in the order in which they come.
pub(super) type Insert<'a, T> = dyn FnMut(&mut Connection, &[(Digest, T)]) -> Result<()> + 'a;

/// The ids of rows by their hashes: those that are there, and those that `insert` makes of the rest. Rows are inserted
/// in the order of their hashes, whoever does it, so that nobody waits for somebody who waits for him.
pub(super) fn intern<T>(
    connection: &mut Connection,
    table: &str,
    rows: BTreeMap<Digest, T>,
    size: impl Fn(&T) -> usize,
    insert: &mut Insert<'_, T>,
) -> Result<BTreeMap<Digest, i64>> {
    let select = format!("SELECT hash, {table}_id FROM {table} WHERE hash = ANY($1)");
    let mut ids = BTreeMap::new();
    for piece in pieces(rows.into_iter().collect(), |(_, row)| size(row)) {
        let hashes: Vec<&[u8]> = piece.iter().map(|(hash, _)| hash.as_bytes().as_slice()).collect();
        let mut found = pairs(&connection.query(&select, &[&hashes])?)?;
        if found.len() < hashes.len() {
            drop(hashes);
            let missing: Vec<(Digest, T)> = piece
                .into_iter()
                .filter(|(hash, _)| !found.contains_key(hash.as_bytes().as_slice()))
                .collect();
            insert(connection, &missing)?;
            let hashes: Vec<&[u8]> = missing.iter().map(|(hash, _)| hash.as_bytes().as_slice()).collect();
            found.extend(pairs(&connection.query(&select, &[&hashes])?)?);
        }
        for (hash, id) in found {
            ids.insert(crate::column::digest(&hash)?, id);
        }
    }
    Ok(ids)
}

/// The ids of strings, made if need be.
pub(super) fn intern_all<'a>(
    connection: &mut Connection,
    values: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<&'a str, i64>> {
    let values: BTreeSet<&str> = values.collect();
    let rows: BTreeMap<Digest, &str> =
        values.iter().map(|value| (Digest::of(value.as_bytes()), *value)).collect();
    let ids = intern(connection, "text", rows, |value| value.len(), &mut |connection, missing| {
        let values: Vec<&[u8]> = missing.iter().map(|(_, value)| value.as_bytes()).collect();
        connection.execute(
            "INSERT INTO text (value) SELECT value FROM unnest($1::bytea[]) WITH ORDINALITY AS w (value, n) ORDER BY n
             ON CONFLICT (hash) DO NOTHING",
            &[&values],
        )?;
        Ok(())
    })?;
    let id = |value: &&'a str| {
        let id = ids.get(&Digest::of(value.as_bytes())).copied();
        id.map(|id| (*value, id))
            .ok_or_else(|| Error::Corrupt("a text that was stored is missing".to_owned()))
    };
    values.iter().map(id).collect()
}

/// The id of a string, if it was ever interned.
pub(super) fn find(connection: &mut Connection, value: &str) -> Result<Option<i64>> {
    let hash = Digest::of(value.as_bytes());
    let row = connection.row("SELECT text_id FROM text WHERE hash = $1", &[&hash.as_bytes().as_slice()])?;
    row.map(|row| column(&row, 0)).transpose()
}

/// The strings of ids.
pub(super) fn values(connection: &mut Connection, ids: &BTreeSet<i64>) -> Result<BTreeMap<i64, String>> {
    let ids: Vec<i64> = ids.iter().copied().collect();
    let rows = connection.query("SELECT text_id, value FROM text WHERE text_id = ANY($1)", &[&ids])?;
    rows.iter().map(|row| Ok((column(row, 0)?, text(row, 1)?))).collect()
}

/// A string that must be among those that were asked for.
pub(super) fn value(values: &BTreeMap<i64, String>, id: i64) -> Result<String> {
    values.get(&id).cloned().ok_or_else(|| Error::Corrupt(format!("text {id} is missing")))
}
