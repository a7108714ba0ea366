//! Verdicts by package version and context: the third memo table.

use std::collections::BTreeMap;

use limpid_model::Verdict;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{exposures, feeds};
use crate::store::OccurrenceId;
use crate::{Result, codec};

pub(super) fn verdicts(
    connection: &Connection,
    occurrences: &[OccurrenceId],
    rules_version: u32,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
    let mut statement = connection.prepare_cached(
        "SELECT v.body FROM occurrence o JOIN verdict v USING (package_id, context_id)
         WHERE o.occurrence_id = ?1 AND v.rules_version = ?2",
    )?;
    let mut found = BTreeMap::new();
    for occurrence in occurrences {
        let body: Option<Vec<u8>> =
            statement.query_row(params![occurrence.0, rules_version], |row| row.get(0)).optional()?;
        if let Some(body) = body {
            found.insert(*occurrence, codec::decode(&body, "a package's verdicts")?);
        }
    }
    Ok(found)
}

pub(super) fn put_verdicts(
    connection: &mut Connection,
    revision: u64,
    rules_version: u32,
    verdicts: &BTreeMap<OccurrenceId, Vec<Verdict>>,
    signed_sources: &[(OccurrenceId, String)],
) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if feeds::revision(&transaction)? != revision {
        return Ok(());
    }
    keep_former(&transaction, rules_version, verdicts.keys())?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO verdict (package_id, context_id, rules_version, body)
         SELECT package_id, context_id, ?2, ?3 FROM occurrence WHERE occurrence_id = ?1
         ON CONFLICT (package_id, context_id) DO UPDATE SET rules_version = ?2, body = ?3
         RETURNING package_id, context_id",
    )?;
    for (occurrence, verdicts) in verdicts {
        let values = params![occurrence.0, rules_version, codec::encode(verdicts)?];
        let pair = insert.query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        // None if it was freed meanwhile.
        if let Some((package, context)) = pair {
            exposures::note_unlisted(&transaction, package, context)?;
        }
    }
    let mut name = transaction.prepare_cached(
        "INSERT OR IGNORE INTO signed_source (source_name, package_id)
         SELECT ?2, package_id FROM occurrence WHERE occurrence_id = ?1",
    )?;
    for (occurrence, source) in signed_sources {
        name.execute(params![occurrence.0, source])?;
    }
    drop((insert, name));
    transaction.commit()?;
    Ok(())
}

/// Keeps the verdicts by the rules that events were derived by last, before those of newer rules take their place: what the
/// new rules change is yet to be told.
fn keep_former<'a>(
    connection: &Connection,
    rules_version: u32,
    occurrences: impl Iterator<Item = &'a OccurrenceId>,
) -> Result<()> {
    let processed: u32 = connection
        .prepare_cached("SELECT rules_version FROM event_state")?
        .query_row([], |row| row.get(0))?;
    if [0, rules_version].contains(&processed) {
        return Ok(());
    }
    let mut keep = connection.prepare_cached(
        "INSERT OR IGNORE INTO former_verdict (package_id, context_id, rules_version, body)
         SELECT package_id, context_id, v.rules_version, v.body FROM occurrence o JOIN verdict v
            USING (package_id, context_id) WHERE o.occurrence_id = ?1 AND v.rules_version = ?2",
    )?;
    for occurrence in occurrences {
        keep.execute(params![occurrence.0, processed])?;
    }
    Ok(())
}

/// The verdicts by former rules, whether they are still in their place or were kept.
pub(super) fn former(
    connection: &Connection,
    occurrences: &[OccurrenceId],
    rules_version: u32,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
    let mut found = verdicts(connection, occurrences, rules_version)?;
    let mut statement = connection.prepare_cached(
        "SELECT v.body FROM occurrence o JOIN former_verdict v USING (package_id, context_id)
         WHERE o.occurrence_id = ?1 AND v.rules_version = ?2",
    )?;
    for occurrence in occurrences {
        if found.contains_key(occurrence) {
            continue;
        }
        let body: Option<Vec<u8>> =
            statement.query_row(params![occurrence.0, rules_version], |row| row.get(0)).optional()?;
        if let Some(body) = body {
            found.insert(*occurrence, codec::decode(&body, "a package's verdicts")?);
        }
    }
    Ok(found)
}
