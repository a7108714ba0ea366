//! Feeds, their revisions, and what current advisories say.

use std::collections::{BTreeMap, BTreeSet};

use limpid_model::{Advisory, AdvisoryDetails, Affected, AffectedState, PackageKind, Severity};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{count, texts};
use crate::store::{AdvisoryRecord, FeedKey, FeedState, StoredAffected, Validators};
use crate::{Result, codec};

/// What of [`Affected`] has no column of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct AffectedBody {
    pub(super) package_kind: PackageKind,
    pub(super) channel: String,
    pub(super) state: AffectedState,
    pub(super) introduced: String,
    pub(super) fixed: String,
    pub(super) arches: Vec<String>,
    pub(super) module: String,
    pub(super) cpe: String,
    pub(super) notice: String,
    pub(super) state_word: String,
    pub(super) severity: Option<Severity>,
    pub(super) severity_word: String,
}

impl AffectedBody {
    fn into_affected(self, package: String, release: String) -> Affected {
        Affected {
            package,
            package_kind: self.package_kind,
            release,
            channel: self.channel,
            state: self.state,
            introduced: self.introduced,
            fixed: self.fixed,
            arches: self.arches,
            module: self.module,
            cpe: self.cpe,
            notice: self.notice,
            state_word: self.state_word,
            severity: self.severity,
            severity_word: self.severity_word,
        }
    }
}

/// A severity column.
fn severity(value: i64) -> Severity {
    let severity = usize::try_from(value).ok().and_then(|value| Severity::ALL.get(value));
    severity.copied().unwrap_or_default()
}

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

pub(super) fn feeds_for(connection: &Connection, release: &str) -> Result<Vec<(FeedState, u64)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {FEED_COLUMNS}, r.records FROM text t JOIN feed_release r ON r.release_text = t.text_id
         JOIN feed f ON f.feed_id = r.feed_id WHERE t.value = ?1 ORDER BY f.feed, f.document"
    ))?;
    let rows = statement.query_map([release], |row| Ok((read_feed(row)?, count(row.get(13)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
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
    Ok(counts)
}

pub(super) fn revision(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(revision), 0) FROM revision")?;
    Ok(count(statement.query_row([], |row| row.get(0))?))
}

pub(super) fn affected(
    connection: &Connection,
    release: &str,
    names: &[&str],
) -> Result<Vec<StoredAffected>> {
    let Some(release_text) = texts::find(connection, release)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT f.feed, i.value, a.body, d.severity, d.severity_word FROM text n
         JOIN affected a ON a.package_text = n.text_id AND a.release_text = ?2 AND a.to_revision IS NULL
         JOIN text i ON i.text_id = a.id_text JOIN feed f USING (feed_id)
         LEFT JOIN advisory d ON d.id_text = a.id_text AND d.feed_id = a.feed_id AND d.to_revision IS NULL
         WHERE n.value = ?1 ORDER BY i.value, f.feed, a.affected_id",
    )?;
    let mut found = Vec::new();
    for name in names {
        let mut rows = statement.query(params![name, release_text])?;
        while let Some(row) = rows.next()? {
            let body: AffectedBody = codec::decode(&row.get::<_, Vec<u8>>(2)?, "an affected range")?;
            found.push(StoredAffected {
                feed: row.get(0)?,
                advisory: row.get(1)?,
                severity: row.get::<_, Option<i64>>(3)?.map_or(Severity::Unknown, severity),
                severity_word: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
                affected: body.into_affected((*name).to_owned(), release.to_owned()),
            });
        }
    }
    Ok(found)
}

pub(super) fn advisories(connection: &Connection, id: &str) -> Result<Vec<AdvisoryRecord>> {
    let Some(text) = texts::find(connection, id)? else { return Ok(Vec::new()) };
    let mut aliases = connection.prepare_cached("SELECT id_text FROM alias WHERE alias_text = ?1")?;
    let mut ids: BTreeSet<i64> = aliases.query_map([text], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ids.insert(text);
    let mut statement = connection.prepare_cached(
        "SELECT f.feed, f.document, d.body, d.from_revision, f.feed_id FROM advisory d JOIN feed f USING (feed_id)
         WHERE d.id_text = ?1 AND d.to_revision IS NULL ORDER BY f.feed, f.document",
    )?;
    let mut found = Vec::new();
    for id_text in ids {
        let id = texts::value(connection, id_text)?;
        let mut rows = statement.query([id_text])?;
        while let Some(row) = rows.next()? {
            found.push(AdvisoryRecord {
                key: FeedKey { feed: row.get(0)?, document: row.get(1)? },
                since_revision: count(row.get(3)?),
                advisory: Advisory {
                    id: id.clone(),
                    details: codec::decode(&row.get::<_, Vec<u8>>(2)?, "an advisory's details")?,
                    affected: affected_by(connection, row.get(4)?, id_text)?,
                },
            });
        }
    }
    Ok(found)
}

fn affected_by(connection: &Connection, feed_id: i64, id_text: i64) -> Result<Vec<Affected>> {
    let mut statement = connection.prepare_cached(
        "SELECT p.value, r.value, a.body FROM affected a
         JOIN text p ON p.text_id = a.package_text JOIN text r ON r.text_id = a.release_text
         WHERE a.id_text = ?2 AND a.feed_id = ?1 AND a.to_revision IS NULL ORDER BY p.value, r.value, a.body",
    )?;
    let mut rows = statement.query([feed_id, id_text])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let body: AffectedBody = codec::decode(&row.get::<_, Vec<u8>>(2)?, "an affected range")?;
        found.push(body.into_affected(row.get(0)?, row.get(1)?));
    }
    Ok(found)
}

pub(super) fn details(connection: &Connection, ids: &[(String, String)]) -> Result<Vec<AdvisoryDetails>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.body FROM text t JOIN advisory d ON d.id_text = t.text_id AND d.to_revision IS NULL
         JOIN feed f USING (feed_id) WHERE t.value = ?2 AND f.feed = ?1 ORDER BY f.document LIMIT 1",
    )?;
    let mut found = Vec::with_capacity(ids.len());
    for (feed, id) in ids {
        let body: Option<Vec<u8>> = statement.query_row(params![feed, id], |row| row.get(0)).optional()?;
        found.push(match body {
            Some(body) => codec::decode(&body, "an advisory's details")?,
            None => AdvisoryDetails::default(),
        });
    }
    Ok(found)
}
