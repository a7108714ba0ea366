//! What feeds say otherwise since a revision: of which vulnerabilities, and which packages that may concern.

use std::collections::BTreeSet;

use super::advisories::hashes;
use super::connection::{Connection, column, text};
use crate::column::{count, integer};
use crate::events::{Revision, RevisionOrigin, Touched};
use crate::store::{FeedKey, ImageId};
use crate::{Error, Result};

pub(super) fn revisions(connection: &mut Connection, after: u64, until: u64) -> Result<Vec<Revision>> {
    let rows = connection.query(
        "SELECT r.revision, f.feed, f.document, r.origin, r.last_image FROM revision r
         JOIN feed f ON f.feed_id = r.feed_id WHERE r.revision > $1 AND r.revision <= $2 ORDER BY r.revision",
        &[&integer(after), &integer(until)],
    )?;
    let read = |row: &postgres::Row| {
        let origin = match column::<i64>(row, 3)? {
            0 => RevisionOrigin::Update,
            1 => RevisionOrigin::First,
            2 => RevisionOrigin::Parser,
            other => return Err(Error::Corrupt(format!("a revision of unknown origin {other}"))),
        };
        Ok(Revision {
            revision: count(column(row, 0)?),
            key: FeedKey { feed: text(row, 1)?, document: text(row, 2)? },
            origin,
            last_image: ImageId(column(row, 4)?),
        })
    };
    rows.iter().map(read).collect()
}

/// By the rows that began or ended between: an advisory that moved from one vulnerability to another touches both.
const TOUCHED: &str = "
    WITH changed (feed_id, id_text) AS (
        SELECT feed_id, id_text FROM affected WHERE from_revision > $1 AND from_revision <= $2
        UNION SELECT feed_id, id_text FROM affected WHERE to_revision > $1 AND to_revision <= $2
        UNION SELECT feed_id, id_text FROM advisory WHERE from_revision > $1 AND from_revision <= $2
        UNION SELECT feed_id, id_text FROM advisory WHERE to_revision > $1 AND to_revision <= $2),
    of_vulnerability (vulnerability_text, feed_id, is_first) AS (
        SELECT d.vulnerability_text, c.feed_id, min(d.from_revision) > $1
        FROM changed c JOIN advisory d ON d.id_text = c.id_text AND d.feed_id = c.feed_id
            AND d.from_revision <= $2 AND (d.to_revision IS NULL OR d.to_revision > $1)
        GROUP BY d.vulnerability_text, c.feed_id)
    SELECT v.value, f.feed, f.document, o.is_first FROM of_vulnerability o
    JOIN text v ON v.text_id = o.vulnerability_text JOIN feed f ON f.feed_id = o.feed_id
    ORDER BY v.value, f.feed, f.document";

pub(super) fn touched(connection: &mut Connection, after: u64, until: u64) -> Result<Vec<Touched>> {
    let mut touched = Vec::new();
    connection.each(TOUCHED, &[&integer(after), &integer(until)], &mut |row| {
        touched.push(Touched {
            vulnerability: text(row, 0)?,
            key: FeedKey { feed: text(row, 1)?, document: text(row, 2)? },
            is_first: column(row, 3)?,
        });
        Ok(())
    })?;
    Ok(touched)
}

pub(super) fn named(
    connection: &mut Connection,
    vulnerabilities: &[&str],
    before: u64,
    after: u64,
) -> Result<Vec<BTreeSet<(String, String)>>> {
    let mut named = vec![BTreeSet::new(); vulnerabilities.len()];
    connection.each(
        "SELECT n.position, p.value, r.value FROM (
            SELECT DISTINCT w.position, a.package_text, a.release_text
            FROM unnest($1::bytea[]) WITH ORDINALITY AS w (hash, position) JOIN text v ON v.hash = w.hash
            JOIN advisory d ON d.vulnerability_text = v.text_id
                AND ((d.from_revision <= $2 AND (d.to_revision IS NULL OR d.to_revision > $2))
                  OR (d.from_revision <= $3 AND (d.to_revision IS NULL OR d.to_revision > $3)))
            JOIN affected a ON a.id_text = d.id_text AND a.feed_id = d.feed_id
                AND ((a.from_revision <= $2 AND (a.to_revision IS NULL OR a.to_revision > $2))
                  OR (a.from_revision <= $3 AND (a.to_revision IS NULL OR a.to_revision > $3)))) AS n
         JOIN text p ON p.text_id = n.package_text JOIN text r ON r.text_id = n.release_text",
        &[&hashes(vulnerabilities), &integer(before), &integer(after)],
        &mut |row| {
            if let Some(of) = named.get_mut(place(column(row, 0)?)) {
                of.insert((text(row, 1)?, text(row, 2)?));
            }
            Ok(())
        },
    )?;
    Ok(named)
}

/// A place in a list, as the database counts them.
fn place(position: i64) -> usize {
    usize::try_from(position - 1).unwrap_or(usize::MAX)
}

pub(super) fn sources_named(connection: &mut Connection, names: &[&str]) -> Result<Vec<BTreeSet<String>>> {
    let values: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let mut sources = vec![BTreeSet::new(); names.len()];
    connection.each(
        "SELECT w.position, p.source_name FROM unnest($1::bytea[]) WITH ORDINALITY AS w (name, position)
         JOIN package p ON p.source_key = substring(sha256(w.name) from 1 for 8) AND p.source_name = w.name
         UNION SELECT w.position, p.source_name FROM unnest($1::bytea[]) WITH ORDINALITY AS w (name, position)
         JOIN package p ON p.name_key = substring(sha256(w.name) from 1 for 8) AND p.name = w.name",
        &[&values],
        &mut |row| {
            if let Some(of) = sources.get_mut(place(column(row, 0)?)) {
                of.insert(text(row, 1)?);
            }
            Ok(())
        },
    )?;
    Ok(sources)
}
