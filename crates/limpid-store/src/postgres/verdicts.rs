//! Verdicts by package version and context: the third memo table.

use std::collections::BTreeMap;

use limpid_model::Verdict;

use super::connection::{Connection, column};
use super::ids::{Counter, Lock};
use super::texts;
use crate::column::integer;
use crate::store::OccurrenceId;
use crate::{Result, codec};

pub(super) fn verdicts(
    connection: &mut Connection,
    occurrences: &[OccurrenceId],
    rules_version: u32,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
    kept(connection, "verdict", occurrences, rules_version)
}

fn kept(
    connection: &mut Connection,
    table: &str,
    occurrences: &[OccurrenceId],
    rules_version: u32,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
    let wanted: Vec<i64> = occurrences.iter().map(|occurrence| occurrence.0).collect();
    let mut found = BTreeMap::new();
    connection.each(
        &format!(
            "SELECT o.occurrence_id, v.body FROM occurrence o
             JOIN {table} v ON v.package_id = o.package_id AND v.context_id = o.context_id
             WHERE o.occurrence_id = ANY($1) AND v.rules_version = $2"
        ),
        &[&wanted, &i64::from(rules_version)],
        &mut |row| {
            let body = column::<Vec<u8>>(row, 1)?;
            found.insert(OccurrenceId(column(row, 0)?), codec::decode(&body, "a package's verdicts")?);
            Ok(())
        },
    )?;
    Ok(found)
}

/// Verdicts as they are written.
pub(super) fn encoded(verdicts: &BTreeMap<OccurrenceId, Vec<Verdict>>) -> Result<Vec<(i64, Vec<u8>)>> {
    verdicts.iter().map(|(occurrence, verdicts)| Ok((occurrence.0, codec::encode(verdicts)?))).collect()
}

pub(super) fn put_verdicts(
    connection: &mut Connection,
    revision: u64,
    rules_version: u32,
    verdicts: &[(i64, Vec<u8>)],
    signed_sources: &[(OccurrenceId, String)],
) -> Result<()> {
    Lock::Tree.share(connection)?;
    // Whoever makes a revision holds this row until it is there, and then forgets verdicts: what would wait for it is
    // stale already.
    let newest = connection.row(
        "SELECT last FROM counter WHERE kind = $1 FOR SHARE SKIP LOCKED",
        &[&(Counter::Revision as i64)],
    )?;
    let newest = newest.map(|row| column::<i64>(&row, 0)).transpose()?;
    if newest != Some(integer(revision)) {
        return Ok(());
    }
    let processed: i64 = connection.value("SELECT rules_version FROM event_state", &[])?;
    let keeps_former = processed != 0 && processed != i64::from(rules_version);
    for piece in texts::pieces(verdicts.iter().collect(), |(_, body)| body.len()) {
        let occurrences: Vec<i64> = piece.iter().map(|(occurrence, _)| *occurrence).collect();
        if keeps_former {
            keep_former(connection, processed, &occurrences)?;
        }
        let bodies: Vec<&[u8]> = piece.iter().map(|(_, body)| body.as_slice()).collect();
        connection.execute(
            "INSERT INTO verdict (package_id, context_id, rules_version, body)
             SELECT DISTINCT ON (o.package_id, o.context_id) o.package_id, o.context_id, $3::bigint, w.body
             FROM unnest($1::bigint[], $2::bytea[]) AS w (occurrence_id, body)
             JOIN occurrence o ON o.occurrence_id = w.occurrence_id
             ORDER BY o.package_id, o.context_id, o.occurrence_id DESC
             ON CONFLICT (package_id, context_id)
                DO UPDATE SET rules_version = excluded.rules_version, body = excluded.body",
            &[&occurrences, &bodies, &i64::from(rules_version)],
        )?;
        // What vulnerabilities affect does not have these as they are now.
        connection.execute(
            "INSERT INTO unlisted (occurrence_id) SELECT DISTINCT o.occurrence_id FROM occurrence w
             JOIN occurrence o ON o.package_id = w.package_id AND o.context_id = w.context_id
             WHERE w.occurrence_id = ANY($1) ORDER BY o.occurrence_id ON CONFLICT (occurrence_id) DO NOTHING",
            &[&occurrences],
        )?;
    }
    for piece in texts::pieces(signed_sources.iter().collect(), |(_, source)| source.len()) {
        let occurrences: Vec<i64> = piece.iter().map(|(occurrence, _)| occurrence.0).collect();
        let sources: Vec<&[u8]> = piece.iter().map(|(_, source)| source.as_bytes()).collect();
        connection.execute(
            "INSERT INTO signed_source (source_name, package_id) SELECT w.source, o.package_id
             FROM unnest($1::bigint[], $2::bytea[]) AS w (occurrence_id, source)
             JOIN occurrence o ON o.occurrence_id = w.occurrence_id ORDER BY w.source, o.package_id
             ON CONFLICT (hash, package_id) DO NOTHING",
            &[&occurrences, &sources],
        )?;
    }
    Ok(())
}

/// Keeps the verdicts by the rules that events were derived by last, before those of newer rules take their place: what the
/// new rules change is yet to be told.
fn keep_former(connection: &mut Connection, processed: i64, occurrences: &[i64]) -> Result<()> {
    connection.execute(
        "INSERT INTO former_verdict (package_id, context_id, rules_version, body)
         SELECT DISTINCT ON (v.package_id, v.context_id) v.package_id, v.context_id, v.rules_version, v.body
         FROM occurrence o JOIN verdict v ON v.package_id = o.package_id AND v.context_id = o.context_id
         WHERE o.occurrence_id = ANY($1) AND v.rules_version = $2 ORDER BY v.package_id, v.context_id
         ON CONFLICT (package_id, context_id) DO NOTHING",
        &[&occurrences, &processed],
    )?;
    Ok(())
}

/// The verdicts by former rules, whether they are still in their place or were kept.
pub(super) fn former(
    connection: &mut Connection,
    occurrences: &[OccurrenceId],
    rules_version: u32,
) -> Result<BTreeMap<OccurrenceId, Vec<Verdict>>> {
    let mut found = kept(connection, "former_verdict", occurrences, rules_version)?;
    found.extend(kept(connection, "verdict", occurrences, rules_version)?);
    Ok(found)
}
