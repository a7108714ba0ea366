//! Verdicts turned round: which occurrences a vulnerability affects.
//!
//! A vulnerability's set is a roaring bitmap. Sets are not written when verdicts are kept: occurrences whose verdicts came or
//! changed are noted in `unlisted`, and the sets are brought up to date for many of them at a time, before somebody asks. A
//! verdict's row has in `listed` which sets have its occurrences. Who changes sets is alone with the rows of `unlisted` that
//! it works on, and with the sets, which it takes in the order of their texts.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Occurrence, Verdict};
use roaring::RoaringBitmap;

use super::connection::{Connection, column, text};
use super::ids::Lock;
use super::{occurrences, texts};
use crate::exposure::{Listed, decode, encode, listed};
use crate::fleet::OccurrenceSet;
use crate::store::OccurrenceId;
use crate::{Result, codec};

/// The key of the lock under which sets are changed: "Lmpd" and "expo".
const LOCK: i64 = 0x4c6d_7064_6578_706f;

/// Sets that are read at a time.
const SETS_MAX: i64 = 1000;

/// The last text of a page, and the sets with their vulnerabilities.
type Page = (Option<i64>, Vec<(String, OccurrenceSet)>);

/// Sets after a text, by the texts' ids.
pub(super) fn exposures(connection: &mut Connection, after: i64) -> Result<Page> {
    let rows = connection.query(
        "SELECT e.vulnerability_text, t.value, e.occurrences FROM exposure e
         JOIN text t ON t.text_id = e.vulnerability_text
         WHERE e.vulnerability_text > $1 ORDER BY e.vulnerability_text LIMIT $2",
        &[&after, &SETS_MAX],
    )?;
    let last = rows.last().map(|row| column(row, 0)).transpose()?;
    let set = |row: &postgres::Row| Ok((text(row, 1)?, OccurrenceSet(decode(&column::<Vec<u8>>(row, 2)?)?)));
    Ok((last, rows.iter().map(set).collect::<Result<_>>()?))
}

pub(super) fn unlisted(
    connection: &mut Connection,
    rules_version: u32,
    after: Option<OccurrenceId>,
    limit: usize,
) -> Result<Vec<(OccurrenceId, Occurrence)>> {
    let ids: Vec<i64> = connection.values(
        "SELECT occurrence_id FROM unlisted WHERE occurrence_id > $1
         UNION
         SELECT o.occurrence_id FROM verdict v
         JOIN occurrence o ON o.package_id = v.package_id AND o.context_id = v.context_id
         WHERE (v.rules_version < $2 OR v.rules_version > $2) AND o.occurrence_id > $1
         ORDER BY 1 LIMIT $3",
        &[
            &after.map_or(i64::MIN, |after| after.0),
            &i64::from(rules_version),
            &i64::try_from(limit).unwrap_or(i64::MAX),
        ],
    )?;
    let found = occurrences::by_ids(connection, &ids.into_iter().collect())?;
    Ok(found.into_iter().map(|(id, occurrence)| (OccurrenceId(id), occurrence)).collect())
}

/// A package in a context whose occurrences the sets do not have as they are.
struct Pair {
    body: Vec<u8>,
    listed: Option<Vec<u8>>,
    /// Its occurrences, and whether each is noted as unlisted.
    members: Vec<(i64, bool)>,
}

pub(super) fn list(connection: &mut Connection, rules_version: u32, limit: usize) -> Result<bool> {
    Lock::Tree.share(connection)?;
    Lock::Texts.share(connection)?;
    connection.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    let pairs = pairs(connection, rules_version, limit)?;
    if pairs.is_empty() {
        return Ok(false);
    }
    let mut affected: BTreeMap<(i64, i64), Vec<String>> = BTreeMap::new();
    for (key, pair) in &pairs {
        let verdicts: Vec<Verdict> = codec::decode(&pair.body, "a package's verdicts")?;
        let names = verdicts.into_iter().filter(|verdict| verdict.state.is_affected());
        affected.insert(*key, names.map(|verdict| verdict.vulnerability).collect());
    }
    let ids = texts::intern_all(connection, affected.values().flatten().map(String::as_str))?;
    let mut changes: BTreeMap<i64, (RoaringBitmap, RoaringBitmap)> = BTreeMap::new();
    let (mut done, mut noted) = (Vec::new(), Vec::new());
    for (key, pair) in pairs {
        let before: BTreeSet<i64> = listed(pair.listed.as_deref())?.into_iter().collect();
        let names = affected.get(&key).map_or(&[][..], Vec::as_slice);
        let now: BTreeSet<i64> = names.iter().filter_map(|name| ids.get(name.as_str()).copied()).collect();
        for (id, is_new) in pair.members {
            done.push(id);
            let Ok(occurrence) = u32::try_from(id) else { continue };
            for gone in before.difference(&now) {
                changes.entry(*gone).or_default().1.insert(occurrence);
            }
            // One that came later is in none of the sets yet.
            for added in now.iter().filter(|text| is_new || !before.contains(text)) {
                changes.entry(*added).or_default().0.insert(occurrence);
            }
        }
        if pair.listed.is_none() || before != now {
            let now: Listed = now.into_iter().collect();
            noted.push((key, codec::encode(&now)?));
        }
    }
    connection.execute("DELETE FROM unlisted WHERE occurrence_id = ANY($1)", &[&done])?;
    note(connection, &noted)?;
    change(connection, &changes)?;
    Ok(true)
}

