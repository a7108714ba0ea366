//! Feeds and their revisions.

use std::collections::BTreeMap;

use limpid_model::{Digest, Hasher, Severity};
use postgres::Row;

use super::connection::{Connection, column, text};
use super::ids::Counter;
use crate::column::{count, integer};
use crate::statement::{AffectedBody, severity};
use crate::store::{FeedKey, FeedOutcome, FeedState, ImageId, NEWEST, UpdateStats, Validators};
use crate::{Error, Result, RevisionOrigin, codec};

const COLUMNS: &str = "f.feed, f.document, f.url, f.parser_version, f.etag, f.last_modified, f.revision,
     f.attempted_at, f.succeeded_at, f.error, f.date, f.records, f.size_bytes";

/// A document's state from [`COLUMNS`].
fn read(row: &Row) -> Result<FeedState> {
    Ok(FeedState {
        key: FeedKey { feed: text(row, 0)?, document: text(row, 1)? },
        url: text(row, 2)?,
        parser_version: u32::try_from(column::<i64>(row, 3)?)
            .map_err(|_| Error::Corrupt("a parser's version is out of range".to_owned()))?,
        validators: Validators { etag: text(row, 4)?, last_modified: text(row, 5)? },
        revision: count(column(row, 6)?),
        attempted_at: column(row, 7)?,
        succeeded_at: column(row, 8)?,
        error: text(row, 9)?,
        date: text(row, 10)?,
        records: count(column(row, 11)?),
        size_bytes: count(column(row, 12)?),
    })
}

/// What a document's row is found by, as the database computes it.
fn hash(key: &FeedKey) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(Digest::of(key.feed.as_bytes()).as_bytes());
    hasher.update(Digest::of(key.document.as_bytes()).as_bytes());
    hasher.finish()
}

pub(super) fn feeds(connection: &mut Connection) -> Result<Vec<FeedState>> {
    let sql = format!("SELECT {COLUMNS} FROM feed f ORDER BY f.feed, f.document");
    connection.query(&sql, &[])?.iter().map(read).collect()
}

pub(super) fn feeds_for(connection: &mut Connection, release: &str, at: u64) -> Result<Vec<FeedState>> {
    let sql = format!(
        "SELECT {COLUMNS}, f.feed_id FROM text t JOIN feed_release r ON r.release_text = t.text_id
         JOIN feed f ON f.feed_id = r.feed_id WHERE t.hash = $1 AND r.from_revision <= $2 AND (r.records > 0 OR $3)
         ORDER BY f.feed, f.document"
    );
    let hash = Digest::of(release.as_bytes());
    let rows = connection.query(&sql, &[&hash.as_bytes().as_slice(), &integer(at), &(at != NEWEST)])?;
    let mut found = Vec::new();
    for row in rows {
        let mut state = read(&row)?;
        if at != NEWEST {
            as_it_was(connection, column(&row, 13)?, at, &mut state)?;
        }
        found.push(state);
    }
    Ok(found)
}

/// Turns a document's state back to what it was at a revision: what it rested on, not how attempts went since.
fn as_it_was(connection: &mut Connection, feed_id: i64, at: u64, state: &mut FeedState) -> Result<()> {
    let row = connection.row(
        "SELECT revision, date, created_at FROM revision WHERE feed_id = $1 AND revision <= $2
         ORDER BY revision DESC LIMIT 1",
        &[&feed_id, &integer(at)],
    )?;
    let row = row.ok_or_else(|| Error::Corrupt("a document has lost its revisions".to_owned()))?;
    state.revision = count(column(&row, 0)?);
    state.date = text(&row, 1)?;
    state.attempted_at = column(&row, 2)?;
    state.succeeded_at = state.attempted_at;
    state.error.clear();
    Ok(())
}

/// The id of a document's row, made if need be. The row waits for this transaction, so that updates of one document take
/// turns.
pub(super) fn feed_id(connection: &mut Connection, key: &FeedKey) -> Result<i64> {
    connection.execute(
        "INSERT INTO feed (feed, document, url, parser_version, etag, last_modified, revision,
         attempted_at, succeeded_at, error, date, records, size_bytes)
         VALUES ($1, $2, '', 0, '', '', 0, 0, 0, '', '', 0, 0) ON CONFLICT (hash) DO NOTHING",
        &[&key.feed.as_bytes(), &key.document.as_bytes()],
    )?;
    connection
        .value("SELECT feed_id FROM feed WHERE hash = $1 FOR UPDATE", &[&hash(key).as_bytes().as_slice()])
}

pub(super) fn unchanged(connection: &mut Connection, key: &FeedKey, now: i64) -> Result<()> {
    connection.execute(
        "UPDATE feed SET attempted_at = $2, succeeded_at = $2, error = '' WHERE hash = $1",
        &[&hash(key).as_bytes().as_slice(), &now],
    )?;
    Ok(())
}

pub(super) fn failed(
    connection: &mut Connection,
    key: &FeedKey,
    url: &str,
    error: &str,
    now: i64,
) -> Result<()> {
    let id = feed_id(connection, key)?;
    connection.execute(
        "UPDATE feed SET attempted_at = $2, error = $3, url = $4 WHERE feed_id = $1",
        &[&id, &now, &error.as_bytes(), &url.as_bytes()],
    )?;
    Ok(())
}

