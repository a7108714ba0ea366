//! Daily scores, and when single CVE records were last asked for: both outside revisions.
//!
//! The key of a row is the CVE's year and number in one integer, which is a third of the size of its name.
//! An id that is no CVE's has no score.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::feeds::feed_id;
use super::{count, integer};
use crate::cve::key;
use crate::store::{FeedKey, FeedOutcome, ScoreDay, ScoreUpdate, VulnerabilityScore};
use crate::{Result, stage};

pub(super) struct SqliteScores {
    connection: Connection,
    key: FeedKey,
}

impl SqliteScores {
    pub(super) fn begin(connection: Connection, key: &FeedKey) -> Result<Self> {
        // Over a temporary table alone, as an update of advisories is.
        stage::begin_scores(&connection)?;
        Ok(Self { connection, key: key.clone() })
    }
}

impl ScoreUpdate for SqliteScores {
    fn add(&mut self, id: &str, score: VulnerabilityScore) -> Result<()> {
        stage::add_score(&self.connection, id, score)
    }

    fn commit(mut self: Box<Self>, outcome: &FeedOutcome, model_version: &str) -> Result<u64> {
        self.connection.execute_batch("COMMIT")?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let feed = feed_id(&transaction, &self.key)?;
        transaction.execute("DELETE FROM score WHERE feed_id = ?1", [feed])?;
        let records = transaction.execute(
            "INSERT INTO score (feed_id, cve, probability, percentile) SELECT ?1, cve, probability, percentile FROM stage_score",
            [feed],
        )?;
        transaction.execute(
            "INSERT OR REPLACE INTO score_day (feed_id, date, model_version) VALUES (?1, ?2, ?3)",
            params![feed, outcome.date, model_version],
        )?;
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        transaction.execute(
            "UPDATE feed SET url = ?2, parser_version = ?3, etag = ?4, last_modified = ?5, attempted_at = ?6,
             succeeded_at = ?6, error = '', date = ?7, records = ?8, size_bytes = ?9 WHERE feed_id = ?1",
            params![
                feed,
                outcome.url,
                outcome.parser_version,
                outcome.validators.etag,
                outcome.validators.last_modified,
                outcome.now,
                outcome.date,
                integer(records),
                integer(outcome.size_bytes),
            ],
        )?;
        transaction.commit()?;
        Ok(records)
    }
}

pub(super) fn scores(
    connection: &Connection,
    feed: &str,
    ids: &[&str],
) -> Result<BTreeMap<String, VulnerabilityScore>> {
    let mut statement = connection.prepare_cached(
        "SELECT probability, percentile FROM feed f JOIN score s USING (feed_id) WHERE f.feed = ?1 AND s.cve = ?2",
    )?;
    let mut found = BTreeMap::new();
    for id in ids {
        let Some(key) = key(id) else { continue };
        let score = statement
            .query_row(params![feed, key], |row| {
                Ok(VulnerabilityScore { probability_e5: row.get(0)?, percentile_e5: row.get(1)? })
            })
            .optional()?;
        found.extend(score.map(|score| ((*id).to_owned(), score)));
    }
    Ok(found)
}

pub(super) fn score_day(connection: &Connection, feed: &str) -> Result<Option<ScoreDay>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.date, d.model_version, f.records FROM feed f JOIN score_day d USING (feed_id) WHERE f.feed = ?1",
    )?;
    let day = statement.query_row([feed], |row| {
        Ok(ScoreDay { date: row.get(0)?, model_version: row.get(1)?, scores: count(row.get(2)?) })
    });
    Ok(day.optional()?)
}

pub(super) fn record_checks(connection: &Connection, ids: &[&str]) -> Result<BTreeMap<String, i64>> {
    let mut statement = connection.prepare_cached("SELECT checked_at FROM record_check WHERE cve = ?1")?;
    let mut found = BTreeMap::new();
    for id in ids {
        let Some(key) = key(id) else { continue };
        let checked: Option<i64> = statement.query_row([key], |row| row.get(0)).optional()?;
        found.extend(checked.map(|checked| ((*id).to_owned(), checked)));
    }
    Ok(found)
}

pub(super) fn put_record_checks(connection: &mut Connection, ids: &[&str], now: i64) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = transaction
        .prepare_cached("INSERT OR REPLACE INTO record_check (cve, checked_at) VALUES (?1, ?2)")?;
    for key in ids.iter().filter_map(|id| key(id)) {
        insert.execute([key, now])?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(())
}
