//! Feeds and their revisions.

use std::collections::BTreeMap;

use limpid_model::Severity;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{count, integer};
use crate::kind::Kind;
use crate::statement::{AffectedBody, severity};
use crate::store::{FeedKey, FeedOutcome, FeedState, ImageId, NEWEST, UpdateStats, Validators};
use crate::{Result, RevisionOrigin, codec};

const FEED_COLUMNS: &str = "f.feed, f.document, f.url, f.parser_version, f.etag, f.last_modified, f.revision,
     f.attempted_at, f.succeeded_at, f.error, f.date, f.records, f.size_bytes";

fn read_feed(row: &Row<'_>) -> rusqlite::Result<FeedState> {
    Ok(FeedState {
        key: FeedKey { feed: row.get(0)?, document: row.get(1)? },
        url: row.get(2)?,
        parser_version: row.get(3)?,
        validators: Validators { etag: row.get(4)?, last_modified: row.get(5)? },
        revision: count(row.get(6)?),
        attempted_at: row.get(7)?,
        succeeded_at: row.get(8)?,
        error: row.get(9)?,
        date: row.get(10)?,
        records: count(row.get(11)?),
        size_bytes: count(row.get(12)?),
    })
}

pub(super) fn feeds(connection: &Connection) -> Result<Vec<FeedState>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {FEED_COLUMNS} FROM feed f ORDER BY feed, document"))?;
    Ok(statement.query_map([], read_feed)?.collect::<Result<_, _>>()?)
}

/// Every document by its row's id.
pub(super) fn names(connection: &Connection) -> Result<BTreeMap<i64, FeedKey>> {
    let mut statement = connection.prepare_cached("SELECT feed_id, feed, document FROM feed")?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, FeedKey { feed: row.get(1)?, document: row.get(2)? })))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn feeds_for(connection: &Connection, release: &str, at: u64) -> Result<Vec<FeedState>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {FEED_COLUMNS}, f.feed_id FROM text t JOIN feed_release r ON r.release_text = t.text_id
         JOIN feed f ON f.feed_id = r.feed_id WHERE t.value = ?1 AND r.from_revision <= ?2 AND (r.records > 0 OR ?3)
         ORDER BY f.feed, f.document"
    ))?;
    let rows = statement
        .query_map(params![release, integer(at), at != NEWEST], |row| Ok((read_feed(row)?, row.get(13)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (mut state, feed_id): (FeedState, i64) = row?;
        if at != NEWEST {
            as_it_was(connection, feed_id, at, &mut state)?;
        }
        found.push(state);
    }
    Ok(found)
}

/// Turns a document's state back to what it was at a revision: what it rested on, not how attempts went since.
fn as_it_was(connection: &Connection, feed_id: i64, at: u64, state: &mut FeedState) -> Result<()> {
    let (revision, date, created_at) = connection
        .prepare_cached(
            "SELECT revision, date, created_at FROM revision WHERE feed_id = ?1 AND revision <= ?2
             ORDER BY revision DESC LIMIT 1",
        )?
        .query_row(params![feed_id, integer(at)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    state.revision = count(revision);
    state.date = date;
    state.attempted_at = created_at;
    state.succeeded_at = created_at;
    state.error.clear();
    Ok(())
}

/// The id of a document's row, made if need be.
pub(super) fn feed_id(connection: &Connection, key: &FeedKey) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO feed (feed, document, url, parser_version, etag, last_modified, revision,
             attempted_at, succeeded_at, error, date, records, size_bytes)
             VALUES (?1, ?2, '', 0, '', '', 0, 0, 0, '', '', 0, 0)",
        )?
        .execute(params![key.feed, key.document])?;
    let mut statement =
        connection.prepare_cached("SELECT feed_id FROM feed WHERE feed = ?1 AND document = ?2")?;
    Ok(statement.query_row(params![key.feed, key.document], |row| row.get(0))?)
}

pub(super) fn unchanged(connection: &Connection, key: &FeedKey, now: i64) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE feed SET attempted_at = ?3, succeeded_at = ?3, error = '' WHERE feed = ?1 AND document = ?2",
        )?
        .execute(params![key.feed, key.document, now])?;
    Ok(())
}

pub(super) fn failed(connection: &Connection, key: &FeedKey, url: &str, error: &str, now: i64) -> Result<()> {
    let id = feed_id(connection, key)?;
    connection
        .prepare_cached("UPDATE feed SET attempted_at = ?2, error = ?3, url = ?4 WHERE feed_id = ?1")?
        .execute(params![id, now, error, url])?;
    Ok(())
}