/// Makes the revision that an update's changes are written under. From here on until the transaction ends, nobody else
/// makes one, and no verdict is stored.
pub(super) fn new_revision(
    connection: &mut Connection,
    feed: i64,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<u64> {
    let revision = Counter::Revision.next(connection)?;
    connection.execute(
        "INSERT INTO revision (revision, feed_id, created_at, added, removed, date, origin, last_image)
         SELECT $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bytea,
            CASE WHEN succeeded_at = 0 THEN $7::bigint WHEN parser_version != $8 THEN $9::bigint ELSE $10::bigint END, 0
         FROM feed WHERE feed_id = $2",
        &[
            &revision,
            &feed,
            &outcome.now,
            &integer(stats.added),
            &integer(stats.removed),
            &outcome.date.as_bytes(),
            &(RevisionOrigin::First as i64),
            &i64::from(outcome.parser_version),
            &(RevisionOrigin::Parser as i64),
            &(RevisionOrigin::Update as i64),
        ],
    )?;
    Ok(count(revision))
}

/// Says which images were there when a revision came to be: the last thing before its transaction ends, since no image is
/// added from here on. Whoever adds one later sees the revision.
pub(super) fn settle_revision(connection: &mut Connection, revision: i64) -> Result<()> {
    let last_image = Counter::Image.hold(connection)?;
    connection
        .execute("UPDATE revision SET last_image = $2 WHERE revision = $1", &[&revision, &last_image])?;
    Ok(())
}

/// Notes an update that ended well. A document's revision moves only if the update changed something.
pub(super) fn succeeded(
    connection: &mut Connection,
    feed: i64,
    outcome: &FeedOutcome,
    stats: &UpdateStats,
) -> Result<()> {
    let changed = stats.added + stats.removed + stats.details_changed > 0;
    connection.execute(
        "UPDATE feed SET url = $2, parser_version = $3, etag = $4, last_modified = $5,
         revision = CASE WHEN $7 OR revision = 0 THEN $6 ELSE revision END,
         attempted_at = $8, succeeded_at = $8, error = '', date = $9, records = $10, size_bytes = $11
         WHERE feed_id = $1",
        &[
            &feed,
            &outcome.url.as_bytes(),
            &i64::from(outcome.parser_version),
            &outcome.validators.etag.as_bytes(),
            &outcome.validators.last_modified.as_bytes(),
            &integer(stats.revision),
            &changed,
            &outcome.now,
            &outcome.date.as_bytes(),
            &integer(stats.added + stats.unchanged),
            &integer(outcome.size_bytes),
        ],
    )?;
    Ok(())
}

pub(super) fn severities(connection: &mut Connection, key: &FeedKey) -> Result<BTreeMap<String, u64>> {
    let hash = hash(key);
    let hash = hash.as_bytes().as_slice();
    let mut counts = BTreeMap::new();
    connection.each(
        "SELECT a.body, d.severity FROM affected a JOIN feed f ON f.feed_id = a.feed_id
         LEFT JOIN advisory d ON d.id_text = a.id_text AND d.feed_id = a.feed_id AND d.to_revision IS NULL
         WHERE f.hash = $1 AND a.to_revision IS NULL",
        &[&hash],
        &mut |row| {
            let body: AffectedBody = codec::decode(&column::<Vec<u8>>(row, 0)?, "an affected range")?;
            let of_advisory = column::<Option<i64>>(row, 1)?.map_or(Severity::Unknown, severity);
            *counts.entry(body.severity.unwrap_or(of_advisory).name().to_owned()).or_insert(0) += 1;
            Ok(())
        },
    )?;
    if counts.is_empty() {
        // Of a document that affects nothing, advisories count.
        let rows = connection.query(
            "SELECT d.severity, count(*) FROM advisory d JOIN feed f ON f.feed_id = d.feed_id
             WHERE f.hash = $1 AND d.to_revision IS NULL GROUP BY d.severity",
            &[&hash],
        )?;
        for row in rows {
            counts.insert(severity(column(&row, 0)?).name().to_owned(), count(column(&row, 1)?));
        }
    }
    Ok(counts)
}

pub(super) fn revision_at(connection: &mut Connection, time: i64) -> Result<u64> {
    let sql = "SELECT coalesce(max(revision), 0) FROM revision WHERE created_at <= $1";
    Ok(count(connection.value(sql, &[&time])?))
}

pub(super) fn revision_time(connection: &mut Connection, revision: u64) -> Result<Option<i64>> {
    let row = connection.row("SELECT created_at FROM revision WHERE revision = $1", &[&integer(revision)])?;
    row.map(|row| column(&row, 0)).transpose()
}

pub(super) fn revision(connection: &mut Connection) -> Result<u64> {
    Ok(count(connection.value("SELECT coalesce(max(revision), 0) FROM revision", &[])?))
}

pub(super) fn last_image_at(connection: &mut Connection, revision: u64) -> Result<ImageId> {
    if revision == NEWEST {
        return Counter::Image.last(connection).map(ImageId);
    }
    let row = connection.row(
        "SELECT last_image FROM revision WHERE revision <= $1 ORDER BY revision DESC LIMIT 1",
        &[&integer(revision)],
    )?;
    Ok(ImageId(row.map(|row| column(&row, 0)).transpose()?.unwrap_or(0)))
}
