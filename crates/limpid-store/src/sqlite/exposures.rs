//! Verdicts turned round: which occurrences a vulnerability affects.
//!
//! A vulnerability's set is a roaring bitmap. Sets are not written when verdicts are kept, which would touch hundreds
//! of them for every image that is reported on: occurrences whose verdicts came or changed are noted in `unlisted`,
//! and the sets are brought up to date for many of them at a time, before somebody asks. A verdict's row has in
//! `listed` which sets have its occurrences, so that only sets that differ are written. Verdicts that an update
//! made stale stay, with no rules' version, until new ones take their place: their sets change only by what is new.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Occurrence, Verdict};
use roaring::RoaringBitmap;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{nodes, texts};
use crate::exposure::{self, Listed, decode, listed};
use crate::fleet::OccurrenceSet;
use crate::store::OccurrenceId;
use crate::{Error, Result, codec};

pub(super) fn exposures(
    connection: &Connection,
    sink: &mut dyn FnMut(&str, OccurrenceSet) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT t.value, e.occurrences FROM exposure e JOIN text t ON t.text_id = e.vulnerability_text",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let set = decode(row.get_ref(1)?.as_blob().unwrap_or_default())?;
        let vulnerability = row.get_ref(0)?.as_str().map_err(|error| Error::Corrupt(error.to_string()))?;
        sink(vulnerability, OccurrenceSet(set))?;
    }
    Ok(())
}

pub(super) fn unlisted(
    connection: &Connection,
    rules_version: u32,
    after: Option<OccurrenceId>,
    limit: usize,
) -> Result<Vec<(OccurrenceId, Occurrence)>> {
    let mut statement = connection.prepare_cached(
        "SELECT occurrence_id FROM unlisted WHERE occurrence_id > ?1
         UNION
         SELECT o.occurrence_id FROM verdict v JOIN occurrence o USING (package_id, context_id)
         WHERE (v.rules_version < ?2 OR v.rules_version > ?2) AND o.occurrence_id > ?1
         ORDER BY 1 LIMIT ?3",
    )?;
    let after = after.map_or(i64::MIN, |after| after.0);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let ids = statement.query_map(params![after, rules_version, limit], |row| row.get::<_, i64>(0))?;
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let mut read = connection
        .prepare_cached(&format!("SELECT {} WHERE o.occurrence_id = ?1", nodes::OCCURRENCE_COLUMNS))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = read.query([id])?;
        if let Some(row) = rows.next()? {
            found.push((OccurrenceId(id), nodes::read_occurrence(row, 0)?));
        }
    }
    Ok(found)
}

/// Notes that the sets do not have the occurrences of a verdict as it is now.
pub(super) fn note_unlisted(connection: &Connection, package: i64, context: i64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO unlisted (occurrence_id)
             SELECT occurrence_id FROM occurrence WHERE package_id = ?1 AND context_id = ?2",
        )?
        .execute([package, context])?;
    Ok(())
}

/// A package in a context whose occurrences the sets do not have as they are.
struct Pair {
    body: Vec<u8>,
    listed: Option<Vec<u8>>,
}

pub(super) fn list(connection: &mut Connection, rules_version: u32, limit: usize) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let pairs = pairs(&transaction, rules_version, limit)?;
    let mut changes: BTreeMap<i64, (RoaringBitmap, RoaringBitmap)> = BTreeMap::new();
    let mut members = transaction.prepare_cached(
        "SELECT occurrence_id, EXISTS (SELECT 1 FROM unlisted u WHERE u.occurrence_id = o.occurrence_id)
         FROM occurrence o WHERE package_id = ?1 AND context_id = ?2",
    )?;
    let mut note = transaction
        .prepare_cached("UPDATE verdict SET listed = ?3 WHERE package_id = ?1 AND context_id = ?2")?;
    let mut done = transaction.prepare_cached("DELETE FROM unlisted WHERE occurrence_id = ?1")?;
    let any = !pairs.is_empty();
    for ((package, context), pair) in pairs {
        let before: BTreeSet<i64> = listed(pair.listed.as_deref())?.into_iter().collect();
        let mut now = BTreeSet::new();
        let verdicts: Vec<Verdict> = codec::decode(&pair.body, "a package's verdicts")?;
        for verdict in verdicts.iter().filter(|verdict| verdict.state.is_affected()) {
            now.insert(texts::intern(&transaction, &verdict.vulnerability)?);
        }
        let mut rows = members.query([package, context])?;
        while let Some(row) = rows.next()? {
            let (id, is_new): (i64, bool) = (row.get(0)?, row.get(1)?);
            let Ok(occurrence) = u32::try_from(id) else { continue };
            for gone in before.difference(&now) {
                changes.entry(*gone).or_default().1.insert(occurrence);
            }
            // One that came later is in none of the sets yet.
            let added = now.iter().filter(|text| is_new || !before.contains(text));
            for text in added {
                changes.entry(*text).or_default().0.insert(occurrence);
            }
            done.execute([id])?;
        }
        if pair.listed.is_none() || before != now {
            let now: Listed = now.into_iter().collect();
            note.execute(params![package, context, codec::encode(&now)?])?;
        }
    }
    drop((members, note, done));
    for (text, (added, removed)) in changes {
        change(&transaction, text, &added, &removed)?;
    }
    transaction.commit()?;
    Ok(any)
}

fn pairs(connection: &Connection, rules_version: u32, limit: usize) -> Result<BTreeMap<(i64, i64), Pair>> {
    let mut statement = connection.prepare_cached(
        "SELECT v.package_id, v.context_id, v.body, v.listed FROM unlisted u JOIN occurrence o USING (occurrence_id)
         JOIN verdict v USING (package_id, context_id) WHERE v.rules_version = ?1 LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![rules_version, limit], |row| {
        Ok(((row.get(0)?, row.get(1)?), Pair { body: row.get(2)?, listed: row.get(3)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes an occurrence that is freed out of the sets. To be called inside a write transaction, while its verdict is there.
pub(super) fn free(connection: &Connection, occurrence: i64, package: i64, context: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM unlisted WHERE occurrence_id = ?1")?.execute([occurrence])?;
    let row: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT listed FROM verdict WHERE package_id = ?1 AND context_id = ?2")?
        .query_row([package, context], |row| row.get(0))
        .optional()?;
    let removed: RoaringBitmap = u32::try_from(occurrence).into_iter().collect();
    for text in listed(row.flatten().as_deref())? {
        change(connection, text, &RoaringBitmap::new(), &removed)?;
    }
    Ok(())
}

fn change(connection: &Connection, text: i64, added: &RoaringBitmap, removed: &RoaringBitmap) -> Result<()> {
    let known: Option<Vec<u8>> = connection
        .prepare_cached("SELECT occurrences FROM exposure WHERE vulnerability_text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()?;
    let mut set = known.as_deref().map(decode).transpose()?.unwrap_or_default();
    set -= removed;
    set |= added;
    if set.is_empty() {
        connection.prepare_cached("DELETE FROM exposure WHERE vulnerability_text = ?1")?.execute([text])?;
        return Ok(());
    }
    let body = exposure::encode(set)?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO exposure (vulnerability_text, occurrences) VALUES (?1, ?2)")?
        .execute(params![text, body])?;
    Ok(())
}