/// Makes the revision that an update's changes are written under.
pub(super) fn new_revision(
    connection: &Connection,
    feed: i64,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<u64> {
    let last_image = Kind::Image.next_id(connection)? - 1;
    connection.execute(
        "INSERT INTO revision (feed_id, created_at, added, removed, date, origin, last_image)
         SELECT ?1, ?2, ?3, ?4, ?5,
            CASE WHEN succeeded_at = 0 THEN ?6 WHEN parser_version != ?7 THEN ?8 ELSE ?9 END,
            ?10
         FROM feed WHERE feed_id = ?1",
        params![
            feed,
            outcome.now,
            integer(stats.added),
            integer(stats.removed),
            outcome.date,
            RevisionOrigin::First as i64,
            outcome.parser_version,
            RevisionOrigin::Parser as i64,
            RevisionOrigin::Update as i64,
            last_image,
        ],
    )?;
    Ok(count(connection.last_insert_rowid()))
}

/// Notes an update that ended well. A document's revision moves only if the update changed something.
pub(super) fn succeeded(
    connection: &Connection,
    feed: i64,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<()> {
    let changed = stats.added + stats.removed + stats.details_changed > 0;
    connection.execute(
        "UPDATE feed SET url = ?2, parser_version = ?3, etag = ?4, last_modified = ?5,
         revision = CASE WHEN ?7 OR revision = 0 THEN ?6 ELSE revision END,
         attempted_at = ?8, succeeded_at = ?8, error = '', date = ?9, records = ?10, size_bytes = ?11
         WHERE feed_id = ?1",
        params![
            feed,
            outcome.url,
            outcome.parser_version,
            outcome.validators.etag,
            outcome.validators.last_modified,
            integer(stats.revision),
            changed,
            outcome.now,
            outcome.date,
            integer(stats.added + stats.unchanged),
            integer(outcome.size_bytes),
        ],
    )?;
    Ok(())
}

pub(super) fn severities(connection: &Connection, key: &FeedKey) -> Result<BTreeMap<String, u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT a.body, d.severity FROM affected a JOIN feed f USING (feed_id)
         LEFT JOIN advisory d ON d.id_text = a.id_text AND d.feed_id = a.feed_id AND d.to_revision IS NULL
         WHERE f.feed = ?1 AND f.document = ?2 AND a.to_revision IS NULL",
    )?;
    let mut rows = statement.query(params![key.feed, key.document])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let body: AffectedBody = codec::decode(&row.get::<_, Vec<u8>>(0)?, "an affected range")?;
        let of_advisory = || Ok(row.get::<_, Option<i64>>(1)?.map_or(Severity::Unknown, severity));
        let severity = body.severity.map_or_else(of_advisory, Result::<_>::Ok)?;
        *counts.entry(severity.name().to_owned()).or_insert(0) += 1;
    }
    if counts.is_empty() {
        return advisory_severities(connection, key);
    }
    Ok(counts)
}

/// How many advisories are current, for a document that affects nothing.
fn advisory_severities(connection: &Connection, key: &FeedKey) -> Result<BTreeMap<String, u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.severity, count(*) FROM advisory d JOIN feed f USING (feed_id)
         WHERE f.feed = ?1 AND f.document = ?2 AND d.to_revision IS NULL GROUP BY d.severity",
    )?;
    let rows = statement.query_map(params![key.feed, key.document], |row| {
        Ok((severity(row.get(0)?).name().to_owned(), count(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn revision_at(connection: &Connection, time: i64) -> Result<u64> {
    let mut statement = connection
        .prepare_cached("SELECT coalesce(max(revision), 0) FROM revision WHERE created_at <= ?1")?;
    Ok(count(statement.query_row([time], |row| row.get(0))?))
}

pub(super) fn revision_time(connection: &Connection, revision: u64) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT created_at FROM revision WHERE revision = ?1")?;
    Ok(statement.query_row([integer(revision)], |row| row.get(0)).optional()?)
}

pub(super) fn revision(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(revision), 0) FROM revision")?;
    Ok(count(statement.query_row([], |row| row.get(0))?))
}

pub(super) fn last_image_at(connection: &Connection, revision: u64) -> Result<ImageId> {
    if revision == NEWEST {
        return Ok(ImageId(Kind::Image.next_id(connection)? - 1));
    }
    let mut statement = connection.prepare_cached(
        "SELECT last_image FROM revision WHERE revision <= ?1 ORDER BY revision DESC LIMIT 1",
    )?;
    let last = statement.query_row([integer(revision)], |row| row.get(0)).optional()?;
    Ok(ImageId(last.unwrap_or(0)))
}