fn pairs(
    connection: &mut Connection,
    rules_version: u32,
    limit: usize,
) -> Result<BTreeMap<(i64, i64), Pair>> {
    let rows = connection.query(
        "SELECT v.package_id, v.context_id, v.body, v.listed FROM verdict v WHERE v.rules_version = $1
         AND (v.package_id, v.context_id) IN (
            SELECT o.package_id, o.context_id FROM unlisted u JOIN occurrence o ON o.occurrence_id = u.occurrence_id
            JOIN verdict w ON w.package_id = o.package_id AND w.context_id = o.context_id AND w.rules_version = $1
            LIMIT $2)
         ORDER BY v.package_id, v.context_id FOR UPDATE",
        &[&i64::from(rules_version), &i64::try_from(limit).unwrap_or(i64::MAX)],
    )?;
    let mut pairs = BTreeMap::new();
    for row in &rows {
        let pair = Pair { body: column(row, 2)?, listed: column(row, 3)?, members: Vec::new() };
        pairs.insert((column(row, 0)?, column(row, 1)?), pair);
    }
    let packages: Vec<i64> = pairs.keys().map(|key| key.0).collect();
    let contexts: Vec<i64> = pairs.keys().map(|key| key.1).collect();
    connection.each(
        "SELECT o.package_id, o.context_id, o.occurrence_id,
            EXISTS (SELECT 1 FROM unlisted u WHERE u.occurrence_id = o.occurrence_id)
         FROM unnest($1::bigint[], $2::bigint[]) AS w (package_id, context_id)
         JOIN occurrence o ON o.package_id = w.package_id AND o.context_id = w.context_id",
        &[&packages, &contexts],
        &mut |row| {
            if let Some(pair) = pairs.get_mut(&(column(row, 0)?, column(row, 1)?)) {
                pair.members.push((column(row, 2)?, column(row, 3)?));
            }
            Ok(())
        },
    )?;
    Ok(pairs)
}

fn note(connection: &mut Connection, noted: &[((i64, i64), Vec<u8>)]) -> Result<()> {
    let packages: Vec<i64> = noted.iter().map(|(key, _)| key.0).collect();
    let contexts: Vec<i64> = noted.iter().map(|(key, _)| key.1).collect();
    let bodies: Vec<&[u8]> = noted.iter().map(|(_, body)| body.as_slice()).collect();
    connection.execute(
        "UPDATE verdict v SET listed = w.listed
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS w (package_id, context_id, listed)
         WHERE v.package_id = w.package_id AND v.context_id = w.context_id",
        &[&packages, &contexts, &bodies],
    )?;
    Ok(())
}

/// Takes occurrences that are freed, of packages and contexts, out of the sets. To be called while their verdicts are there.
pub(super) fn free(connection: &mut Connection, freed: &[(i64, i64, i64)]) -> Result<()> {
    connection.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    let ids: Vec<i64> = freed.iter().map(|(id, _, _)| *id).collect();
    let packages: Vec<i64> = freed.iter().map(|(_, package, _)| *package).collect();
    let contexts: Vec<i64> = freed.iter().map(|(_, _, context)| *context).collect();
    connection.execute("DELETE FROM unlisted WHERE occurrence_id = ANY($1)", &[&ids])?;
    let rows = connection.query(
        "SELECT w.occurrence_id, v.listed FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
            AS w (occurrence_id, package_id, context_id)
         JOIN verdict v ON v.package_id = w.package_id AND v.context_id = w.context_id WHERE v.listed IS NOT NULL",
        &[&ids, &packages, &contexts],
    )?;
    let mut changes: BTreeMap<i64, (RoaringBitmap, RoaringBitmap)> = BTreeMap::new();
    for row in &rows {
        let Ok(occurrence) = u32::try_from(column::<i64>(row, 0)?) else { continue };
        for text in listed(column::<Option<Vec<u8>>>(row, 1)?.as_deref())? {
            changes.entry(text).or_default().1.insert(occurrence);
        }
    }
    change(connection, &changes)
}

/// Adds to sets and removes from them.
fn change(
    connection: &mut Connection,
    changes: &BTreeMap<i64, (RoaringBitmap, RoaringBitmap)>,
) -> Result<()> {
    let changed: Vec<i64> = changes.keys().copied().collect();
    let mut sets: BTreeMap<i64, RoaringBitmap> = BTreeMap::new();
    connection.each(
        "SELECT vulnerability_text, occurrences FROM exposure WHERE vulnerability_text = ANY($1)",
        &[&changed],
        &mut |row| {
            sets.insert(column(row, 0)?, decode(&column::<Vec<u8>>(row, 1)?)?);
            Ok(())
        },
    )?;
    let (mut empty, mut full) = (Vec::new(), Vec::new());
    for (text, (added, removed)) in changes {
        let mut set = sets.remove(text).unwrap_or_default();
        set -= removed;
        set |= added;
        match set.is_empty() {
            true => empty.push(*text),
            false => full.push((*text, encode(set)?)),
        }
    }
    connection.execute("DELETE FROM exposure WHERE vulnerability_text = ANY($1)", &[&empty])?;
    for piece in texts::pieces(full, |(_, body)| body.len()) {
        let ids: Vec<i64> = piece.iter().map(|(text, _)| *text).collect();
        let bodies: Vec<&[u8]> = piece.iter().map(|(_, body)| body.as_slice()).collect();
        connection.execute(
            "INSERT INTO exposure (vulnerability_text, occurrences)
             SELECT text, body FROM unnest($1::bigint[], $2::bytea[]) AS w (text, body) ORDER BY text
             ON CONFLICT (vulnerability_text) DO UPDATE SET occurrences = excluded.occurrences",
            &[&ids, &bodies],
        )?;
    }
    Ok(())
}
