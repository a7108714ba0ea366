//! What feeds say otherwise since a revision: of which vulnerabilities, and which packages that may concern.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::{count, integer};
use crate::events::{Revision, RevisionOrigin, Touched};
use crate::store::{FeedKey, ImageId};
use crate::{Error, Result};

pub(super) fn revisions(connection: &Connection, after: u64, until: u64) -> Result<Vec<Revision>> {
    let mut statement = connection.prepare_cached(
        "SELECT r.revision, f.feed, f.document, r.origin, r.last_image FROM revision r JOIN feed f USING (feed_id)
         WHERE r.revision > ?1 AND r.revision <= ?2 ORDER BY r.revision",
    )?;
    let mut rows = statement.query(params![integer(after), integer(until)])?;
    let mut revisions = Vec::new();
    while let Some(row) = rows.next()? {
        let origin = match row.get::<_, i64>(3)? {
            0 => RevisionOrigin::Update,
            1 => RevisionOrigin::First,
            2 => RevisionOrigin::Parser,
            other => return Err(Error::Corrupt(format!("a revision of unknown origin {other}"))),
        };
        revisions.push(Revision {
            revision: count(row.get(0)?),
            key: FeedKey { feed: row.get(1)?, document: row.get(2)? },
            origin,
            last_image: ImageId(row.get(4)?),
        });
    }
    Ok(revisions)
}

/// By the rows that began or ended between: an advisory that moved from one vulnerability to another touches both.
const TOUCHED: &str = "
    WITH changed (feed_id, id_text) AS (
        SELECT feed_id, id_text FROM affected WHERE from_revision > ?1 AND from_revision <= ?2
        UNION SELECT feed_id, id_text FROM affected WHERE to_revision > ?1 AND to_revision <= ?2
        UNION SELECT feed_id, id_text FROM advisory WHERE from_revision > ?1 AND from_revision <= ?2
        UNION SELECT feed_id, id_text FROM advisory WHERE to_revision > ?1 AND to_revision <= ?2)
    SELECT v.value, f.feed, f.document, min(d.from_revision) > ?1
    FROM changed c JOIN advisory d ON d.id_text = c.id_text AND d.feed_id = c.feed_id
        AND d.from_revision <= ?2 AND (d.to_revision IS NULL OR d.to_revision > ?1)
    JOIN text v ON v.text_id = d.vulnerability_text JOIN feed f ON f.feed_id = c.feed_id
    GROUP BY d.vulnerability_text, c.feed_id ORDER BY v.value";

pub(super) fn touched(connection: &Connection, after: u64, until: u64) -> Result<Vec<Touched>> {
    let mut statement = connection.prepare_cached(TOUCHED)?;
    let rows = statement.query_map(params![integer(after), integer(until)], |row| {
        Ok(Touched {
            vulnerability: row.get(0)?,
            key: FeedKey { feed: row.get(1)?, document: row.get(2)? },
            is_first: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn named(
    connection: &Connection,
    vulnerabilities: &[&str],
    before: u64,
    after: u64,
) -> Result<Vec<BTreeSet<(String, String)>>> {
    let mut statement = connection.prepare_cached(
        "SELECT p.value, r.value FROM (
            SELECT DISTINCT a.package_text, a.release_text FROM text v
            JOIN advisory d ON d.vulnerability_text = v.text_id
                AND ((d.from_revision <= ?2 AND (d.to_revision IS NULL OR d.to_revision > ?2))
                  OR (d.from_revision <= ?3 AND (d.to_revision IS NULL OR d.to_revision > ?3)))
            JOIN affected a ON a.id_text = d.id_text AND a.feed_id = d.feed_id
                AND ((a.from_revision <= ?2 AND (a.to_revision IS NULL OR a.to_revision > ?2))
                  OR (a.from_revision <= ?3 AND (a.to_revision IS NULL OR a.to_revision > ?3)))
            WHERE v.value = ?1) n
         JOIN text p ON p.text_id = n.package_text JOIN text r ON r.text_id = n.release_text",
    )?;
    let mut named = Vec::with_capacity(vulnerabilities.len());
    for vulnerability in vulnerabilities {
        let rows = statement.query_map(params![vulnerability, integer(before), integer(after)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        named.push(rows.collect::<Result<_, _>>()?);
    }
    Ok(named)
}

pub(super) fn sources_named(connection: &Connection, names: &[&str]) -> Result<Vec<BTreeSet<String>>> {
    let mut statement = connection.prepare_cached(
        "SELECT source_name FROM package WHERE source_name = ?1
         UNION SELECT source_name FROM package WHERE name = ?1",
    )?;
    let mut sources = Vec::with_capacity(names.len());
    for name in names {
        sources.push(statement.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?);
    }
    Ok(sources)
}
