//! Daily scores, and when single CVE records were last asked for: both outside revisions.

use std::collections::BTreeMap;

use postgres::types::Type;

use super::connection::{Connection, column, text};
use super::feeds::feed_id;
use super::pool::Pool;
use crate::column::{count, integer};
use crate::cve::key;
use crate::store::{FeedKey, FeedOutcome, ScoreDay, ScoreUpdate, VulnerabilityScore};
use crate::{Error, Result, stage};

pub(super) struct PostgresScores<'a> {
    pool: &'a Pool,
    stage: rusqlite::Connection,
    key: FeedKey,
}

impl<'a> PostgresScores<'a> {
    pub(super) fn begin(pool: &'a Pool, key: &FeedKey) -> Result<Self> {
        // Gathered on this machine, as an update of advisories is.
        let stage = stage::apart()?;
        stage::begin_scores(&stage)?;
        Ok(Self { pool, stage, key: key.clone() })
    }

    /// Copies the day's scores in, in the place of those before.
    fn replace(&self, connection: &mut Connection, feed: i64) -> Result<()> {
        connection.execute("DELETE FROM score WHERE feed_id = $1", &[&feed])?;
        let types = [Type::INT8, Type::INT8, Type::INT8, Type::INT8];
        let sql = "COPY score (feed_id, cve, probability, percentile) FROM STDIN BINARY";
        connection.copy(sql, &types, &mut |copy| {
            let mut statement = self.stage.prepare("SELECT cve, probability, percentile FROM stage_score")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let percentile: Option<i64> = row.get(2)?;
                copy.write(&[&feed, &row.get::<_, i64>(0)?, &row.get::<_, i64>(1)?, &percentile])?;
            }
            Ok(())
        })
    }
}

impl ScoreUpdate for PostgresScores<'_> {
    fn add(&mut self, id: &str, score: VulnerabilityScore) -> Result<()> {
        stage::add_score(&self.stage, id, score)
    }

    fn commit(self: Box<Self>, outcome: &FeedOutcome, model_version: &str) -> Result<u64> {
        let records = self.stage.query_row("SELECT count(*) FROM stage_score", [], |row| row.get(0))?;
        let records = count(records);
        self.pool.write(|connection| {
            let feed = feed_id(connection, &self.key)?;
            self.replace(connection, feed)?;
            connection.execute(
                "INSERT INTO score_day (feed_id, date, model_version) VALUES ($1, $2, $3)
                 ON CONFLICT (feed_id) DO UPDATE SET date = $2, model_version = $3",
                &[&feed, &outcome.date.as_bytes(), &model_version.as_bytes()],
            )?;
            connection.execute(
                "UPDATE feed SET url = $2, parser_version = $3, etag = $4, last_modified = $5, attempted_at = $6,
                 succeeded_at = $6, error = '', date = $7, records = $8, size_bytes = $9 WHERE feed_id = $1",
                &[
                    &feed,
                    &outcome.url.as_bytes(),
                    &i64::from(outcome.parser_version),
                    &outcome.validators.etag.as_bytes(),
                    &outcome.validators.last_modified.as_bytes(),
                    &outcome.now,
                    &outcome.date.as_bytes(),
                    &integer(records),
                    &integer(outcome.size_bytes),
                ],
            )?;
            Ok(records)
        })
    }
}

/// The keys of ids that have one, and back.
fn keys<'a>(ids: &[&'a str]) -> BTreeMap<i64, &'a str> {
    ids.iter().filter_map(|id| Some((key(id)?, *id))).collect()
}

pub(super) fn scores(
    connection: &mut Connection,
    feed: &str,
    ids: &[&str],
) -> Result<BTreeMap<String, VulnerabilityScore>> {
    let ids = keys(ids);
    let wanted: Vec<i64> = ids.keys().copied().collect();
    let rows = connection.query(
        "SELECT s.cve, s.probability, s.percentile FROM feed f JOIN score s ON s.feed_id = f.feed_id
         WHERE f.feed = $1 AND s.cve = ANY($2)",
        &[&feed.as_bytes(), &wanted],
    )?;
    let part =
        |value: i64| u32::try_from(value).map_err(|_| Error::Corrupt("a score is out of range".to_owned()));
    let mut found = BTreeMap::new();
    for row in rows {
        let score = VulnerabilityScore {
            probability_e5: part(column(&row, 1)?)?,
            percentile_e5: column::<Option<i64>>(&row, 2)?.map(part).transpose()?,
        };
        found.extend(ids.get(&column(&row, 0)?).map(|id| ((*id).to_owned(), score)));
    }
    Ok(found)
}

pub(super) fn score_day(connection: &mut Connection, feed: &str) -> Result<Option<ScoreDay>> {
    let row = connection.row(
        "SELECT d.date, d.model_version, f.records FROM feed f JOIN score_day d ON d.feed_id = f.feed_id
         WHERE f.feed = $1 ORDER BY f.feed_id LIMIT 1",
        &[&feed.as_bytes()],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(ScoreDay {
        date: text(&row, 0)?,
        model_version: text(&row, 1)?,
        scores: count(column(&row, 2)?),
    }))
}

pub(super) fn record_checks(connection: &mut Connection, ids: &[&str]) -> Result<BTreeMap<String, i64>> {
    let ids = keys(ids);
    let wanted: Vec<i64> = ids.keys().copied().collect();
    let rows =
        connection.query("SELECT cve, checked_at FROM record_check WHERE cve = ANY($1)", &[&wanted])?;
    let mut found = BTreeMap::new();
    for row in rows {
        let checked = column(&row, 1)?;
        found.extend(ids.get(&column(&row, 0)?).map(|id| ((*id).to_owned(), checked)));
    }
    Ok(found)
}

pub(super) fn put_record_checks(connection: &mut Connection, ids: &[&str], now: i64) -> Result<()> {
    let keys: Vec<i64> = keys(ids).into_keys().collect();
    connection.execute(
        "INSERT INTO record_check (cve, checked_at) SELECT cve, $2::bigint FROM unnest($1::bigint[]) AS w (cve)
         ORDER BY cve ON CONFLICT (cve) DO UPDATE SET checked_at = excluded.checked_at",
        &[&keys, &now],
    )?;
    Ok(())
}
