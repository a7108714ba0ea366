//! What advisories say, now or at an earlier revision.

use std::collections::BTreeMap;

use limpid_model::{Advisory, Affected, Digest};

use super::connection::{Connection, column, text};
use super::texts;
use crate::column::{count, integer};
use crate::statement::{AffectedBody, severity};
use crate::store::{AdvisoryRecord, FeedKey, Knowledge, StoredAffected};
use crate::{Result, codec};

/// The hashes of names, in their order.
pub(super) fn hashes(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| Digest::of(name.as_bytes()).as_bytes().to_vec()).collect()
}

pub(super) fn affected(
    connection: &mut Connection,
    release: &str,
    names: &[&str],
    at: u64,
) -> Result<Vec<StoredAffected>> {
    let Some(release_text) = texts::find(connection, release)? else { return Ok(Vec::new()) };
    let rows = connection.query(
        "SELECT f.feed, i.value, v.value, a.body, d.severity, d.severity_word, n.value
         FROM unnest($1::bytea[]) WITH ORDINALITY AS w (hash, position)
         JOIN text n ON n.hash = w.hash
         JOIN affected a ON a.package_text = n.text_id AND a.release_text = $2
            AND a.from_revision <= $3 AND (a.to_revision IS NULL OR a.to_revision > $3)
         JOIN text i ON i.text_id = a.id_text JOIN feed f ON f.feed_id = a.feed_id
         JOIN advisory d ON d.id_text = a.id_text AND d.feed_id = a.feed_id
            AND d.from_revision <= $3 AND (d.to_revision IS NULL OR d.to_revision > $3)
         JOIN text v ON v.text_id = d.vulnerability_text
         WHERE d.withdrawn = 0 ORDER BY w.position, i.value, f.feed, a.affected_id",
        &[&hashes(names), &release_text, &integer(at)],
    )?;
    let read = |row: &postgres::Row| {
        let body: AffectedBody = codec::decode(&column::<Vec<u8>>(row, 3)?, "an affected range")?;
        Ok(StoredAffected {
            feed: text(row, 0)?,
            advisory: text(row, 1)?,
            vulnerability: text(row, 2)?,
            severity: severity(column(row, 4)?),
            severity_word: text(row, 5)?,
            affected: body.into_affected(text(row, 6)?, release.to_owned()),
        })
    };
    rows.iter().map(read).collect()
}

pub(super) fn advisories(connection: &mut Connection, id: &str, at: u64) -> Result<Vec<AdvisoryRecord>> {
    let Some(named) = texts::find(connection, id)? else { return Ok(Vec::new()) };
    let rows = connection.query(
        "SELECT f.feed, f.document, d.body, d.from_revision, f.feed_id, d.id_text, i.value
         FROM advisory d JOIN feed f ON f.feed_id = d.feed_id JOIN text i ON i.text_id = d.id_text
         WHERE (d.id_text = $1 OR d.id_text IN (SELECT id_text FROM alias WHERE alias_text = $1))
            AND d.from_revision <= $2 AND (d.to_revision IS NULL OR d.to_revision > $2)
         ORDER BY i.value, f.feed, f.document",
        &[&named, &integer(at)],
    )?;
    let about: Vec<(i64, i64)> =
        rows.iter().map(|row| Ok((column(row, 4)?, column(row, 5)?))).collect::<Result<_>>()?;
    let mut affected = affected_by(connection, &about, at)?;
    let read = |row: &postgres::Row| {
        let of = (column(row, 4)?, column(row, 5)?);
        Ok(AdvisoryRecord {
            key: FeedKey { feed: text(row, 0)?, document: text(row, 1)? },
            since_revision: count(column(row, 3)?),
            advisory: Advisory {
                id: text(row, 6)?,
                details: codec::decode(&column::<Vec<u8>>(row, 2)?, "an advisory's details")?,
                affected: affected.remove(&of).unwrap_or_default(),
            },
        })
    };
    rows.iter().map(read).collect()
}

/// What advisories, by document and id, said at a revision.
pub(super) fn affected_by(
    connection: &mut Connection,
    about: &[(i64, i64)],
    at: u64,
) -> Result<BTreeMap<(i64, i64), Vec<Affected>>> {
    let feeds: Vec<i64> = about.iter().map(|(feed, _)| *feed).collect();
    let ids: Vec<i64> = about.iter().map(|(_, id)| *id).collect();
    let mut found: BTreeMap<(i64, i64), Vec<Affected>> = BTreeMap::new();
    connection.each(
        "SELECT a.feed_id, a.id_text, p.value, r.value, a.body
         FROM unnest($1::bigint[], $2::bigint[]) AS w (feed_id, id_text)
         JOIN affected a ON a.id_text = w.id_text AND a.feed_id = w.feed_id
         JOIN text p ON p.text_id = a.package_text JOIN text r ON r.text_id = a.release_text
         WHERE a.from_revision <= $3 AND (a.to_revision IS NULL OR a.to_revision > $3)
         ORDER BY a.feed_id, a.id_text, p.value, r.value, a.body",
        &[&feeds, &ids, &integer(at)],
        &mut |row| {
            let body: AffectedBody = codec::decode(&column::<Vec<u8>>(row, 4)?, "an affected range")?;
            let of = (column(row, 0)?, column(row, 1)?);
            found.entry(of).or_default().push(body.into_affected(text(row, 2)?, text(row, 3)?));
            Ok(())
        },
    )?;
    Ok(found)
}

pub(super) fn knowledge(
    connection: &mut Connection,
    vulnerabilities: &[&str],
    at: u64,
) -> Result<BTreeMap<String, Vec<Knowledge>>> {
    let rows = connection.query(
        "SELECT v.value, f.feed, i.value, d.body FROM text v
         JOIN advisory d ON d.vulnerability_text = v.text_id
         JOIN feed f ON f.feed_id = d.feed_id JOIN text i ON i.text_id = d.id_text
         WHERE v.hash = ANY($1) AND d.withdrawn = 0 AND d.from_revision <= $2
            AND (d.to_revision IS NULL OR d.to_revision > $2) ORDER BY f.feed, i.value, f.document",
        &[&hashes(vulnerabilities), &integer(at)],
    )?;
    let mut found: BTreeMap<String, Vec<Knowledge>> = BTreeMap::new();
    for row in rows {
        found.entry(text(&row, 0)?).or_default().push(Knowledge {
            feed: text(&row, 1)?,
            advisory: text(&row, 2)?,
            details: codec::decode(&column::<Vec<u8>>(&row, 3)?, "an advisory's details")?,
        });
    }
    Ok(found)
}
